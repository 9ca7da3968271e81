"""Every way to be refused ends in a problem document."""

import re
from pathlib import Path

import pytest
import trio
from api_client import CheckedClient
from api_fakes import FakeHeadend
from structlog.testing import capture_logs

from dercp.api import ApiSettings
from dercp.api.problems import CATALOGUE, ProblemType
from dercp.headend.views import AssetView

DOCS = Path(__file__).parents[2] / "docs" / "api.md"

each_kind = pytest.mark.parametrize("kind", CATALOGUE, ids=lambda kind: kind.slug)


@each_kind
async def test_a_type_can_be_read(client: CheckedClient, kind: ProblemType) -> None:
    """The page behind the type says what it means and what to do."""
    page = await client.get(kind.uri)
    assert kind.title.encode() in page.content
    assert kind.meaning.encode() in page.content


@each_kind
def test_a_type_is_documented(kind: ProblemType) -> None:
    """docs/api.md lists each with its status."""
    assert f"| `{kind.slug}` | {kind.status} |" in DOCS.read_text()


def test_the_documentation_lists_no_others() -> None:
    """A type that is gone is gone from docs/api.md."""
    slugs = set(re.findall(r"^\| `([a-z-]+)` \| \d{3} \|", DOCS.read_text(), re.MULTILINE))
    assert slugs == {kind.slug for kind in CATALOGUE}


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("limit=0", "limit: expected `int` >= 1, got '0'"),
        ("limit=1001", "limit: expected `int` <= 1000, got '1001'"),
        ("limit=many", "limit: expected `int`, got 'many'"),
        ("limit=1&limit=2", "limit: given more than once"),
        ("kind=nuclear", "kind: expected one of storage, pv, wind, ev, got 'nuclear'"),
        ("online=maybe", "online: expected `bool`, got 'maybe'"),
        ("stale=null", "stale: expected `bool`, got 'null'"),
        ("cursor=x", "cursor: use the `next` of the page before, unchanged, or leave it out"),
    ],
)
async def test_parameters_are_refused(client: CheckedClient, query: str, detail: str) -> None:
    """A bad parameter is named, with what is expected and what came."""
    answer = await client.get(f"/assets?{query}")
    assert answer.status == 400
    [fault] = answer.json["errors"]
    assert fault["parameter"] == query.partition("=")[0]
    assert fault["detail"] == detail


@pytest.mark.parametrize(
    "path", ["/nope", "/v1/nope", "/v2/assets", "/assets/", "/assets/a/b", "/docs/x"]
)
async def test_unknown_paths(client: CheckedClient, path: str) -> None:
    """No redirects, no HTML: there is nothing here."""
    assert (await client.get(path)).problem == "not-found"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_other_media_types(client: CheckedClient, headers: dict[str, str]) -> None:
    """A body is JSON and plain."""
    answer = await client.ask("POST", "/dispatch", headers=headers, content=b"{}")
    assert answer.status == 415


async def test_a_large_body(client: CheckedClient) -> None:
    """More than 1 MiB is refused."""
    answer = await client.dispatch(b" " * (1024 * 1024 + 1))
    assert answer.problem == "body-too-large"
    assert "1048576" in answer.json["detail"]


async def test_a_missing_key(client: CheckedClient) -> None:
    """A dispatch needs a key."""
    answer = await client.dispatch({"asset_id": "bess-1", "setpoint_mw": 1}, key=None)
    assert answer.status == 400
    assert answer.problem == "missing-idempotency-key"


async def test_a_defect_is_not_shown(
    client: CheckedClient, headend: FakeHeadend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller gets an id, the log gets the error under the same id."""

    def asset(_asset_id: str) -> AssetView:
        raise RuntimeError("secret")

    monkeypatch.setattr(headend.reader, "asset", asset)
    with capture_logs() as logs:
        answer = await client.get("/assets/bess-1")
    assert answer.status == 500
    assert answer.problem == "internal-error"
    assert b"secret" not in answer.content
    [event] = logs
    assert event["event"] == "request_failed"
    assert event["instance"] == answer.json["instance"]
    assert "secret" in str(event["exc_info"])


async def test_a_slow_desk(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that takes too long is answered, with the advice to repeat it."""
    headend = FakeHeadend(ApiSettings(answer_within_s=2))

    async def submit(*_: object, **__: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(headend.desk, "submit", submit)
    answer = await CheckedClient(headend.app).dispatch({"asset_id": "bess-1", "setpoint_mw": 1})
    assert trio.current_time() == 2
    assert answer.status == 503
    assert answer.problem == "too-slow"
    assert answer.headers["retry-after"] == "1"


async def test_too_many_requests_at_once(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be served now is refused at once and does not wait."""
    headend = FakeHeadend(ApiSettings(requests_max=1, answer_within_s=2))
    client = CheckedClient(headend.app)

    async def dispatch(_dispatch_id: str) -> None:
        await trio.sleep(1)

    monkeypatch.setattr(headend.desk, "dispatch", dispatch)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.get, "/dispatches/x")
        await trio.testing.wait_all_tasks_blocked()
        answer = await client.get("/livez")
        assert trio.current_time() == 0
    assert answer.problem == "overloaded"
    assert (await client.get("/livez")).status == 200


async def test_a_headend_that_is_not_ready(client: CheckedClient, headend: FakeHeadend) -> None:
    """/readyz says why; /livez is content."""
    headend.operations.refuse("the store is being opened")
    answer = await client.get("/readyz")
    assert answer.status == 503
    assert answer.problem == "not-ready"
    assert answer.json["detail"] == "the store is being opened"
    assert "retry-after" in answer.headers
    assert (await client.get("/livez")).status == 200
