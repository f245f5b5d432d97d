"""The keys of several issuers: whatever one of them answers, those of the others are refreshed."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bateau.api.issuer_json import issuer_row
from bateau.domain.issuer import Issuer, SigningKeys
from bateau.kit.jwks import public_keys
from bateau.wiring import issuers as module
from bateau.wiring.issuers import Issuers
from bateau.wiring.keys import Keys
from sources.origin import Origin
from sources.test_issuer import EC, WELL_KNOWN

LONG_AGO = 1.0


class Instance:
    """An instance with two issuers, `odd` and `good`, on one server. Their keys were fetched long ago."""

    def __init__(self, base: Path, origin: Origin) -> None:
        environ = {"XDG_STATE_HOME": str(base), "HOME": str(base)}
        self.keys = Keys("test", environ)
        self.issuers = Issuers(self.keys, environ)
        self.origin = origin
        jwks = public_keys({"keys": [EC]}) or ""
        for name in ("odd", "good"):
            self.publish(name)
            issuer = Issuer(name=name, url=origin.url(f"/{name}"), audiences=("models",), created_at=LONG_AGO)
            self.keys.admit_issuer(issuer, SigningKeys(url=issuer.url, jwks=jwks, fetched_at=LONG_AGO))

    def publish(self, name: str, **about: object) -> None:
        document = {"issuer": self.origin.url(f"/{name}"), "jwks_uri": self.origin.url(f"/{name}/jwks"), **about}
        self.origin.paths[f"/{name}{WELL_KNOWN}"] = json.dumps(document).encode()
        self.origin.paths[f"/{name}/jwks"] = json.dumps({"keys": [EC]}).encode()

    def failing(self) -> dict[str, bool]:
        """Whether the keys of each issuer could not be refreshed."""
        found = self.keys.signing_keys()
        assert {each.failing_since is None for each in found.values() if each.fetched_at > LONG_AGO} <= {True}
        return {name: each.failing_since is not None for name, each in found.items()}


@pytest_asyncio.fixture
async def instance(tmp_path: Path) -> AsyncIterator[Instance]:
    origin = Origin()
    await origin.start()
    yield Instance(tmp_path, origin)
    await origin.stop()


@pytest.mark.parametrize("jwks", [b"[" * 10**5, b"{", b"", b'{"keys": [{"kid": "\\ud800"}]}'])
async def test_odd_keys_of_one_issuer_are_those_of_before_and_the_others_are_refreshed(
    instance: Instance, jwks: bytes
) -> None:
    instance.origin.paths["/odd/jwks"] = jwks
    await instance.issuers.refresh()
    assert instance.failing() == {"odd": True, "good": False}
    instance.publish("odd")
    await instance.issuers.refresh()
    assert instance.failing() == {"odd": False, "good": False}


async def test_a_bug_with_one_issuer_is_reported_there(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fetched = module.fetched_keys

    async def broken(url: str, **_: object) -> str:
        if url.endswith("/odd"):
            raise AssertionError("a bug")
        return await fetched(url, authority=None, environ={})

    monkeypatch.setattr(module, "fetched_keys", broken)
    for _ in range(3):
        await instance.issuers.refresh()
    assert instance.failing() == {"odd": True, "good": False}
    assert instance.keys.signing_keys()["odd"].error == "AssertionError('a bug')"
    assert [record.levelname for record in caplog.records] == ["ERROR"], "the same bug is reported once"


async def test_text_of_an_issuer_steers_no_terminal(instance: Instance, caplog: pytest.LogCaptureFixture) -> None:
    instance.publish("odd", issuer="https://\x1b[2J\ud800")
    await instance.issuers.refresh()
    (issuer,) = (each for each in instance.keys.issuers() if each.name == "odd")
    shown = " ".join(issuer_row(issuer, instance.keys.signing_keys()["odd"]))
    for text in (shown, caplog.text):
        assert "\\x1b[2J\\ud800" in text
        assert "\x1b" not in text
        text.encode()
