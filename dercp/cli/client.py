"""The REST API as the commands for people use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from dercp.cli.exits import Exit, fail

REQUEST_WITHIN_S = 10.0
PAGE = 1_000


class ApiClient:
    """One headend's API. What goes wrong ends the command with a sentence and an exit code."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._http = httpx.Client(base_url=self._url, timeout=REQUEST_WITHIN_S)

    def get(self, path: str, **query: str | int | list[str]) -> dict[str, Any]:
        """One JSON document."""
        return self._body(self._send("GET", path, params=query))

    def items(self, path: str, **query: str | int | list[str]) -> Iterator[dict[str, Any]]:
        """All items of a list, page after page."""
        cursor: str | None = None
        while True:
            page = self.get(path, **query, limit=PAGE, **({"cursor": cursor} if cursor else {}))
            yield from page["items"]
            cursor = page.get("next")
            if not cursor:
                return

    def post(
        self, path: str, body: Mapping[str, object], headers: Mapping[str, str]
    ) -> dict[str, Any]:
        """Hand something in."""
        return self._body(self._send("POST", path, json=body, headers=headers))

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **request)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            fail(
                f"no headend answers at {self._url} ({error}); start one with `dercp demo` or "
                "`dercp headend`, or name another with --url or DERCP_URL",
                Exit.UNAVAILABLE,
            )

    def _body(self, response: httpx.Response) -> dict[str, Any]:
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            fail(f"{self._url} does not speak dercp's API (HTTP {response.status_code})")
        if not response.is_success:
            fail(_problem(body) or response.reason_phrase)
        return body


def _problem(body: Mapping[str, Any]) -> str:
    """The sentences of an RFC 9457 problem."""
    errors = [f"{each.get('pointer')}: {each.get('detail')}" for each in body.get("errors", [])]
    return "; ".join([str(body.get("detail") or body.get("title") or ""), *errors])
