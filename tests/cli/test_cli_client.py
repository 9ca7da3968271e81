"""The API client: pages, refusals, silence, and servers that are something else."""

import httpx
import msgspec
import pytest
from fake_api import FakeApi, asset, dispatch, problem

from dercp.cli.client import ApiClient, NotThere, Unanswered, Unavailable
from dercp.cli.exits import CommandError, Exit
from dercp.cli.shapes import Asset

URL = "http://headend.example"


def client(api: FakeApi) -> ApiClient:
    """A client of the fake."""
    return ApiClient(URL, httpx.MockTransport(api))


def test_all_pages_are_read_and_filters_go_along() -> None:
    """A list longer than a page is whole; members left out are not asked for."""
    api = FakeApi().on(
        "/assets",
        {"items": [asset(1), asset(2)], "next": "c2"},
        {"items": [asset(3)], "next": None},
    )
    found = [
        msgspec.json.decode(raw, type=Asset).id
        for raw in client(api).items("/assets", site_id="north", kind=None)
    ]
    assert found == ["bess-1", "bess-2", "bess-3"]
    assert [dict(request.url.params) for request in api.asked] == [
        {"site_id": "north", "limit": "1000"},
        {"site_id": "north", "limit": "1000", "cursor": "c2"},
    ]


def test_a_cursor_that_stands_still_ends_the_list() -> None:
    """A broken server does not keep a command for ever."""
    api = FakeApi().on("/assets", {"items": [asset(1)], "next": "same"})
    assert len(list(client(api).items("/assets"))) == 2


def test_a_refusal_is_told_in_its_own_sentences() -> None:
    """Each fault once."""
    api = FakeApi().on("/assets", problem(400, "kind: no", "kind: no", "limit: too much"))
    with pytest.raises(CommandError) as refused:
        list(client(api).items("/assets"))
    assert refused.value.sentences == ("kind: no", "limit: too much")
    assert refused.value.code is Exit.FAILED


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_headend_that_cannot_now_is_unavailable(status: int) -> None:
    """Scripts may try again at 69, but not at 1."""
    api = FakeApi().on("/assets", problem(status, "the desk is full"))
    with pytest.raises(Unavailable, match="the desk is full") as refused:
        list(client(api).items("/assets"))
    assert refused.value.code is Exit.UNAVAILABLE


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"hello": 1}),
        httpx.Response(200, json={"items": 3}),
        httpx.Response(302, headers={"Location": "/login"}),
        httpx.Response(404, text="not found"),
        httpx.Response(404, json={}),
        httpx.Response(200, content=b"\xff\xfe"),
    ],
)
def test_another_kind_of_server_is_recognised(answer: httpx.Response) -> None:
    """Whatever it says, the user is told that it is not dercp's API."""
    with pytest.raises(CommandError, match="does not speak dercp's API") as refused:
        list(client(FakeApi().on("/assets", answer)).items("/assets"))
    assert refused.value.code is Exit.UNAVAILABLE


@pytest.mark.parametrize(("header", "seconds"), [("7", 7), ("", 0), ("Mon, 23 Nov 2026", 0)])
def test_when_to_ask_again_is_read(header: str, seconds: float) -> None:
    """From the headend, or from a proxy that stands in for it; dates are not taken."""
    for answer in (problem(503, "starting"), httpx.Response(502, text="<html>")):
        answer.headers["Retry-After"] = header
        with pytest.raises(Unavailable) as refused:
            client(FakeApi().on("/assets", answer)).get("/assets", Asset)
        assert refused.value.retry_after_s == seconds


def test_what_is_not_there_is_told_apart() -> None:
    """An asset may go while it is read."""
    with pytest.raises(NotThere, match="there is no /assets/x"):
        client(FakeApi()).get("/assets/x", Asset)


def test_nothing_there_names_the_ways_to_a_headend() -> None:
    """The mend: start one, or name one."""
    api = FakeApi().on("/assets", httpx.ConnectError("[Errno 111] Connection refused"))
    with pytest.raises(Unavailable, match=r"\(Connection refused\).*dercp demo.*--url"):
        list(client(api).items("/assets"))


def test_a_request_without_an_answer_is_not_taken_for_undone() -> None:
    """It went out: it may have been taken."""
    api = FakeApi().on("/dispatch", httpx.ReadTimeout("timed out"))
    with pytest.raises(Unanswered, match="timed out"):
        client(api).post("/dispatch", {}, {"Idempotency-Key": "k"})


def test_what_is_handed_in_is_json_with_its_key() -> None:
    """And the answer comes back as it was given, unknown members included."""
    api = FakeApi().on("/dispatch", dispatch("submitted", of_a_later_release=1))
    answer = client(api).post("/dispatch", {"asset_id": "bess-1"}, {"Idempotency-Key": "k"})
    assert msgspec.json.decode(answer)["of_a_later_release"] == 1
    assert api.asked[0].headers["Idempotency-Key"] == "k"
    assert api.asked[0].headers["Content-Type"] == "application/json"
    assert api.asked[0].content == b'{"asset_id":"bess-1"}'
