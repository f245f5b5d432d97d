"""A validating webhook that denies one object of several, or cannot be asked, at the real API server."""

import pytest

from bateau.kit.backoff import Backoff
from bateau.runtimes.kubernetes import work
from runtimes.kubernetes.admission import admission
from runtimes.kubernetes.rig import DEPLOYMENTS, Bench, state_of, unit, until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "RETRY", Backoff(initial_s=0.2, ceiling_s=0.5))


async def test_a_webhook_that_denies_or_cannot_be_asked_concerns_its_object_only(cluster_bench: Bench) -> None:
    """It may deny with any status, also with one that the API server has for its own trouble."""
    b = cluster_bench
    shop, cart = unit("shop", b.deployment("shop")), unit("cart", b.deployment("cart"))
    async with b.runtime() as runtime:
        async with admission(b, {"cart": (503, "no carts here")}) as webhook:
            runtime.apply([shop, cart])
            denied = f'admission webhook "{webhook.name}" denied the request: no carts here'
            for code in (503, 429, 410, 401):
                webhook.denied["cart"] = (code, f"no carts here {code}")
                seen = await until(runtime, lambda seen, code=code: f" {code}" in seen.failures.get("app/cart", ""))
                assert seen.failures["app/cart"] == f"Deployment {b.namespace}/cart: {denied} {code}"
                assert seen.unknown is None
            await until(runtime, lambda seen: "app/shop" not in seen.moving)
            webhook.hangs = True
            seen = await until(runtime, lambda seen: "no answer in time" in seen.failures["app/cart"])
            assert f"needs the answer of the webhook {webhook.name}, and cannot ask it" in seen.failures["app/cart"]
            assert state_of(seen, "shop").phase == "current"
            webhook.hangs = False
            webhook.denied.clear()
            await until(runtime, lambda seen: not seen.failures and not seen.moving)
            assert webhook.down is not None
            await webhook.down()
            runtime.apply([shop, unit("cart", b.deployment("cart", one="1"))])
            seen = await until(runtime, lambda seen: bool(seen.failures))
            assert "/review: connection refused" in seen.failures["app/cart"]
            assert seen.unknown is None
        await until(runtime, lambda seen: not seen.failures and not seen.moving)
        tree = await b.api.get(DEPLOYMENTS, b.namespace, "cart")
        assert tree is not None
