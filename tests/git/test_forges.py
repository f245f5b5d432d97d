"""Statuses and comments reach a forge in the form that its API requires."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from aiohttp import ClientSession, web

from answering import answering
from bateau.domain.errors import SourceDenied, SourceError, SourceUnreachable
from bateau.ports.repository import Forge
from bateau.sources.forge import Gitea, GitHub, GitLab

ID = "ab" * 20
TOKEN = "t0ken"  # noqa: S105 - of this test


class Server:
    """Remembers comments as a forge does, two a page, and every request. `refusals` are answered first."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.comments = [{"id": number, "body": f"comment {number}"} for number in range(1, 6)]
        self.refusals: list[web.Response] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        body: Any = await request.json() if request.can_read_body else None
        self.asked.append((request.method, request.path_qs.partition("?")[0], body))
        self.headers.append(dict(request.headers))
        if self.refusals:
            return self.refusals.pop(0)
        if request.method == "GET":
            page = int(request.query.get("page", "1"))
            link = {"Link": f'<{self.url}{request.path_qs.partition("?")[0]}?page={page + 1}>; rel="next"'}
            return web.json_response(
                self.comments[2 * page - 2 : 2 * page], headers=link if 2 * page < len(self.comments) else {}
            )
        if request.method == "DELETE":
            self.comments = [each for each in self.comments if each["id"] != int(request.path.rpartition("/")[2])]
            return web.Response(status=204)
        if request.method in {"PATCH", "PUT"}:
            found = next(each for each in self.comments if each["id"] == int(request.path.rpartition("/")[2]))
            found["body"] = body["body"]
        elif "body" in body:
            self.comments.append({"id": len(self.comments) + 1, "body": body["body"]})
        return web.json_response({}, status=201)


@pytest.fixture
async def server() -> AsyncGenerator[Server]:
    made = Server()
    async with answering(made.answer) as made.url:
        yield made


@pytest.fixture
async def session() -> AsyncGenerator[ClientSession]:
    async with ClientSession() as opened:
        yield opened


def forges(session: ClientSession, url: str) -> dict[str, Forge]:
    return {
        "github": GitHub(session, "org/acme", token=TOKEN, url=url),
        "gitea": Gitea(session, "org/acme", token=TOKEN, url=url),
        "gitlab": GitLab(session, "org/sub/acme", token=TOKEN, url=url),
    }


@pytest.mark.parametrize(
    ("name", "path", "state", "header"),
    [
        ("github", f"/repos/org/acme/statuses/{ID}", "failure", ("Authorization", "Bearer t0ken")),
        ("gitea", f"/api/v1/repos/org/acme/statuses/{ID}", "failure", ("Authorization", "Bearer t0ken")),
        ("gitlab", f"/api/v4/projects/org%2Fsub%2Facme/statuses/{ID}", "failed", ("PRIVATE-TOKEN", "t0ken")),
    ],
)
async def test_a_status_is_set(
    server: Server, session: ClientSession, name: str, path: str, state: str, header: tuple[str, str]
):
    forge = forges(session, server.url)[name]
    await forge.set_status(ID, "failure", description="x" * 300, url="https://acme.example/plan")
    ((method, asked, body),) = server.asked
    assert (method, asked, body["state"]) == ("POST", path, state)
    assert body["target_url"] == "https://acme.example/plan"
    assert len(body["description"]) <= 255
    assert server.headers[0][header[0]] == header[1]
    assert "t0ken" not in asked + str(body)


@pytest.mark.parametrize("name", ["github", "gitea", "gitlab"])
async def test_one_comment_is_made_then_updated_in_place_and_found_on_any_page(
    server: Server, session: ClientSession, name: str
):
    forge = forges(session, server.url)[name]
    await forge.upsert_comment(7, "plan prod", "first")
    await forge.upsert_comment(7, "plan dev", "other")
    await forge.upsert_comment(7, "plan prod", "second")
    asked = len(server.asked)
    await forge.upsert_comment(7, "plan prod", "second")
    assert [each["body"] for each in server.comments[5:]] == [
        "<!-- bateau: plan prod -->\nsecond",
        "<!-- bateau: plan dev -->\nother",
    ]
    assert {method for method, _, _ in server.asked[asked:]} == {"GET"}, "an equal comment is not written again"


@pytest.mark.parametrize("name", ["github", "gitea", "gitlab"])
async def test_a_comment_of_several_pages_is_several_comments_and_those_left_over_are_deleted(
    server: Server, session: ClientSession, name: str
):
    forge = forges(session, server.url)[name]
    await forge.upsert_comment(7, "plan prod", "one", "two", "three")
    await forge.upsert_comment(7, "plan prod", "one", "2")
    marks = ["<!-- bateau: plan prod -->", "<!-- bateau: plan prod page 2 -->"]
    assert [each["body"] for each in server.comments[5:]] == [f"{marks[0]}\none", f"{marks[1]}\n2"]
    await forge.upsert_comment(7, "plan prod", "one")
    assert [each["body"] for each in server.comments[5:]] == [f"{marks[0]}\none"]


async def test_a_comment_stays_under_the_forges_limit(server: Server, session: ClientSession):
    await forges(session, server.url)["github"].upsert_comment(7, "plan", "x" * 100_000)
    assert len(server.comments[-1]["body"]) == 65_536  # type: ignore[arg-type]


async def test_a_rate_limit_is_waited_for(server: Server, session: ClientSession):
    server.refusals = [web.Response(status=429, headers={"Retry-After": "0"})]
    await forges(session, server.url)["github"].set_status(ID, "success", description="good")
    assert len(server.asked) == 2


async def test_a_rate_limit_that_lasts_too_long_is_said(server: Server, session: ClientSession):
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9999999999"}
    server.refusals = [web.Response(status=403, headers=headers)]
    with pytest.raises(SourceUnreachable, match="the rate limit is reached"):
        await forges(session, server.url)["github"].set_status(ID, "success", description="good")


async def test_a_refusal_is_said_without_the_token_and_redirects_are_not_followed(
    server: Server, session: ClientSession
):
    forge = forges(session, server.url)["github"]
    server.refusals = [web.json_response({"message": "Bad credentials"}, status=401)]
    with pytest.raises(SourceDenied, match="HTTP 401, Bad credentials") as caught:
        await forge.set_status(ID, "success", description="good")
    assert "t0ken" not in caught.value.message
    server.refusals = [web.Response(status=307, headers={"Location": server.url})]
    with pytest.raises(SourceError, match="HTTP 307"):
        await forge.set_status(ID, "success", description="good")


async def test_gitlabs_word_for_nothing_to_change_is_no_failure(server: Server, session: ClientSession):
    message = "Cannot transition status via :run from :running"
    server.refusals = [web.json_response({"message": message}, status=400)]
    await forges(session, server.url)["gitlab"].set_status(ID, "pending", description="planning")
    assert len(server.asked) == 1


async def test_a_next_page_elsewhere_is_not_asked_for(server: Server, session: ClientSession):
    server.refusals = [web.json_response([], headers={"Link": '<https://evil.example/?page=2>; rel="next"'})]
    with pytest.raises(SourceError, match=r"names evil\.example for its next page"):
        await forges(session, server.url)["github"].upsert_comment(7, "plan", "x")


async def test_a_token_is_not_carried_in_the_open(session: ClientSession):
    with pytest.raises(SourceError, match="without encryption"):
        GitHub(session, "org/acme", token=TOKEN, url="http://git.example.org")
    with pytest.raises(SourceError, match="is not the name of a repository"):
        GitHub(session, "org/acme/../x", token=TOKEN)


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_a_comment_that_may_have_been_written_is_not_sent_again(
    server: Server, session: ClientSession, status: int
):
    server.comments = []
    forge = forges(session, server.url)["github"]
    await forge.upsert_comment(7, "plan", "x")
    writes = len([each for each in server.asked if each[0] == "POST"])
    server.comments, server.asked = [], []
    server.refusals = [web.json_response([]), web.Response(status=status, headers={"Retry-After": "0"})]
    with pytest.raises(SourceError):
        await forge.upsert_comment(7, "plan", "x")
    assert len([each for each in server.asked if each[0] == "POST"]) == writes
