"""The file of alerts: the same after a restart, and damage costs one entry."""

import json
from pathlib import Path

import pytest

from bateau.control.alert_book import AlertBook
from bateau.wiring.alert_file import AlertFile
from control.alerts import firing, silence


def a_book() -> AlertBook:
    made = AlertBook()
    alert, over = firing(), firing("BateauServiceDown", ended=1100.0)
    made.take({alert.key: alert}, [over], 1100.0)
    made.silences["s1"] = silence(service="model/chat", until=5000.0)
    made.delivered("hook-1", [alert])
    return made


def test_what_was_saved_is_what_is_loaded(tmp_path: Path):
    made = a_book()
    AlertFile(tmp_path / "alerts.json").save(made)
    assert AlertFile(tmp_path / "alerts.json").load() == made
    assert (tmp_path / "alerts.json").stat().st_mode & 0o777 == 0o600


def test_it_is_written_only_when_it_differs(tmp_path: Path):
    file, made = AlertFile(tmp_path / "alerts.json"), a_book()
    file.save(made)
    (tmp_path / "alerts.json").unlink()
    file.save(made)
    assert not (tmp_path / "alerts.json").exists()


def test_a_damaged_entry_is_dropped_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "alerts.json"
    AlertFile(path).save(a_book())
    tree = json.loads(path.read_text())
    tree["alerts"] += [{"name": "x"}, 7, {**tree["alerts"][0], "since": "yesterday"}, {**tree["alerts"][0], "more": 1}]
    tree["silences"].append({**tree["silences"][0], "until": None})
    path.write_text(json.dumps(tree))
    assert AlertFile(path).load() == a_book()
    assert caplog.text.count("is damaged") == 5


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2, "alerts_format": 99, "alerts": []}'])
def test_a_file_that_cannot_be_read_is_an_empty_book(tmp_path: Path, text: str):
    (tmp_path / "alerts.json").write_text(text)
    assert AlertFile(tmp_path / "alerts.json").load() == AlertBook()
