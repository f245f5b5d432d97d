"""Times that others read beside those of the API server are by its clock, also where the own one is hours off."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from aiohttp import web

from bateau.kit.json_value import JsonObject, object_at, text_at
from bateau.runtimes.kubernetes.documents import Documents, document
from bateau.wiring.rolling_back import ClusterHistory, event
from runtimes.kubernetes.servant import served, status

AHEAD = timedelta(hours=5)


def taking(bodies: list[JsonObject]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Answer every request by a clock that is hours ahead, and keep what is written."""

    async def answer(request: web.Request) -> web.StreamResponse:
        headers = {"Date": format_datetime(datetime.now(tz=UTC) + AHEAD, usegmt=True)}
        if request.method == "GET":
            told = await status(404, "NotFound", "there is none")(request)
            told.headers.update(headers)
            return told
        bodies.append(object_at(await request.json()))
        return web.json_response({}, headers=headers)

    return answer


async def test_events_and_revisions_have_the_time_of_the_api_server() -> None:
    bodies: list[JsonObject] = []
    async with served(taking(bodies)) as (api, _):
        history = ClusterHistory(api, "shop.prod", "shop", "prod")
        await history.read()
        assert abs(history.now_s() - (datetime.now(tz=UTC) + AHEAD).timestamp()) < 10
        assert await history.note(event("every service is healthy", "healthy")) is None
        documents = Documents(api, [], changed=lambda _: None)
        app: JsonObject = {"apiVersion": "a.b/v1", "kind": "App", "metadata": {"name": "web", "namespace": "shop"}}
        await documents.note(document(app), reason="Healthy", message="", warning=False)
        told = datetime.fromisoformat(text_at(bodies[-1], "eventTime"))
        assert abs(told - datetime.now(tz=UTC) - AHEAD) < timedelta(seconds=10)
