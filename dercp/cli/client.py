"""The REST API as the commands for people use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, NoReturn, TypeVar

import httpx
import msgspec

from dercp.cli.exits import CommandError, Exit
from dercp.cli.shapes import Moved, Page, Problem

REQUEST_WITHIN_S = 10.0
PAGE = 1_000
# A proxy of the environment is for the world, not for this machine.
_DIRECT = {"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None}
_GATEWAY_ERRORS = frozenset({502, 503, 504})

T = TypeVar("T")


class Unavailable(CommandError):
    """The headend does not answer now. Nothing was done.

    Attributes:
        retry_after_s: When it says that one should ask again.
    """

    def __init__(self, sentence: str, retry_after_s: float = 0.0) -> None:
        super().__init__(sentence, code=Exit.UNAVAILABLE)
        self.retry_after_s = retry_after_s


class Unanswered(Unavailable):
    """The request went out and no answer came: whether it was done is not known."""


class NotThere(CommandError):
    """The headend knows nothing of that name."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    content: bytes
    retry_after_s: float


class ApiClient:
    """One headend's API.

    Every method raises `Unavailable` when nothing answers, and `CommandError` when the
    answer is no, or not one of dercp's.
    """

    def __init__(
        self,
        url: str,
        transport: httpx.BaseTransport | None = None,
        *,
        within_s: float = REQUEST_WITHIN_S,
    ) -> None:
        self._url = url
        self._http = httpx.Client(
            base_url=url, timeout=within_s, transport=transport, mounts=_DIRECT
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

    def stream(self, path: str, media_type: str, **query: str | int | None) -> Iterator[bytes]:
        """An answer of any length, as it comes. One that is cut short raises `Unanswered`."""
        with self._asked("GET", path, query, headers={"Accept": media_type}) as response:
            if not response.is_success:
                self._refuse(_whole(response))
            yield from response.iter_bytes()

    def newest(self, path: str, limit: int, **query: str | None) -> list[msgspec.Raw]:
        """The first items of a list."""
        return self.get(path, Page[msgspec.Raw], **query, limit=limit).items

    def post(self, path: str, body: object, headers: Mapping[str, str]) -> msgspec.Raw:
        """Hand something in; the answer as the API gives it."""
        return self.change("POST", path, headers, body)

    def change(
        self, method: str, path: str, headers: Mapping[str, str], body: object = None
    ) -> msgspec.Raw:
        """Change something; the answer as the API gives it. A body of None is none."""
        content = None if body is None else msgspec.json.encode(body)
        answer = self._send(method, path, {}, content=content, headers=headers)
        return self._read(answer, msgspec.Raw)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int | None],
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        sent = {"Content-Type": "application/json"} if content else {}
        headers = {**sent, **(headers or {})}
        with self._asked(method, path, query, content=content, headers=headers) as response:
            return _whole(response)

    @contextmanager
    def _asked(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int | None],
        *,
        headers: Mapping[str, str],
        content: bytes | None = None,
    ) -> Iterator[httpx.Response]:
        given = {name: value for name, value in query.items() if value is not None}
        asked = self._http.stream(method, path, params=given, content=content, headers=headers)
        with self._silence_told(), asked as response:
            yield response

    @contextmanager
    def _silence_told(self) -> Iterator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise Unavailable(
                f"no headend answers at {self._url} ({_reason(error)}); start one with "
                "`dercp demo` or `dercp headend`, or name another with --url or DERCP_URL"
            ) from None
        except httpx.RequestError as error:
            raise Unanswered(
                f"the headend at {self._url} did not answer ({_reason(error)})"
            ) from None

    def _read(self, answer: Answer, shape: type[T]) -> T:
        if not httpx.codes.is_success(answer.status):
            self._refuse(answer)
        try:
            return msgspec.json.decode(answer.content, type=shape)
        except msgspec.MsgspecError:
            raise self._stranger(answer) from None

    def _refuse(self, answer: Answer) -> NoReturn:
        """Raise what the headend has to say instead of an answer."""
        try:
            problem = msgspec.json.decode(answer.content, type=Problem)
        except msgspec.MsgspecError:
            raise self._stranger(answer) from None
        sentence = problem.detail or problem.title
        if answer.status >= 500 or answer.status == httpx.codes.TOO_MANY_REQUESTS:
            raise Unavailable(
                f"the headend at {self._url} cannot answer now: {sentence}", answer.retry_after_s
            )
        told_apart = [fault.detail for fault in problem.errors if fault.detail not in sentence]
        told_apart += map(_moved, problem.moved)
        if answer.status == httpx.codes.NOT_FOUND:
            raise NotThere(sentence, *told_apart)
        raise CommandError(sentence, *told_apart)

    def _stranger(self, answer: Answer) -> CommandError:
        sentence = (
            f"what answers at {self._url} does not speak dercp's API "
            f"(HTTP {answer.status}); name the headend with --url or DERCP_URL"
        )
        # A proxy speaks for a headend that is away.
        if answer.status in _GATEWAY_ERRORS:
            return Unavailable(sentence, answer.retry_after_s)
        return CommandError(sentence, code=Exit.UNAVAILABLE)


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


def _moved(share: Moved) -> str:
    why = f" ({share.reason})" if share.reason else ""
    name = share.id or "unplaced"
    return f"{name}: {share.planned_mw:+z.3f} MW planned, {share.now_mw:+z.3f} MW now{why}"


def _whole(response: httpx.Response) -> Answer:
    # Not `read()`: httpx would keep the content until Python looks for cycles, and an export
    # reads megabytes a second.
    content = b"".join(response.iter_bytes())
    retry_after_s = _seconds(response.headers.get("Retry-After", ""))
    return Answer(response.status_code, content, retry_after_s)


def _seconds(text: str) -> float:
    """Of a Retry-After header; a date there, or anything else, is no reason to wait longer."""
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _reason(error: httpx.RequestError) -> str:
    """The cause in words, without its number."""
    return str(error).partition("] ")[2] or str(error) or type(error).__name__
