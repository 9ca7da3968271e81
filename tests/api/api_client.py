"""A test client for which every answer must be one that the OpenAPI description promises."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from jsonschema import Draft202012Validator
from quart_trio import QuartTrio

from dercp.api.openapi import describe
from dercp.api.table import ROUTES

DESCRIPTION: dict[str, Any] = msgspec.json.decode(describe(ROUTES))


class Answer(msgspec.Struct, frozen=True):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.content)

    @property
    def problem(self) -> str:
        """The slug of the problem."""
        assert self.headers["content-type"] == "application/problem+json", self.content
        return str(self.json["type"]).removeprefix("/problems/")


class CheckedClient:
    """Asks an application and checks what it answers."""

    def __init__(self, app: QuartTrio) -> None:
        # Quart's own protocol for it wants arguments that its client does not.
        self._client: Any = app.test_client()

    async def get(self, path: str, **headers: str) -> Answer:
        """GET, with headers named as Python can (`if_none_match`)."""
        return await self.ask("GET", path, headers=_header_names(headers))

    async def dispatch(self, body: object, *, key: str | None = "key-1") -> Answer:
        """POST a dispatch."""
        return await self.send("POST", "/dispatch", body, idempotency_key=key)

    async def send(self, method: str, path: str, body: object, **headers: str | None) -> Answer:
        """Send JSON, with headers named as Python can (`if_match`); None leaves one out."""
        given = {name: value for name, value in headers.items() if value is not None}
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        named = {"Content-Type": "application/json", **_header_names(given)}
        return await self.ask(method, path, headers=named, content=content)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
    ) -> Answer:
        """Send a request; hold the answer to the description."""
        response = await self._client.open(
            path, method=method, headers=dict(headers or {}), data=content
        )
        answer = Answer(
            response.status_code,
            {name.lower(): value for name, value in response.headers.items()},
            await response.get_data(as_text=False),
        )
        _check(method, path, answer)
        return answer


def operation_of(method: str, path: str) -> dict[str, Any] | None:
    """What the description says of a request; None when it says nothing."""
    plain = path.partition("?")[0].removeprefix("/v1")
    for template, methods in DESCRIPTION["paths"].items():
        if re.fullmatch(re.escape(template).replace(r"\{id\}", "[^/]+"), plain):
            found: dict[str, Any] | None = methods.get(method.lower())
            return found
    return None


def _check(method: str, path: str, answer: Answer) -> None:
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    if answer.status >= 400:
        _check_shape(answer, {"$ref": "#/components/schemas/Problem"})
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json["status"] == answer.status
    operation = operation_of(method, path)
    if operation is None:
        return
    promised = operation["responses"][str(answer.status)]
    if answer.status == 304:
        assert answer.content == b""
        return
    media_type = answer.headers["content-type"].partition(";")[0]
    schema = promised["content"][media_type]["schema"]
    if media_type.endswith(("/json", "+json")):
        _check_shape(answer, schema)
    for name in promised.get("headers", {}):
        assert name.lower() in answer.headers


def _check_shape(answer: Answer, schema: dict[str, Any]) -> None:
    whole = {**schema, "components": DESCRIPTION["components"]}
    Draft202012Validator(whole).validate(answer.json)


def _header_names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-").title(): value for name, value in headers.items()}
