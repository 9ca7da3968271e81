"""How portfolios are told, changed by whoever has seen them, and taken away."""

import msgspec
import pytest
from api_client import CheckedClient
from api_fakes import FakeHeadend
from hypothesis import given
from hypothesis import strategies as st
from strange_json import ANY_JSON

from dercp.api.bodies import read_body
from dercp.api.portfolios import PortfolioBody
from dercp.api.problems import Refusal

BOTH = {"id": "both", "name": "Both sites", "sites": ["north", "south"], "assets": []}
BODY = {"sites": ["north"], "assets": ["pv-1"]}


async def test_portfolios_are_listed_and_told(client: CheckedClient) -> None:
    """With the tag that a change must bring back."""
    told = await client.get("/portfolios/both")
    assert told.json == {**BOTH, "revision": 1}
    assert told.headers["etag"] == '"1"'
    assert (await client.get("/portfolios")).json == {"items": [told.json], "next": None}
    assert (await client.get("/portfolios/nix")).status == 404


async def test_a_portfolio_is_made(client: CheckedClient) -> None:
    """201 the first time; its name is its id when nobody gives another."""
    made = await client.send("PUT", "/portfolios/east", BODY)
    assert made.status == 201
    assert made.json == {"id": "east", "name": "east", **BODY, "revision": 1}
    assert (await client.get("/portfolios/east")).json == made.json


async def test_a_portfolio_is_changed_by_who_has_seen_it(client: CheckedClient) -> None:
    """The answer brings the next tag; the old one is worth nothing any more."""
    changed = await client.send("PUT", "/portfolios/both", BODY, if_match='"1"')
    assert changed.status == 200
    assert changed.json["revision"] == 2
    assert changed.headers["etag"] == '"2"'
    late = await client.send("PUT", "/portfolios/both", BODY, if_match='"1"')
    assert (late.status, late.problem) == (412, "precondition-failed")
    assert '"2"' in late.json["detail"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("PUT", "both", {}, 428),
        ("PUT", "both", {"if_match": "*"}, 200),
        ("PUT", "both", {"if_match": '"7", "1"'}, 200),
        ("PUT", "both", {"if_match": 'W/"1"'}, 412),
        ("PUT", "both", {"if_match": "rubbish"}, 412),
        ("PUT", "both", {"if_none_match": "*"}, 412),
        ("PUT", "both", {"if_none_match": '"1"', "if_match": '"1"'}, 412),
        ("PUT", "east", {"if_none_match": "*"}, 201),
        ("PUT", "east", {"if_match": "*"}, 412),
        ("PUT", "east", {"if_match": '"1"'}, 412),
        ("DELETE", "both", {}, 428),
        ("DELETE", "both", {"if_match": '"2"'}, 412),
        ("DELETE", "both", {"if_match": '"1"'}, 200),
        ("DELETE", "east", {"if_match": "*"}, 404),
    ],
)
async def test_preconditions(
    client: CheckedClient, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """Nobody undoes a change that he has not seen, unless he says that he wants to."""
    answer = await client.send(method, f"/portfolios/{path}", BODY, **headers)
    assert answer.status == status


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_somebody_else_was_faster(
    client: CheckedClient, headend: FakeHeadend, method: str
) -> None:
    """Between the look and the writing too."""
    headend.portfolios.overtaken = True
    answer = await client.send(method, "/portfolios/both", BODY, if_match='"1"')
    assert answer.problem == "precondition-failed"


@pytest.mark.parametrize(
    ("body", "pointer", "reason"),
    [
        ({}, "#/sites", "no_members"),
        ({"sites": ["north", "a b"]}, "#/sites/1", "bad_id"),
        ({"assets": ["pv-1", "pv-1"]}, "#/assets/1", "duplicate_member"),
        ({"sites": ["north"], "assets": ["north"]}, "#/assets/0", "duplicate_member"),
        ({"name": "x" * 201, "sites": ["north"]}, "#/name", "bad_name"),
    ],
)
async def test_refusals_point_at_the_member(
    client: CheckedClient, body: object, pointer: str, reason: str
) -> None:
    """With a stable word, and nothing is written."""
    answer = await client.send("PUT", "/portfolios/east", body)
    assert (answer.status, answer.problem) == (422, "portfolio-refused")
    [fault] = answer.json["errors"]
    assert (fault["pointer"], fault["reason"]) == (pointer, reason)
    assert (await client.get("/portfolios/east")).status == 404


async def test_a_bad_id_stands_in_the_path(client: CheckedClient) -> None:
    """So no pointer leads to it."""
    answer = await client.send("PUT", "/portfolios/a%20b", BODY)
    [fault] = answer.json["errors"]
    assert fault["parameter"] == "id"
    assert "pointer" not in fault


async def test_a_wrong_type_inside_is_pointed_at(client: CheckedClient) -> None:
    """A member of a list has a pointer of its own."""
    answer = await client.send("PUT", "/portfolios/east", {"sites": ["north", 7]})
    assert answer.problem == "invalid-body"
    assert answer.json["errors"] == [
        {"pointer": "#/sites/1", "detail": "sites[1]: expected `str`, got `int`"}
    ]


async def test_a_portfolio_that_dispatches_name_stays(
    client: CheckedClient, headend: FakeHeadend
) -> None:
    """409 names some of them."""
    headend.portfolios.used_by = tuple(f"d{number}" for number in range(12))
    answer = await client.ask("DELETE", "/portfolios/both", headers={"If-Match": "*"})
    assert (answer.status, answer.problem) == (409, "portfolio-in-use")
    assert "d0, d1" in answer.json["detail"]
    assert answer.json["detail"].endswith("d9 and 2 more")
    headend.portfolios.used_by = ()
    gone = await client.ask("DELETE", "/portfolios/both", headers={"If-Match": "*"})
    assert gone.json["id"] == "both"
    assert (await client.get("/portfolios/both")).status == 404


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("name", "sites", "assets"), ANY_JSON)))
def test_no_portfolio_is_too_strange(value: object) -> None:
    """Any ANY_JSON becomes a body or a refusal, never another error."""
    try:
        body = read_body(PortfolioBody, msgspec.json.encode(value))
    except Refusal as refusal:
        assert refusal.kind.status in {400, 422}  # noqa: PT017 - both ends are right
    else:
        assert isinstance(body, PortfolioBody)
