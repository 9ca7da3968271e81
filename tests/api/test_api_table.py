"""What holds for every route there is."""

import pytest
from api_client import DESCRIPTION, CheckedClient, operation_of
from api_fakes import FakeHeadend
from openapi_spec_validator import validate

from dercp.api.bodies import is_required
from dercp.api.routes import Route
from dercp.api.table import ROUTES

IDS = {
    "/assets/{id}": "bess-1",
    "/assets/{id}/telemetry": "bess-1",
    "/assets/{id}/history": "bess-1",
    "/sites/{id}": "north",
    "/agents/{id}": "north-edge",
    "/agents/{id}/spools": "north-edge",
    "/dispatches/{id}": "d0",
    "/dispatches/{id}/cancel": "d0",
    "/dispatches/{id}/record": "d0",
    "/schedules/{id}": "s0",
    "/schedules/{id}/cancel": "s0",
    "/portfolios/{id}": "both",
    "/problems/{id}": "not-found",
}
each_route = pytest.mark.parametrize(
    "route", ROUTES, ids=lambda route: f"{route.method} {route.path}"
)


def path_of(route: Route) -> str:
    """A path of the route at which there is something."""
    return route.path.replace("{id}", IDS.get(route.path, ""))


def test_the_description_is_valid() -> None:
    """As OpenAPI 3.1, which says that each path is served below /v1 too."""
    validate(DESCRIPTION)
    assert DESCRIPTION["openapi"] == "3.1.0"
    assert [server["url"] for server in DESCRIPTION["servers"]] == ["/", "/v1"]
    assert not any(path.startswith("/v1") for path in DESCRIPTION["paths"])


def test_operations_have_names_of_their_own() -> None:
    """Client generators make functions of them."""
    names = [
        operation["operationId"]
        for methods in DESCRIPTION["paths"].values()
        for operation in methods.values()
    ]
    assert len(names) == len(set(names)) == len(ROUTES)


@each_route
def test_it_is_described(route: Route) -> None:
    """With a sentence, its parameters and the refusals it may answer."""
    operation = operation_of(route.method, path_of(route))
    assert operation is not None
    assert operation["summary"]
    assert {"400", "500", "503", str(route.status)} <= set(operation["responses"])


@each_route
@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_it_is_served(
    client: CheckedClient, headend: FakeHeadend, route: Route, prefix: str
) -> None:
    """With and without the version; what it answers is checked by the client."""
    # A stream ends with the server only.
    headend.live.close()
    answer = await client.ask(route.method, prefix + path_of(route))
    if route.body is not None and is_required(route.body):
        assert answer.problem == "unsupported-media-type"
    elif route.method in {"PUT", "DELETE"}:
        assert answer.problem == "precondition-required"
    else:
        assert answer.status == route.status


@each_route
async def test_unknown_parameters_are_refused(client: CheckedClient, route: Route) -> None:
    """By name, with the names that are known."""
    answer = await client.ask(route.method, f"{path_of(route)}?sit_id=north")
    assert answer.status == 400
    assert answer.problem == "invalid-parameters"
    [fault] = answer.json["errors"]
    assert fault["parameter"] == "sit_id"
    assert "known: " in fault["detail"]


@each_route
async def test_other_methods_are_refused(client: CheckedClient, route: Route) -> None:
    """405 with the methods that would do; OPTIONS tells the same."""
    answer = await client.ask("PATCH", path_of(route))
    assert answer.problem == "method-not-allowed"
    assert route.method in answer.headers["allow"]
    options = await client.ask("OPTIONS", path_of(route))
    assert options.status == 204
    assert options.content == b""
    assert options.headers["allow"] == answer.headers["allow"]


@each_route
async def test_head_is_get_without_the_body(client: CheckedClient, route: Route) -> None:
    """The server leaves the body out; the application answers alike."""
    if route.method == "GET":
        answer = await client.ask("HEAD", path_of(route))
        assert answer.status == 200
        assert answer.headers["content-type"] == route.media_type


async def test_the_root_leads_to_the_documentation(client: CheckedClient) -> None:
    """Until there is a console."""
    answer = await client.get("/")
    assert answer.status == 307
    assert answer.headers["location"] == "/docs"


async def test_the_description_is_served(client: CheckedClient) -> None:
    """As it is tested here, and with a tag, for it is long."""
    answer = await client.get("/openapi.json")
    assert answer.json == DESCRIPTION
    again = await client.get("/openapi.json", if_none_match=answer.headers["etag"])
    assert again.status == 304


async def test_the_documentation_needs_nobody_else(client: CheckedClient) -> None:
    """Page, style and script come from here, and the browser is told to allow nothing else."""
    page = await client.get("/docs")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    for path in ("/docs/docs.css", "/docs/docs.js"):
        file = await client.get(path)
        assert path.removeprefix("/").encode() in page.content
        assert b"://" not in page.content + file.content
