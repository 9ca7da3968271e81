"""The REST API as the commands for people use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

import httpx
import msgspec

from dercp.cli.exits import CommandError, Exit
from dercp.cli.shapes import Page, Problem

REQUEST_WITHIN_S = 10.0
PAGE = 1_000
# A proxy of the environment is for the world, not for this machine.
_DIRECT = {"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None}

T = TypeVar("T")


class Unavailable(CommandError):
    """The headend does not answer now. Nothing was done."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, code=Exit.UNAVAILABLE)


class Unanswered(Unavailable):
    """The request went out and no answer came: whether it was done is not known."""


class ApiClient:
    """One headend's API.

    Every method raises `Unavailable` when nothing answers, and `CommandError` when the
    answer is no, or not one of dercp's.
    """

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None) -> None:
        self._url = url
        self._http = httpx.Client(
            base_url=url, timeout=REQUEST_WITHIN_S, transport=transport, mounts=_DIRECT
        )

    def get(self, path: str, shape: type[T], **query: str | int | None) -> T:
        """One JSON document."""
        return self._read(self._send("GET", path, query), shape)

    def items(self, path: str, **query: str | None) -> Iterator[msgspec.Raw]:
        """All items of a list as the API gives them, page after page."""
        cursor: str | None = None
        while True:
            page = self.get(path, Page[msgspec.Raw], **query, limit=PAGE, cursor=cursor)
            yield from page.items
            # A cursor that does not move would never end.
            if not page.next or page.next == cursor:
                return
            cursor = page.next

    def post(self, path: str, body: object, headers: Mapping[str, str]) -> msgspec.Raw:
        """Hand something in; the answer as the API gives it."""
        answer = self._send("POST", path, {}, content=msgspec.json.encode(body), headers=headers)
        return self._read(answer, msgspec.Raw)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int | None],
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        given = {name: value for name, value in query.items() if value is not None}
        sent = {"Content-Type": "application/json"} if content else {}
        try:
            return self._http.request(
                method, path, params=given, content=content, headers={**sent, **(headers or {})}
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise Unavailable(
                f"no headend answers at {self._url} ({_reason(error)}); start one with "
                "`dercp demo` or `dercp headend`, or name another with --url or DERCP_URL"
            ) from None
        except httpx.RequestError as error:
            raise Unanswered(
                f"the headend at {self._url} did not answer ({_reason(error)})"
            ) from None

    def _read(self, response: httpx.Response, shape: type[T]) -> T:
        try:
            if response.is_success:
                return msgspec.json.decode(response.content, type=shape)
            problem = msgspec.json.decode(response.content, type=Problem)
        except msgspec.MsgspecError:
            raise CommandError(
                f"what answers at {self._url} does not speak dercp's API "
                f"(HTTP {response.status_code}); name the headend with --url or DERCP_URL",
                code=Exit.UNAVAILABLE,
            ) from None
        sentence = problem.detail or problem.title
        if response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise Unavailable(f"the headend at {self._url} cannot answer now: {sentence}")
        told_apart = [fault.detail for fault in problem.errors if fault.detail not in sentence]
        raise CommandError(sentence, *told_apart)


def read(item: msgspec.Raw, shape: type[T]) -> T:
    """One item of a list, or an answer kept for later.

    Raises:
        CommandError: It is not what dercp's API gives there.
    """
    try:
        return msgspec.json.decode(item, type=shape)
    except msgspec.MsgspecError as error:
        raise CommandError(
            f"the answer is not what this release expects ({error}); is the headend another one?",
            code=Exit.UNAVAILABLE,
        ) from None


def _reason(error: httpx.RequestError) -> str:
    """The cause in words, without its number."""
    return str(error).partition("] ")[2] or str(error) or type(error).__name__
