"""The description of the API in OpenAPI 3.1, made from the route table."""

from collections import defaultdict
from collections.abc import Sequence
from http import HTTPStatus
from inspect import getdoc
from typing import Any

import msgspec

from dercp.api.bodies import is_required
from dercp.api.problems import (
    BODY_TOO_LARGE,
    INTERNAL_ERROR,
    INVALID_BODY,
    INVALID_PARAMETERS,
    MALFORMED_JSON,
    NOT_FOUND,
    OVERLOADED,
    PROBLEM_JSON,
    REQUEST_TIMEOUT,
    TOO_SLOW,
    UNSUPPORTED_MEDIA_TYPE,
    Problem,
    ProblemType,
)
from dercp.api.queries import when_given
from dercp.api.routes import JSON, Route, Tagging

DESCRIPTION = """\
The REST facade of a dercp headend.

Power is in MW, positive from the asset into the grid; times are RFC 3339 in UTC; null is not
known. Each path is listed once and served twice, as it stands here and below /v1. GET also
answers HEAD. Every refusal is a problem document (RFC 9457) whose `type` is a page to read.
"""

# Of any operation; of those with an id in the path; of those with a body.
_ALWAYS = (INVALID_PARAMETERS, INTERNAL_ERROR, OVERLOADED, TOO_SLOW)
_WITH_ID = (NOT_FOUND,)
_WITH_BODY = (
    MALFORMED_JSON,
    REQUEST_TIMEOUT,
    BODY_TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    INVALID_BODY,
)

# Of the API, not of the program: what /v1 stands for.
VERSION = "1.0"

JsonSchema = dict[str, Any]


def describe(routes: Sequence[Route]) -> bytes:
    """The description of these routes, encoded."""
    schemas = _Schemas(routes)
    paths: defaultdict[str, JsonSchema] = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = _operation(route, schemas)
    document = {
        "openapi": "3.1.0",
        "info": {"title": "dercp", "version": VERSION, "description": DESCRIPTION},
        "servers": [
            {"url": "/", "description": "as it stands here"},
            {"url": "/v1", "description": "the same, with the version named"},
        ],
        "paths": paths,
        "components": {"schemas": schemas.components},
    }
    return msgspec.json.encode(document)


def problems_of(route: Route) -> tuple[ProblemType, ...]:
    """All that the route may refuse with."""
    return (
        *_ALWAYS,
        *(_WITH_ID if "{" in route.path else ()),
        *(_WITH_BODY if route.body else ()),
        *route.problems,
    )


class _Schemas:
    """The JSON schemas of all shapes in the routes; structs are told once, as components."""

    def __init__(self, routes: Sequence[Route]) -> None:
        shapes: list[Any] = [Problem]
        for route in routes:
            shapes += [route.answer]
            shapes += [route.body] if route.body else []
            shapes += [when_given(field.type) for field in msgspec.structs.fields(route.query)]
        schemas, self.components = msgspec.json.schema_components(
            shapes, ref_template="#/components/schemas/{name}"
        )
        self._by_shape = dict(zip(map(repr, shapes), schemas, strict=True))

    def __getitem__(self, shape: Any) -> JsonSchema:
        return self._by_shape[repr(shape)]


def _operation(route: Route, schemas: _Schemas) -> JsonSchema:
    text = getdoc(route.handler) or ""
    summary, _, description = text.partition("\n\n")
    operation: JsonSchema = {
        "operationId": route.handler.__name__,
        "tags": [route.tag],
        "summary": summary.rstrip("."),
        "description": description,
        "parameters": _parameters(route, schemas),
        "responses": _responses(route, schemas),
    }
    if route.body:
        content = {JSON: {"schema": schemas[route.body]}}
        operation["requestBody"] = {"required": is_required(route.body), "content": content}
    return operation


def _parameters(route: Route, schemas: _Schemas) -> list[JsonSchema]:
    text = {"type": "string"}
    parameters: list[JsonSchema] = []
    if "{id}" in route.path:
        parameters.append({"name": "id", "in": "path", "required": True, "schema": text})
    for name, meaning in {**route.asks_headers, **route.takes_headers}.items():
        parameters.append(
            {
                "name": name,
                "in": "header",
                "required": name in route.asks_headers,
                "description": meaning,
                "schema": text,
            }
        )
    for field in msgspec.structs.fields(route.query):
        schema = dict(schemas[when_given(field.type)])
        if field.default is not None:
            schema["default"] = field.default
        parameters.append({"name": field.encode_name, "in": "query", "schema": schema})
    return parameters


def _responses(route: Route, schemas: _Schemas) -> dict[str, JsonSchema]:
    media_type = route.media_type.partition(";")[0]
    headers = dict(route.tells_headers)
    if route.tagging is Tagging.BUT_FOR_AGES:
        headers["ETag"] = "Weak; the same as long as nothing but ages differs"
    responses: dict[str, JsonSchema] = {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "headers": {
                name: {"description": meaning, "schema": {"type": "string"}}
                for name, meaning in headers.items()
            },
            "content": {
                media_type: {"schema": schemas[route.answer]},
                **{also: {"schema": {"type": "string"}} for also in route.also},
            },
        }
        for status in (route.status, *route.also_statuses)
    }
    if route.tagging is Tagging.BUT_FOR_AGES:
        responses["304"] = {"description": "As the If-None-Match of the request has it"}
    by_status = defaultdict(list)
    for kind in problems_of(route):
        by_status[kind.status].append(f"{kind.slug}: {kind.title}")
    for status, lines in sorted(by_status.items()):
        responses[str(status)] = {
            "description": "; ".join(lines),
            "content": {PROBLEM_JSON: {"schema": schemas[Problem]}},
        }
    return responses
