"""The certificates of a cluster's control channel, in Secrets of a real API server."""

import base64
from datetime import UTC, datetime
from pathlib import Path

from bateau.domain.system_names import CONTROLLER_CERTIFICATES, GATEWAY_CERTIFICATES
from bateau.kit.certificates import starts_at
from bateau.kit.json_value import text_at
from bateau.runtimes.kubernetes.api import Resource
from bateau.testing import ManualClock
from bateau.wiring.gateway_certificates import LIFETIME, GatewayCertificates
from runtimes.kubernetes.rig import Bench, bench

SECRETS = Resource("/api/v1", "secrets", namespaced=True)
NOW = datetime(2026, 11, 29, tzinfo=UTC).timestamp()


async def data(at: Bench, name: str, key: str) -> bytes:
    return base64.b64decode(text_at(await at.api.get(SECRETS, at.namespace, name), "data", key))


async def test_they_are_made_once_kept_and_replaced_in_time(control_plane: Path):
    async with bench(control_plane) as at:
        clock = ManualClock(wall=NOW)
        kept = GatewayCertificates(at.api, clock, namespace=at.namespace)
        first = await kept.current()
        assert await kept.current() == first
        assert await GatewayCertificates(at.api, clock, namespace=at.namespace).current() == first
        # The gateways never have the key of the controller.
        assert await data(at, CONTROLLER_CERTIFICATES, "tls.key") != await data(at, GATEWAY_CERTIFICATES, "tls.key")
        assert await data(at, CONTROLLER_CERTIFICATES, "ca.crt") == await data(at, GATEWAY_CERTIFICATES, "ca.crt")
        clock.set_wall(NOW + LIFETIME.total_seconds() * 0.6)
        assert await kept.current() == first
        clock.set_wall(NOW + LIFETIME.total_seconds() * 0.7)
        second = await kept.current()
        assert second.pair != first.pair
        # Those of before are accepted, too: mounted Secrets change minutes later.
        assert second.authorities.endswith(first.authorities)
        assert second.authorities.count(b"BEGIN CERTIFICATE") == 2
        clock.set_wall(NOW + LIFETIME.total_seconds() * 1.5)
        third = await kept.current()
        assert third.authorities.count(b"BEGIN CERTIFICATE") == 2, "the authority of the one before, and none older"


async def test_a_controller_with_another_clock_replaces_those_that_are_not_valid_yet(control_plane: Path):
    """Two controllers, the first of which was days ahead. Within a day, its certificates serve the second one."""
    day = 86_400.0
    async with bench(control_plane) as at:
        clock = ManualClock(wall=NOW + day)
        ahead = await GatewayCertificates(at.api, clock, namespace=at.namespace).current()
        right = GatewayCertificates(at.api, ManualClock(wall=NOW), namespace=at.namespace)
        assert await right.current() == ahead
        clock.set_wall(NOW + 400 * day)
        ahead = await GatewayCertificates(at.api, clock, namespace=at.namespace).current()
        found = await right.current()
        assert found.pair != ahead.pair
        assert starts_at(found.pair.certificate).timestamp() < NOW
        assert await right.current() == found


async def test_secrets_that_were_edited_or_deleted_are_made_again(control_plane: Path):
    async with bench(control_plane) as at:
        kept = GatewayCertificates(at.api, ManualClock(wall=NOW), namespace=at.namespace)
        first = await kept.current()
        tree = await at.api.get(SECRETS, at.namespace, GATEWAY_CERTIFICATES)
        assert tree is not None
        broken = {"ca.crt": "bm90aGluZw==", "tls.crt": "bm90aGluZw==", "tls.key": "bm90aGluZw=="}
        await at.api.update(SECRETS, {**tree, "data": broken})
        second = await kept.current()
        assert second.pair != first.pair
        tree = await at.api.get(SECRETS, at.namespace, CONTROLLER_CERTIFICATES)
        await at.api.delete(SECRETS, at.namespace, CONTROLLER_CERTIFICATES, uid=text_at(tree, "metadata", "uid"))
        third = await kept.current()
        assert await data(at, GATEWAY_CERTIFICATES, "ca.crt") == third.authorities
