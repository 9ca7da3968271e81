"""One call to the headend, from the Hello to its end. What to do is decided in `session`."""

import math
from collections.abc import Callable
from typing import Final, Protocol, assert_never

import msgspec
import structlog
import trio

from dercp.edge.collector import FrameLimits
from dercp.edge.desk import Desk
from dercp.edge.journal import Journal
from dercp.edge.spool.outbox import Batch, Outbox, Outgoing, Sequences
from dercp.edge.uplink import session as talk
from dercp.edge.uplink.bell import Bell
from dercp.edge.uplink.headend_time import HeadendTime
from dercp.edge.uplink.messages import (
    earlier_registration,
    heartbeat,
    parcel_message,
    report_message,
)
from dercp.edge.uplink.session import Live, Over, Session
from dercp.link import LinkError
from dercp.model.time import Clock
from dercp.wire import WireError, v1
from dercp.wire.envelope import decode_downlink, encode_uplink
from dercp.wire.registration import registration_id

__all__ = ["Conversation", "Line", "Topics"]

# Sequence ranges of one acknowledgement that are looked at; the decoder bounds its bytes.
RANGES_MAX: Final = 1000
PART_WITHIN_S: Final = 2.0


class Line(Protocol):
    """What is needed of a call; `dercp.link.ClientCall` is one."""

    async def send(self, message: bytes) -> None:
        """Send a message, in bounded time."""

    async def receive(self) -> bytes | None:
        """The next message; None at the orderly end."""

    async def end(self) -> None:
        """Send no more."""


class Topics(msgspec.Struct, frozen=True, kw_only=True):
    """What a conversation is about. All of it outlives the call."""

    hello: Callable[[], v1.Hello]
    bell: Bell
    outbox: Outbox
    journal: Journal
    desk: Desk
    clock: Clock
    headend_time: HeadendTime
    frame_limits: FrameLimits


class Conversation:
    """Says what waits to be said and does what it is told.

    Characteristics:
        Goes first: heartbeats, then dispatch updates, then telemetry.
        Ends: on anything that cannot be understood, on silence, on the headend's word, or
            after `leave` once nothing waits any more.
    """

    def __init__(
        self, line: Line, topics: Topics, attempt: int, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self.session = talk.open_session(attempt, trio.current_time())
        self.refusals = 0
        self._line = line
        self._topics = topics
        self._log = log
        self._message_bytes_max = math.inf
        self._beat_due = False
        # The registrations that the headend knows, as far as we can tell.
        self._told: set[bytes] = set()
        self._leaving = False
        self._parting = False
        self._moved = Bell()
        self._over = trio.Event()

    async def run(self) -> Session:
        """Talk until the session is over."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._speak)
                nursery.start_soon(self._listen)
                nursery.start_soon(self._watch_time)
                await self._over.wait()
                nursery.cancel_scope.cancel("the session is over")
        finally:
            self._topics.outbox.end_session()
        if self._parting:
            with trio.move_on_after(PART_WITHIN_S):
                await self._part()
        return self.session

    def leave(self) -> None:
        """Say what waits, then part."""
        self._leaving = True
        if not isinstance(self.session.phase, Live):
            self._feed(talk.LinkLost("the agent stops"))
        self._topics.bell.ring()

    # -------------------------------------------------------------- in and out

    async def _listen(self) -> None:
        try:
            while (content := await self._line.receive()) is not None:
                self._feed(_understood(content))
        except LinkError as error:
            self._feed(talk.LinkLost(str(error)))
        else:
            self._feed(talk.LinkLost("the call was ended"))

    async def _part(self) -> None:
        """End our half, and wait for the other end to have read it."""
        try:
            await self._line.end()
            while await self._line.receive() is not None:
                pass
        except LinkError as error:
            self._log.info("parted_roughly", why=str(error))

    async def _speak(self) -> None:
        try:
            await self._say_hello()
            while True:
                if not isinstance(self.session.phase, Live) or not await self._say_next():
                    await self._topics.bell.wait()
        except LinkError as error:
            self._feed(talk.LinkLost(str(error)))

    async def _say_hello(self) -> None:
        hello = self._topics.hello()
        self._told.add(registration_id(hello.registration))
        self._topics.headend_time.begin()
        self._topics.headend_time.ask()
        await self._line.send(encode_uplink(v1.Uplink(hello=hello)))

    async def _say_next(self) -> bool:
        """Send one message, the most urgent; False when none waits."""
        topics = self._topics
        if self._beat_due:
            self._beat_due = False
            message = heartbeat(topics.clock(), topics.outbox.statistics())
            topics.headend_time.ask()
            await self._line.send(encode_uplink(message))
        elif (report := topics.journal.next_unsent()) is not None:
            await self._line.send(encode_uplink(report_message(report)))
            topics.journal.sent(report)
        elif (outgoing := topics.outbox.next_unsent()) is not None:
            await self._send_parcel(outgoing)
        elif self._leaving:
            await self._line.end()
            return False
        else:
            return False
        return True

    async def _send_parcel(self, outgoing: Outgoing) -> None:
        outbox, parcel = self._topics.outbox, outgoing.parcel
        if isinstance(parcel, Batch) and parcel.frame.registration_id not in self._told:
            await self._tell_registration(parcel.frame.registration_id)
            return
        content = encode_uplink(parcel_message(outgoing, outbox.spool_id))
        if isinstance(parcel, Batch) and len(content) > self._message_bytes_max:
            # It was framed for a headend that took more. Sent, it would end every session.
            self._log.error("batch_too_large", sequence=parcel.sequence, bytes=len(content))
            outbox.refused(parcel, "too_large")
            return
        await self._line.send(content)
        outbox.sent(outgoing)

    async def _tell_registration(self, earlier_id: bytes) -> None:
        """Before the first batch that was written under it; that one has its turn again."""
        self._told.add(earlier_id)
        content = self._topics.outbox.registration(earlier_id)
        if content is None:
            return  # written by a release that kept none: the headend may know it all the same
        message = encode_uplink(earlier_registration(content))
        if len(message) > self._message_bytes_max:
            self._log.error("registration_too_large", bytes=len(message))
            return
        await self._line.send(message)

    async def _watch_time(self) -> None:
        while True:
            with trio.move_on_at(talk.next_deadline_s(self.session)):
                await self._moved.wait()
                continue
            self._feed(talk.Tick())

    # --------------------------------------------------------------- decisions

    def _feed(self, event: talk.Event) -> None:
        step = talk.advance(self.session, event, trio.current_time())
        self.session = step.session
        for command in step.commands:
            self._obey(command)
        self._moved.ring()
        if isinstance(self.session.phase, Over):
            self._over.set()

    def _obey(self, command: talk.Command) -> None:
        topics = self._topics
        match command:
            case talk.Begin(welcome):
                self._begin(welcome)
            case talk.Beat():
                self._beat_due = True
                topics.bell.ring()
            case talk.Part():
                self._parting = True
            case talk.Observe(time_us):
                topics.headend_time.answered(time_us)
            case talk.Execute(dispatch):
                topics.desk.execute(dispatch)
            case talk.Recall(cancel):
                topics.desk.recall(cancel)
            case talk.Acknowledge(ack):
                ranges = [Sequences(r.first, r.last) for r in ack.ranges[:RANGES_MAX]]
                topics.outbox.acknowledged(ack.spool_id, ranges)
            case talk.Refuse(reject):
                self._note_refusal(reject)
            case _:
                assert_never(command)

    def _note_refusal(self, reject: v1.Reject) -> None:
        self.refusals += 1
        self._log.warning(
            "refused", code=str(reject.code), why=reject.detail, sequence=reject.sequence
        )
        if reject.code is v1.RejectCode.UNKNOWN_REGISTRATION:
            self._topics.outbox.unreadable(reject.sequence)

    def _begin(self, welcome: v1.Welcome) -> None:
        topics = self._topics
        self._log.info("session_live", session_id=welcome.session_id, epoch=welcome.epoch)
        topics.headend_time.welcomed(welcome.server_time_us)
        self._message_bytes_max = welcome.message_bytes_max or math.inf
        topics.frame_limits.learn(welcome.message_bytes_max)
        topics.outbox.begin_session()
        topics.journal.repeat_recent()
        topics.bell.ring()


def _understood(content: bytes) -> talk.Event:
    try:
        return talk.Heard(decode_downlink(content))
    except WireError as error:
        return talk.Garbled(str(error))
