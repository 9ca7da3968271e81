"""`WS /ws`: the live stream over a WebSocket, several subscriptions on one."""

from math import inf
from typing import Protocol, assert_never
from urllib.parse import urlsplit

import trio

from dercp.api.live.events import Event, encode_event
from dercp.api.live.follower import Follower, Mark, following
from dercp.api.live.messages import (
    Subscribe,
    Unsubscribe,
    event_text,
    read_message,
    refusal_text,
)
from dercp.api.live.stream import LiveStream
from dercp.api.problems import FOREIGN_ORIGIN, INVALID_BODY, TOO_MANY_SUBSCRIPTIONS, Fault, Refusal

# RFC 6455, section 7.4.1.
GOING_AWAY = 1001
POLICY_VIOLATION = 1008

HEARTBEAT = encode_event("heartbeat", {})
UNSUBSCRIBED = encode_event("unsubscribed", {})
# After these a subscription has no more to tell.
LAST = (UNSUBSCRIBED.kind, Mark.BYE)


class Wire(Protocol):
    """The two ends of an accepted WebSocket."""

    async def receive(self) -> str | bytes:
        """The next message."""
        ...

    async def send(self, data: str) -> None:
        """Send a message; returns when the peer has room for more."""
        ...

    async def close(self, code: int, reason: str = "") -> None:
        """End it."""
        ...


def check_origin(origin: str | None, host: str) -> None:
    """See that a browser brings no page of somebody else: it would read as its user.

    Raises:
        Refusal: It does.
    """
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        detail = f"a page of {origin[:80]!r} may not follow {host[:80]!r}"
        raise Refusal(FOREIGN_ORIGIN, detail)


class Socket:
    """One client's WebSocket.

    Characteristics:
        Subscriptions: `subscriptions_max`; each is told at the pace at which it is read.
        Faults: each is answered; the one after `socket_faults_max` ends the socket.
        Idle: without a subscription it ends after `idle_s`.
    """

    def __init__(self, live: LiveStream, wire: Wire) -> None:
        self._live = live
        self._wire = wire
        self._subscriptions: dict[str, _Subscription] = {}

    async def run(self) -> None:
        """Serve until either end has enough."""
        async with trio.open_nursery() as telling:
            async with trio.open_nursery() as listening:
                listening.start_soon(self._end_with_stream, listening.cancel_scope)
                await self._listen(telling)
                listening.cancel_scope.cancel("nothing more is heard from this client")
            for subscription in self._subscriptions.values():
                subscription.drop()
        if self._live.is_closed:
            await self._wire.close(GOING_AWAY, "the headend ends its streams")
        else:
            await self._wire.close(POLICY_VIOLATION, "no subscription, or too many faults")

    async def _end_with_stream(self, listening: trio.CancelScope) -> None:
        await self._live.wait_closed()
        listening.cancel("the stream is closed")

    async def _listen(self, telling: trio.Nursery) -> None:
        faults = 0
        while faults <= self._live.settings.socket_faults_max:
            said = await self._next_said()
            if said is None:
                return
            try:
                message = read_message(said)
                match message:
                    case Subscribe():
                        telling.start_soon(self._tell, message, self._add(message.id))
                    case Unsubscribe():
                        self._find(message.id).drop()
                    case _:
                        assert_never(message)
            except Refusal as refusal:
                faults += 1
                await self._wire.send(refusal_text(refusal))

    async def _next_said(self) -> str | bytes | None:
        """The next message; None when the client wants nothing for too long."""
        wanting = any(not each.is_dropped for each in self._subscriptions.values())
        with trio.move_on_after(inf if wanting else self._live.settings.idle_s):
            return await self._wire.receive()
        return None

    def _add(self, name: str) -> "_Subscription":
        if name in self._subscriptions:
            raise _wrong("#/id", f"id: there is a subscription {name!r} already")
        most = self._live.settings.subscriptions_max
        if len(self._subscriptions) >= most:
            detail = f"this socket has {most} subscriptions already"
            raise Refusal(TOO_MANY_SUBSCRIPTIONS, detail)
        subscription = self._subscriptions[name] = _Subscription()
        return subscription

    def _find(self, name: str) -> "_Subscription":
        if name not in self._subscriptions:
            raise _wrong("#/unsubscribe", f"unsubscribe: there is no subscription {name!r}")
        return self._subscriptions[name]

    async def _tell(self, asked: Subscribe, subscription: "_Subscription") -> None:
        """Send what a subscription has, until it is dropped or the stream ends."""
        with following(self._live, asked.wanted, asked.wanted.last_event_id) as follower:
            last = ""
            while last not in LAST:
                event = await subscription.next(follower)
                last = event.kind
                await self._wire.send(event_text(asked.id, event))
        del self._subscriptions[asked.id]


class _Subscription:
    """Whether it is wanted still. Never cut in the midst of a message that is being sent."""

    def __init__(self) -> None:
        self._waiting = trio.CancelScope()
        self.is_dropped = False

    def drop(self) -> None:
        """It is not."""
        self.is_dropped = True
        self._waiting.cancel("the subscription was dropped")

    async def next(self, follower: Follower) -> Event:
        """What to send next."""
        with trio.CancelScope() as self._waiting:
            if not self.is_dropped:
                return await follower.next() or HEARTBEAT
        return UNSUBSCRIBED


def _wrong(pointer: str, detail: str) -> Refusal:
    return Refusal(INVALID_BODY, detail, faults=[Fault(pointer=pointer, detail=detail)])
