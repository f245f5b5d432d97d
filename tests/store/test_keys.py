"""The file of keys: nothing is lost, nothing is shown, and damage never opens an endpoint."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from bateau.domain.api_key import NUMBER_MAX, REQUESTS_MAX, ApiKey
from bateau.domain.errors import ControlError
from bateau.kit.money import Money
from bateau.store.keys import KeyFile

KEY = (
    '{"format": 2, "keys_format": 1, "keys": [{"name": "a", "owner": "b", "hint": "c", "note": "", "sha256": %s, '
    '"created_at": %s, "models": %s}]}'
)


def key(name: str) -> ApiKey:
    return ApiKey(name=name, sha256="0" * 64, hint="abcd", owner="me", created_at=1.0, models=("chat*",))


def add(path: Path, name: str) -> None:
    file = KeyFile(path)
    with file.changing() as keyring:
        file.save(keyring.with_key(key(name)))


def test_keys_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    assert not KeyFile(path).load().required
    add(path, "b")
    add(path, "a")
    found = KeyFile(path).load()
    assert list(found.by_name.values()) == [key("a"), key("b")]
    assert found.required
    assert path.stat().st_mode & 0o777 == 0o600


def test_budgets_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    money = Money.parse("0.50 EUR")
    made = replace(
        key("a"), tokens_per_day=5, money_per_day=money, money_per_month=Money.parse("9USD"), kwh_per_day=1.5
    )
    file = KeyFile(path)
    with file.changing() as keyring:
        file.save(keyring.with_key(made).with_key(replace(key("b"), kwh_per_month=30.0)))
    assert list(KeyFile(path).load().by_name.values()) == [made, replace(key("b"), kwh_per_month=30.0)]


def test_a_file_of_a_version_without_budgets_in_money_is_read(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(KEY % ('"x"', "1.0", '["*"]'))
    assert KeyFile(path).load().by_name["a"].budgets == []


def test_without_its_last_key_an_endpoint_stays_closed(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add(path, "a")
    file = KeyFile(path)
    with file.changing() as keyring:
        file.save(keyring.without_key("a"))
    assert (KeyFile(path).load().by_name, KeyFile(path).load().required) == ({}, True)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"format": 99}',
        '{"format": 2, "keys_format": 1}',
        '{"format": 2, "keys_format": 3, "keys": []}',
        '{"format": 2, "keys_format": 1, "keys": [{"name": "a"}]}',
        '{"format": 2, "keys_format": 1, "keys": ["a"]}',
        "{}",
        '{"format": 2}',
        KEY % ("5", "1.0", '["*"]'),
        KEY % ('"x"', '"soon"', '["*"]'),
        KEY % ('"x"', "1.0", '"chat"'),
        KEY % ('"x"', "1.0", "[]"),
        KEY % ('"x"', "1.0", '["*"], "money_per_day": "5"'),
        KEY % ('"x"', "1.0", '["*"], "money_per_month": "none"'),
        KEY % ('"x"', "1.0", '["*"], "money_per_month": 5'),
        KEY % ('"x"', "1.0", '["*"], "kwh_per_day": "1"'),
        KEY % ('"x"', "1.0", '["*"], "kwh_per_day": NaN'),
        KEY % ('"x"', "1.0", '["*"], "kwh_per_month": -1'),
        KEY % ('"x"', "1.0", '["*"], "concurrent": 99999999999999999999'),
        KEY % ('"x"', "1.0", '["*"], "requests_per_minute": 0'),
        KEY % ('"x"', "1.0", '["*"], "tokens_per_day": -5'),
        KEY % ('"x"', "NaN", '["*"]'),
        KEY % ('"x"', "1e300", '["*"]'),
    ],
)
def test_a_damaged_file_is_an_error_and_stays_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(ControlError, match=r"keys\.json"):
        KeyFile(path).load()
    with pytest.raises(ControlError):
        add(path, "a")
    assert path.read_text() == content


def test_the_largest_numbers_of_commands_and_documents_are_read(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    names = ("concurrent", "tokens_per_minute", "tokens_per_day", "tokens_per_month")
    most = dict.fromkeys(names, NUMBER_MAX)
    with KeyFile(path).changing() as keyring:
        added = replace(key("a"), **most, requests_per_minute=REQUESTS_MAX, kwh_per_day=999_999_999_999.9)  # pyright: ignore[reportArgumentType]
        KeyFile(path).save(keyring.with_key(added))
    assert KeyFile(path).load().by_name == {"a": added}


def test_a_change_within_one_tick_of_the_clock_is_noticed(tmp_path: Path) -> None:
    path, stamps = tmp_path / "keys.json", set[object]()
    for number in range(2):
        add(path, f"k{number}")
        os.utime(path, ns=(10**18, 10**18))
        stamps.add(KeyFile(path).stamp)
    assert len(stamps) == 2


def test_changes_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    threads = [threading.Thread(target=add, args=(path, f"k{number}")) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(KeyFile(path).load().by_name) == 20
