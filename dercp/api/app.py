"""The application: requests in, handlers called, answers out, and no other way to refuse."""

import re
from collections.abc import Mapping
from hashlib import blake2b
from http import HTTPStatus
from math import ceil
from typing import Any
from uuid import uuid4

import msgspec
import structlog
import trio
from quart import has_request_context, request, websocket
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioResponse as Response
from werkzeug.exceptions import (
    HTTPException,
    MethodNotAllowed,
    NotFound,
    RequestEntityTooLarge,
    RequestTimeout,
)

from dercp.api.bodies import is_required, read_body
from dercp.api.live.sockets import Socket, check_origin
from dercp.api.live.sse import no_room
from dercp.api.live.stream import LiveStream, TooManyClients
from dercp.api.openapi import describe
from dercp.api.ports import DispatchDesk, FleetReader, HistoryReader, Operations, Portfolios
from dercp.api.problems import (
    BODY_TOO_LARGE,
    INTERNAL_ERROR,
    MALFORMED_REQUEST,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    OVERLOADED,
    PROBLEM_JSON,
    REQUEST_TIMEOUT,
    TOO_SLOW,
    UNSUPPORTED_MEDIA_TYPE,
    Refusal,
)
from dercp.api.queries import Query, read_query
from dercp.api.routes import (
    JSON,
    BodyCall,
    Call,
    Endless,
    Reply,
    Result,
    Route,
    Services,
    Stream,
    Tagging,
)
from dercp.api.settings import ApiSettings
from dercp.api.table import ROUTES
from dercp.model.time import Clock

PREFIXES = ("", "/v1")
SOCKET_PATH = "/ws"

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# Of all members named or ending so.
_AGES = re.compile(rb'age_s":[^,}]*')

_log = structlog.get_logger()
_encoder = msgspec.json.Encoder()


def create_app(
    reader: FleetReader,
    history: HistoryReader,
    desk: DispatchDesk,
    portfolios: Portfolios,
    operations: Operations,
    live: LiveStream,
    clock: Clock,
    settings: ApiSettings,
) -> QuartTrio:
    """The REST facade over a headend, with its live stream."""
    app = QuartTrio("dercp.api", static_folder=None, template_folder=None)
    app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = settings.body_bytes_max
    app.config["BODY_TIMEOUT"] = settings.body_within_s
    app.config["RESPONSE_TIMEOUT"] = settings.fetched_within_s
    services = Services(
        reader, history, desk, portfolios, operations, live, clock, describe(ROUTES)
    )
    gate = trio.CapacityLimiter(settings.requests_max)
    for route in ROUTES:
        endpoint = _Endpoint(route, services, settings, gate)
        for prefix in PREFIXES:
            path = prefix + route.path.replace("{id}", "<id>")
            name = f"{route.method} {path}"
            app.add_url_rule(path, name, endpoint.answer, methods=[route.method])
    for prefix in PREFIXES:
        path = prefix + SOCKET_PATH
        app.add_websocket(path, path, _Sockets(live).serve)
    app.add_url_rule("/", "/", _to_docs)
    app.register_error_handler(Refusal, _refused)
    app.register_error_handler(HTTPException, _refused_by_quart)
    app.register_error_handler(Exception, _failed)
    app.after_request(_finish)
    return app


class _Endpoint:
    """Serves one route: checks the request, calls the handler, encodes the answer."""

    def __init__(
        self, route: Route, services: Services, settings: ApiSettings, gate: trio.CapacityLimiter
    ) -> None:
        self._route = route
        self._services = services
        self._answer_within_s = settings.answer_within_s
        self._streamed_within_s = settings.streamed_within_s
        self._gate = gate

    async def answer(self, **path: str) -> Response:
        try:
            self._gate.acquire_nowait()
        except trio.WouldBlock:
            detail = f"{self._gate.total_tokens} requests are being served already"
            raise Refusal(OVERLOADED, detail, retry_after_s=1) from None
        try:
            call = await self._read(path, self._media_type())
            with trio.fail_after(self._answer_within_s):
                result = await self._route.handler(call)
        except trio.TooSlowError as error:
            detail = f"no answer within {self._answer_within_s:g} s"
            raise Refusal(TOO_SLOW, detail, retry_after_s=1) from error
        finally:
            self._gate.release()
        return self._respond(result, call.media_type)

    def _media_type(self) -> str:
        """The one that Accept prefers; whoever can take none of ours is given the usual one."""
        offered = (self._route.media_type, *self._route.also)
        chosen = request.accept_mimetypes.best_match(offered, default=offered[0])
        return chosen or offered[0]

    async def _read(self, path: Mapping[str, str], media_type: str) -> Call[Any]:
        query = read_query(self._route.query, request.args.items(multi=True))
        name = path.get("id", "")
        headers = {
            asked: ", ".join(request.headers.getlist(asked))
            for asked in (*self._route.asks_headers, *self._route.takes_headers)
            if asked in request.headers
        }
        if self._route.body is None:
            return Call(
                services=self._services,
                query=query,
                id=name,
                headers=headers,
                media_type=media_type,
            )
        return BodyCall(
            services=self._services,
            query=query,
            id=name,
            headers=headers,
            media_type=media_type,
            body=read_body(self._route.body, await _content_for(self._route.body)),
        )

    def _respond(self, result: Result, media_type: str) -> Response:
        match result:
            case Stream(chunks=chunks):
                response = Response(chunks, content_type=media_type)
                if media_type in self._route.also:
                    response.timeout = self._streamed_within_s
                return response
            case Endless(chunks=chunks, headers=headers):
                # Of HEAD the end would never come.
                content = b"" if request.method == "HEAD" else chunks
                response = Response(content, headers=dict(headers), content_type=media_type)
                response.timeout = None
                return response
            case Reply(content=content, headers=headers, status=status):
                return self._respond_with(content, headers, status)
            case _:
                return self._respond_with(_encoder.encode(result), {}, None)

    def _respond_with(
        self, content: bytes, headers: Mapping[str, str], status: int | None
    ) -> Response:
        response = Response(
            content,
            status=status or self._route.status,
            headers=dict(headers),
            content_type=self._route.media_type,
        )
        if self._route.tagging is Tagging.BUT_FOR_AGES:
            tag = _tag_but_for_ages(content)
            response.set_etag(tag, weak=True)
            if request.if_none_match.contains_weak(tag):
                response.status_code = HTTPStatus.NOT_MODIFIED
                response.set_data(b"")
        return response


class _Sockets:
    """Serves the WebSockets of the live stream."""

    def __init__(self, live: LiveStream) -> None:
        self._live = live

    async def serve(self) -> None:
        read_query(Query, websocket.args.items(multi=True))
        check_origin(websocket.headers.get("Origin"), websocket.headers.get("Host", ""))
        try:
            with self._live.client():
                await websocket.accept()
                await Socket(self._live, websocket).run()
        except TooManyClients:
            raise no_room(self._live) from None


async def _content_for(shape: type[msgspec.Struct]) -> bytes:
    """The body; one that may be left out, and is, needs no type."""
    is_json = request.mimetype == JSON and "Content-Encoding" not in request.headers
    if not is_json and is_required(shape):
        raise _wrong_type()
    content = await request.get_data(cache=False, as_text=False, parse_form_data=False)
    if not is_json and content:
        raise _wrong_type()
    return content


def _wrong_type() -> Refusal:
    return Refusal(
        UNSUPPORTED_MEDIA_TYPE,
        f"expected Content-Type: {JSON} and no Content-Encoding, "
        f"got {request.headers.get('Content-Type', 'none')!r}",
    )


def _tag_but_for_ages(content: bytes) -> str:
    """The same for answers that differ in nothing but ages, which a reader can count on."""
    return blake2b(_AGES.sub(b"", content), digest_size=12).hexdigest()


def _problem(refusal: Refusal) -> Response:
    response = Response(
        _encoder.encode(refusal.problem), status=refusal.kind.status, content_type=PROBLEM_JSON
    )
    if refusal.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, ceil(refusal.retry_after_s)))
    return response


async def _refused(refusal: Refusal) -> Response:
    return _problem(refusal)


async def _refused_by_quart(error: HTTPException) -> Response:
    """What Quart refuses before a handler is called."""
    match error:
        case NotFound():
            refusal = Refusal(NOT_FOUND, f"there is no path {_path()[:80]!r}")
        case MethodNotAllowed():
            refusal = Refusal(
                METHOD_NOT_ALLOWED, f"{request.path[:80]} does not know {request.method}"
            )
        case RequestEntityTooLarge():
            limit = request.max_content_length
            refusal = Refusal(BODY_TOO_LARGE, f"the body has more than {limit} bytes")
        case RequestTimeout():
            refusal = Refusal(REQUEST_TIMEOUT, "the body did not arrive in time")
        case _:
            refusal = Refusal(MALFORMED_REQUEST, error.description or error.name)
    response = _problem(refusal)
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(error.valid_methods or ())
    return response


async def _failed(error: Exception) -> Response:
    """A defect: told by an id to the caller, and with all it has to the log."""
    instance = uuid4().urn
    _log.error("request_failed", instance=instance, path=_path(), exc_info=error)
    detail = "the headend made a mistake; its log has the details under this instance"
    return _problem(Refusal(INTERNAL_ERROR, detail, instance=instance))


def _path() -> str:
    return request.path if has_request_context() else websocket.path


async def _to_docs() -> Response:
    return Response(status=307, headers={"Location": "/docs"})


async def _finish(response: Response) -> Response:
    """The headers of every answer; to OPTIONS, Allow is all there is to say."""
    if request.method == "OPTIONS" and response.status_code == HTTPStatus.OK:
        response.status_code = HTTPStatus.NO_CONTENT
        del response.headers["Content-Type"]
    if "Allow" in response.headers:
        response.headers["Allow"] = ", ".join(sorted(response.allow))
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response
