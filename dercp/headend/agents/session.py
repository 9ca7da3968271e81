"""The actor that speaks with one agent over one call."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, assert_never

import trio

from actors import Actor, ActorError, Context
from dercp.headend.agents.facts import SessionFacts
from dercp.headend.agents.intake import Intake
from dercp.headend.agents.spool_report import SpoolReport
from dercp.headend.history.ingest import ranges
from dercp.headend.messages import (
    Admission,
    Admit,
    DrainAgent,
    Durable,
    EdgeSaid,
    SendDispatch,
    SessionMessage,
    Superseded,
)
from dercp.link import Call, LinkError, MessageTooLarge
from dercp.model.dispatch import cancel_due
from dercp.model.errors import ModelError
from dercp.model.ids import check_id
from dercp.wire import v1
from dercp.wire.dispatch import (
    cancel_to_wire,
    dispatch_to_wire,
    event_from_update,
    local_from_update,
)
from dercp.wire.envelope import decode_uplink, encode_acknowledgement, encode_downlink
from dercp.wire.errors import WireError
from dercp.wire.registration import registration_id

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from dercp.headend.messages import DeskRef, FleetRef
    from dercp.headend.settings import HeadendSettings
    from dercp.model.dispatch import Dispatch
    from dercp.model.time import Clock

# Whole messages taken from the call per wake-up; the rest waits in the call's window.
MESSAGES_PER_WAKE_MAX = 64
# How soon an agent may be back that was sent away because this headend has too much to do.
OVERLOADED_RETRY_S = 5.0
# After the last word the agent may still speak, and end the call itself, once it has heard it:
# a call that is reset at once may hide that word from an agent which is busy sending.
PART_WITHIN_S = 2.0


class SessionActor(Actor[SessionMessage]):
    """One agent, from its Hello to the end of its call.

    Whatever the agent sends, the worst that follows is a typed, counted reject and the
    end of this session. Its rows go to the twins' quiet slots, its words about
    dispatches to the desk; both block this session alone when they are slow.

    A batch is acknowledged when the log says that it is durable, and not before.
    """

    def __init__(
        self,
        call: Call,
        facts: SessionFacts,
        *,
        intake: Intake,
        fleet: FleetRef,
        desk: DeskRef,
        settings: HeadendSettings,
        clock: Clock,
    ) -> None:
        self._call = call
        self._intake = intake
        self._facts = facts
        self._fleet = fleet
        self._desk = desk
        self._settings = settings
        self._clock = clock
        self._scope = trio.CancelScope()
        # While what was heard is being worked on, the silence is ours.
        self._silent_since_s = math.inf
        # Since we last beat by ourselves.
        self._answered_beat = False

    async def run(self, context: Context[SessionMessage]) -> None:
        """Admit the agent, then listen, beat and serve until one of them says it is over."""
        with self._scope:
            try:
                if not await self._open(context):
                    return
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._listen)
                    nursery.start_soon(self._beat)
                    await context.serve(self.handle, at_once=self._handle_at_once)
                    self._end("stopped")
            except* LinkError as broken:
                self._facts.detail = self._facts.detail or str(broken.exceptions[0])
                self._end("link_lost")

    # --- opening

    async def _open(self, context: Context[SessionMessage]) -> bool:
        try:
            with trio.move_on_after(self._settings.hello_within_s) as waiting:
                first = await self._received(self._call.receive_some(1))
            if waiting.cancelled_caught:
                raise WireError(v1.RejectCode.HELLO_EXPECTED, "no Hello came in time")
            if not first:
                self._end("agent_closed")
                return False
            hello = decode_uplink(first[0]).hello
            if hello is None:
                raise WireError(v1.RejectCode.HELLO_EXPECTED, "the first message must be a Hello")
            await self._admit(hello, context)
        except WireError as error:
            await self._reject_and_part(error.code, error.detail)
            await self._listen()
            return False
        return True

    async def _admit(self, hello: v1.Hello, context: Context[SessionMessage]) -> None:
        try:
            check_id(hello.agent_id, "agent_id")
            check_id(hello.spool_id, "spool_id")
        except ModelError as error:
            raise WireError(v1.RejectCode.MALFORMED, error.detail) from None
        registration, schema = await self._intake.read_registration(hello.registration)
        content_id = registration_id(hello.registration)
        self._set_clock_offset(hello.time_us)
        # From here on the fleet is told of this session's end.
        self._facts.agent_id = hello.agent_id
        try:
            answer = await self._fleet.ask(
                Admit(
                    software_version=hello.software_version[:64],
                    spool_id=hello.spool_id,
                    registration_id=content_id,
                    registration_content=hello.registration,
                    registration=registration,
                    session=context.ref,
                    facts=self._facts,
                ),
                within_s=self._settings.admit_within_s,
            )
        except ActorError as error:
            raise WireError(v1.RejectCode.OVERLOADED, str(error)) from error
        if not isinstance(answer, Admission):
            raise WireError(answer.code, answer.detail)
        self._intake.open(context.ref, hello, registration, (content_id, schema), answer.twins)
        await self._welcome(answer)

    async def _welcome(self, admission: Admission) -> None:
        await self._send(
            v1.Downlink(
                welcome=v1.Welcome(
                    session_id=admission.session_id,
                    epoch=admission.epoch,
                    heartbeat_interval_ms=round(self._settings.heartbeat_interval_s * 1000),
                    server_time_us=self._clock(),
                    message_bytes_max=self._settings.message_bytes_max,
                )
            )
        )

    # --- from the agent

    async def _listen(self) -> None:
        self._silent_since_s = trio.current_time()
        try:
            while messages := await self._received(
                self._call.receive_unless(self._take_at_once, MESSAGES_PER_WAKE_MAX)
            ):
                self._silent_since_s = math.inf
                await self._take_all(messages, trio.current_time())
                self._silent_since_s = trio.current_time()
        except WireError as error:
            if self._facts.reason is None:
                await self._reject_and_part(error.code, error.detail)
            await trio.sleep(PART_WITHIN_S)
        self._end("agent_closed")

    async def _received(self, receiving: Awaitable[list[bytes]]) -> list[bytes]:
        """Whole messages, at least one; none at the orderly end.

        Raises:
            WireError: TOO_LARGE: nothing can be received after it.
        """
        try:
            return await receiving
        except MessageTooLarge as error:
            raise WireError(v1.RejectCode.TOO_LARGE, error.message or "") from None

    def _take_at_once(self, messages: list[bytes]) -> list[bytes]:
        """Take the telemetry that nothing has to be waited for; returns what it is not, and on.

        Nearly every message is a frame that only has to be looked at and handed on. The task
        that reads the connection does that, between two of its own steps; so this session, which
        then waits for what is left, needs not be woken.
        """
        now_s = trio.current_time()
        for number, message in enumerate(messages):
            if not self._take_frame(message, now_s):
                return messages[number:]
        self._silent_since_s = now_s
        return []

    def _take_frame(self, message: bytes, now_s: float) -> bool:
        """Whether it was one; what is wrong with it is found again, and said, by who may wait."""
        if self._facts.reason is not None:
            return False
        taken = False
        with suppress(WireError):
            batch = decode_uplink(message).telemetry
            if batch is not None:
                self._facts.frames += 1
                try:
                    taken = self._intake.take_at_once(batch, now_s)
                finally:
                    self._facts.frames -= not taken
        return taken

    async def _take_all(self, messages: list[bytes], heard_mono_s: float) -> None:
        for message in messages:
            if self._facts.reason not in {None, "drained"}:
                return  # it was sent away, or superseded: it has no say any more
            try:
                await self._take(decode_uplink(message), heard_mono_s)
            except WireError as error:
                if error.code is v1.RejectCode.OVERLOADED:
                    await self._reject_and_part(error.code, error.detail)
                else:
                    await self._reject(error.code, error.detail)

    async def _take(self, uplink: v1.Uplink, heard_mono_s: float) -> None:
        if uplink.telemetry is not None:
            self._facts.frames += 1
            try:
                await self._intake.take_batch(uplink.telemetry, heard_mono_s)
            except WireError as error:
                await self._reject(error.code, error.detail, uplink.telemetry.sequence)
        elif uplink.heartbeat is not None:
            await self._take_heartbeat(uplink.heartbeat)
        elif uplink.dispatch_update is not None:
            update = uplink.dispatch_update
            await self._desk.tell(
                EdgeSaid(
                    agent_id=self._facts.agent_id,
                    dispatch_id=update.dispatch_id,
                    revision=update.revision,
                    event=event_from_update(update),
                    local=local_from_update(update),
                )
            )
        elif uplink.gap_report is not None:
            self._intake.take_gap(uplink.gap_report)
        elif uplink.event is not None:
            self._facts.events += 1
        elif uplink.earlier_registration is not None:
            await self._intake.learn(uplink.earlier_registration.registration)
        else:
            raise WireError(v1.RejectCode.MALFORMED, "a second Hello in one session")

    async def _take_heartbeat(self, heartbeat: v1.Heartbeat) -> None:
        """Answer it at once: the edge reads our clock off it, as exactly as it comes back soon."""
        self._set_clock_offset(heartbeat.time_us)
        self._facts.spool = SpoolReport.of(heartbeat, self._clock()) or self._facts.spool
        self._answered_beat = True
        await self._send(v1.Downlink(heartbeat=v1.Heartbeat(time_us=self._clock())))

    def _set_clock_offset(self, agent_time_us: int) -> None:
        if agent_time_us:  # 0 = not stated
            self._facts.clock_offset_us = agent_time_us - self._clock()

    # --- to the agent

    async def handle(self, message: SessionMessage) -> None:
        """Say it to the agent."""
        match message:
            case SendDispatch(dispatch=dispatch):
                if self._facts.reason is None:  # else the desk takes it back at the end
                    await self._send(_order(dispatch))
            case Superseded(epoch=epoch):
                await self._reject_and_part(
                    v1.RejectCode.SUPERSEDED, f"a newer session (epoch {epoch}) has begun"
                )
            case DrainAgent(reconnect_within_s=within_s, reason=reason):
                self._part("drained")
                drain = v1.Drain(reconnect_within_ms=round(within_s * 1000), reason=reason)
                await self._send(v1.Downlink(drain=drain))
            case Durable():
                await self._call.send(_acknowledgement(message))
            case _:
                assert_never(message)

    def _handle_at_once(self, message: SessionMessage) -> bool:
        """Acknowledge in the task that tells what is durable, while there is room to send it.

        There is one for nearly every frame: waking this session for it would cost as much.
        """
        if not isinstance(message, Durable):
            return False
        try:
            self._call.send_nowait(_acknowledgement(message))
        except (trio.WouldBlock, LinkError):
            return False
        return True

    async def _beat(self) -> None:
        """End a session that has fallen silent; give a sign of life where no answer was one.

        It states no time, so that it is not taken for an answer.
        """
        interval_s = self._settings.heartbeat_interval_s
        silence_s_max = interval_s * self._settings.heartbeats_missed_max
        beat_at_s = trio.current_time() + interval_s
        while True:
            # Not with the next beat only: that could be one interval more.
            await trio.sleep_until(min(beat_at_s, self._silent_since_s + silence_s_max))
            now_s = trio.current_time()
            if now_s >= self._silent_since_s + silence_s_max:
                self._end("heartbeat_missed")
            if now_s >= beat_at_s:
                beat_at_s = now_s + interval_s
                if not self._answered_beat:
                    await self._send(v1.Downlink(heartbeat=v1.Heartbeat()))
                self._answered_beat = False

    async def _send(self, downlink: v1.Downlink) -> None:
        await self._call.send(encode_downlink(downlink))

    async def _reject(self, code: v1.RejectCode, detail: str, sequence: int = 0) -> None:
        """Refuse one message; after too many, the session."""
        self._facts.count_reject(code)
        if self._facts.rejects >= self._settings.rejects_per_session_max:
            self._part("too_many_rejects")
            detail = "too many rejects in one session"
            await self._send_reject(v1.Reject(code=code, detail=detail, final=True))
        else:
            await self._send_reject(v1.Reject(code=code, detail=detail, sequence=sequence))

    async def _reject_and_part(self, code: v1.RejectCode, detail: str) -> None:
        """Refuse the session. Why it ends stands, even if the agent cannot be told any more."""
        name = (code.name or "unspecified").lower()
        retry_s = OVERLOADED_RETRY_S if code is v1.RejectCode.OVERLOADED else 0.0
        self._facts.count_reject(code)
        self._facts.detail = detail
        self._part(name if code is v1.RejectCode.SUPERSEDED else f"rejected_{name}")
        await self._send_reject(
            v1.Reject(code=code, detail=detail, retry_after_ms=round(retry_s * 1000), final=True)
        )

    async def _send_reject(self, reject: v1.Reject) -> None:
        reject.detail = reject.detail[:500]
        await self._send(v1.Downlink(reject=reject))

    def _part(self, reason: str) -> None:
        """The last word is about to be said: the agent ends the call, or we do in a moment."""
        self._facts.end(reason)
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + PART_WITHIN_S)

    def _end(self, reason: str) -> None:
        """Say why it is over; the first word stands. Takes effect at the next checkpoint."""
        self._facts.end(reason)
        self._scope.cancel(reason=reason)


def _acknowledgement(durable: Durable) -> bytes:
    """What the agent is told of what is durable: it may forget it."""
    return encode_acknowledgement(durable.spool_id, ranges(durable.sequences))


def _order(dispatch: Dispatch) -> v1.Downlink:
    """What the agent is told of a dispatch: do it, or end it."""
    if cancel_due(dispatch):
        return v1.Downlink(cancel_dispatch=cancel_to_wire(dispatch))
    return v1.Downlink(dispatch=dispatch_to_wire(dispatch))
