"""`GET /stream`: the live stream as Server-Sent Events."""

from collections.abc import AsyncIterator

from dercp.api.live.events import encode_event
from dercp.api.live.follower import Mark, following
from dercp.api.live.selection import StreamQuery
from dercp.api.live.stream import LiveStream, TooManyClients
from dercp.api.problems import TOO_MANY_STREAMS, Refusal
from dercp.api.routes import Call, Endless

MEDIA_TYPE = "text/event-stream"
LAST_EVENT_ID = "Last-Event-ID"
HEADERS = {
    # Proxies that gather an answer before they pass it on would keep it for ever.
    "X-Accel-Buffering": "no",
}
RETRY_AFTER_S = 5.0
# How long a browser waits before it comes back.
HINT = b"retry: 2000\n\n"
HEARTBEAT = b": heartbeat\n\n"


async def follow(call: Call[StreamQuery]) -> Endless[str]:
    """Everything that is known, then whatever changes.

    Server-Sent Events. First `snapshot`, then everything there is, then `live`; from there on
    what changes. The kinds of events are `asset`, `agent`, `dispatch`, `telemetry`, and those
    that tell of the stream itself: `snapshot`, `resume`, `reset`, `lagged`, `live`, `bye`. The
    data of each is JSON. Telemetry is told once a tick, as tables. docs/api.md has it all.
    """
    live = call.services.live
    if not live.has_room:
        raise no_room(live)
    place = call.headers.get(LAST_EVENT_ID, "")
    return Endless(chunks=_chunks(live, call.query, place), headers=HEADERS)


def no_room(live: LiveStream) -> Refusal:
    """The refusal of one client too many."""
    live.counts["refused"] += 1
    detail = f"{live.settings.streams_max} clients follow already"
    return Refusal(TOO_MANY_STREAMS, detail, retry_after_s=RETRY_AFTER_S)


async def _chunks(live: LiveStream, query: StreamQuery, place: str) -> AsyncIterator[bytes]:
    yield HINT
    try:
        with live.client(), following(live, query, place) as follower:
            event = None
            while event is None or event.kind != Mark.BYE:
                event = await follower.next()
                yield HEARTBEAT if event is None else event.sse
    except TooManyClients:
        # Somebody was faster since there was room.
        yield encode_event(Mark.BYE, {"reason": "too many clients follow already"}).sse
