"""Carries out on a device what the lease book decides, as far as the guardrails allow it."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol, assert_never

import msgspec
import trio
from msgspec.structs import replace

from adapters import DeviceError
from dercp.edge.asset import lease as leases
from dercp.edge.asset.approach import Approach, Move, acked
from dercp.edge.asset.intake import admit
from dercp.edge.asset.lease import Book, FallBack, Lease, Report, Step, Write
from dercp.edge.asset.measuring import Measuring
from dercp.edge.asset.port import DevicePort, NotConfirmed
from dercp.edge.asset.surroundings import Surroundings
from dercp.edge.config.settings import AssetConfig
from dercp.model.dispatch import (
    Acked,
    Cancelled,
    DispatchReason,
    ExpiredAtEdge,
    Failed,
    Rejected,
    Superseded,
)
from dercp.model.following import tolerance_of
from dercp.model.guardrail import Control, Refused, Remote, Verdict
from dercp.model.reading import Reading
from dercp.model.time import Clock
from dercp.wire.dispatch import Order

__all__ = ["Clocks", "LeaseKeeper", "LeaseMemory"]


# The way back must not wait for a disk.
FALL_BACK_WAITS_S: Final = 1.0


class LeaseMemory(Protocol):
    """What must outlive the process; `Journal` is one."""

    def record(self, report: Report) -> None:
        """Take in a report."""

    def hold(self, lease: Lease) -> None:
        """The lease is in the book."""

    def let_go(self, dispatch_id: str) -> None:
        """It no longer is."""

    async def commit(self) -> bool:
        """Wait until all of this is kept; False if it cannot be."""
        ...


class Clocks(msgspec.Struct, frozen=True):
    """The headend's time, this machine's, and how far they may differ."""

    headend: Clock
    own: Clock
    off_s_max: float = 2.0

    @property
    def off_s(self) -> float:
        """How far this machine's clock is ahead; 0 before the headend has told its time."""
        return (self.own() - self.headend()) / 1e6

    @property
    def is_suspect(self) -> bool:
        """Whether this machine's clock is too far off."""
        return abs(self.off_s) > self.off_s_max


class LeaseKeeper:
    """The leases of one asset. `port` is None wherever the device is not connected.

    It outlives the asset's actor: a lease must not be forgotten in a crash.

    A setpoint is judged when it is written and again with each poll: when the state of
    charge reaches its window it is narrowed, when it comes back it is widened again, and a
    ramp is climbed step by step. When the people at the site take over (lockout, local
    control), the lease ends, and nothing is written until they are done.
    """

    def __init__(self, asset: AssetConfig, memory: LeaseMemory, clocks: Clocks) -> None:
        self.book = Book()
        self.guardrails = asset.guardrails
        self.surroundings = Surroundings(asset.remote_control, asset.spec.sample_interval_s)
        self._memory = memory
        self._clocks = clocks
        self._measuring = Measuring(
            tolerance_of(asset.spec), asset.spec.sample_interval_s, clocks.headend
        )
        self._approach = Approach(asset.guardrails)

    def resume(self, kept: Sequence[Lease]) -> None:
        """Go on with the leases of the process before this one."""
        permitted = []
        for lease in kept:
            verdict = self._approach.foresee(lease)
            if isinstance(verdict, Refused):  # the site's limits are others now
                failed = Failed(reason=verdict.reason, detail=verdict.detail)
                self._memory.record(Report(lease.dispatch_id, lease.revision, failed))
            else:
                permitted.append(lease)
        self.book = leases.resumed(permitted, trio.current_time())
        current, going_on = self.book.in_force, leases.leases_of(self.book)
        for lease in permitted:
            if current is not None and lease not in going_on:
                # It was to last until the one in force began, and nobody was here to see that.
                word = Superseded(by=current.dispatch_id)
                self._memory.record(Report(lease.dispatch_id, lease.revision, word))

    @property
    def next_deadline_s(self) -> float:
        """When `tick` next matters."""
        return min(leases.next_deadline_s(self.book), self._approach.next_at_s)

    @property
    def owes_fallback(self) -> bool:
        """Whether the asset should be at its fallback, is not known to be, and may be brought."""
        return self.book.owes_fallback and not self.hands_off

    @property
    def hands_off(self) -> str:
        """Why nothing may be written, as a `DispatchReason`; "" where it may."""
        condition = self.surroundings.condition(trio.current_time())
        if condition.locked_out:
            return DispatchReason.LOCAL_LOCKOUT
        if self.guardrails.remote is Remote.REQUIRED and condition.control is Control.LOCAL:
            return DispatchReason.NOT_REMOTE
        return ""

    @property
    def written_mw(self) -> float | None:
        """What was written for the lease in force; None = nothing that is known to stand."""
        return None if self.book.in_force is None else self._approach.standing_mw

    @property
    def judges_by_readings(self) -> bool:
        """Whether what may be written depends on what the device says."""
        rails = self.guardrails
        by_charge = rails.soc_min_pct is not None or rails.soc_max_pct is not None
        return by_charge or rails.remote is Remote.REQUIRED or rails.ramp_mw_per_min is not None

    async def order(self, order: Order, port: DevicePort | None) -> None:
        """A dispatch has come."""
        now_s = trio.current_time()
        admitted = admit(
            order,
            now_us=self._clocks.headend(),
            now_s=now_s,
            clock_off_s=self._clocks.off_s,
            clock_off_s_max=self._clocks.off_s_max,
        )
        answer: Acked | ExpiredAtEdge | Rejected
        answer = self._answer(admitted, port) if isinstance(admitted, Lease) else admitted
        if isinstance(answer, Acked) and isinstance(admitted, Lease):
            await self._carry_out(leases.accept(self.book, admitted, now_s, answer), port)
        else:
            self._memory.record(Report(order.dispatch_id, order.revision, answer))

    async def cancel(self, dispatch_id: str, detail: str, port: DevicePort | None) -> None:
        """A dispatch shall end early."""
        await self._carry_out(leases.cancel(self.book, dispatch_id, detail), port)

    async def lock(self, reason: str | None, port: DevicePort | None) -> None:
        """The people at the site have locked the asset, or unlocked it (None)."""
        self.surroundings.locked = reason
        await self._catch_up(port)

    async def observe(self, readings: Sequence[Reading], port: DevicePort) -> None:
        """A poll was answered: the setpoint in force may have to move."""
        self.surroundings.observe(readings, trio.current_time())
        for reading in readings:
            if reading.point == "active_power_mw":
                report = self._measuring.observe(reading.value, reading.quality)
                if report is not None:
                    self._memory.record(report)
        await self._catch_up(port)

    async def tick(self, port: DevicePort | None) -> None:
        """Time has passed."""
        await self._carry_out(leases.tick(self.book, trio.current_time()), port)
        if self._approach.next_at_s <= trio.current_time():
            await self._adjust(port)

    async def reopened(self, port: DevicePort) -> None:
        """The device is there again, and may have forgotten everything."""
        self._approach.forget()
        if self.hands_off:
            await self._catch_up(port)
        else:
            await self._carry_out(leases.reopened(self.book, trio.current_time()), port)

    def lost(self) -> None:
        """The device is out of reach: what was known of it counts no more."""
        self.surroundings.forget()
        self._approach.forget()

    async def abandon(self, port: DevicePort | None) -> None:
        """The agent stops."""
        await self._carry_out(leases.abandon(self.book), port)

    # -------------------------------------------------------------- decisions

    def _answer(self, lease: Lease, port: DevicePort | None) -> Acked | Rejected:
        """What is known now for or against a lease; one for later is judged anew at its start."""
        begins_now = lease.start_s <= trio.current_time()
        if begins_now and port is None:
            return Rejected(reason=DispatchReason.DEVICE_FAILED, detail=_NOT_CONNECTED)
        if port is not None and not port.can_fall_back:
            detail = "the asset's fallback is release, which its device does not have"
            return Rejected(reason=DispatchReason.NO_FALLBACK, detail=detail)
        verdict = self._judge(lease) if begins_now else self._approach.foresee(lease)
        if isinstance(verdict, Refused):
            detail = self._with_lock(verdict.reason, verdict.detail)
            return Rejected(reason=verdict.reason, detail=detail)
        return acked(verdict)

    def _judge(self, lease: Lease) -> Verdict:
        return self._approach.judge(lease, self.surroundings.condition(trio.current_time()))

    def _with_lock(self, reason: str, detail: str) -> str:
        locked = self.surroundings.locked
        return (
            f"{detail}: {locked}" if reason == DispatchReason.LOCAL_LOCKOUT and locked else detail
        )

    # ------------------------------------------------------------- carrying out

    async def _carry_out(self, step: Step, port: DevicePort | None) -> None:
        self._keep(step.book)
        for command in step.commands:
            match command:
                case Report():
                    self._memory.record(self._measuring.completed(command))
                case Write(lease):
                    await self._carry_out(await self._begin(lease, port), port)
                case FallBack():
                    await self._carry_out(await self._fall_back(command, port), port)
                case _:
                    assert_never(command)

    def _keep(self, book: Book) -> None:
        """Take over a book, and have it remembered which leases are in it."""
        if book is self.book:
            return
        before = {lease.dispatch_id: lease for lease in leases.leases_of(self.book)}
        self.book = book
        for lease in leases.leases_of(book):
            if before.pop(lease.dispatch_id, None) is not lease:
                self._memory.hold(lease)
        for dispatch_id in before:
            self._memory.let_go(dispatch_id)

    async def _begin(self, lease: Lease, port: DevicePort | None) -> Step:
        """Bring the asset to a lease's setpoint, or begin to."""
        self._approach.begin()
        # An agent that is killed after the write must know of it.
        if not await self._memory.commit():
            failed = Failed(reason="journal_failed", detail=_NOT_KEPT)
            return leases.not_written(self.book, lease, failed)
        if port is None:
            return leases.not_written(self.book, lease, Failed(detail=_NOT_CONNECTED))
        if leases.in_force_until_s(self.book) <= trio.current_time():
            return leases.not_written(self.book, lease, Failed(detail=_TOO_LATE))
        return await self._move(lease, port)

    async def _catch_up(self, port: DevicePort | None) -> None:
        """End first what is over by now: nothing is written for a lease whose time has passed."""
        now_s = trio.current_time()
        if leases.next_deadline_s(self.book) <= now_s:
            await self._carry_out(leases.tick(self.book, now_s), port)
        await self._adjust(port)

    async def _adjust(self, port: DevicePort | None) -> None:
        """See whether the asset is still where it should be."""
        lease = self.book.in_force
        if lease is None and self.hands_off:
            # Whatever is done to it now, nobody here knows where it stands afterwards.
            self.book = replace(self.book, owes_fallback=True)
        elif lease is None and self.book.owes_fallback and port is not None:
            await self._carry_out(Step(self.book, (FallBack(None),)), port)
        elif lease is not None and self.hands_off:
            verdict = self._judge(lease)
            detail = verdict.detail if isinstance(verdict, Refused) else ""
            word = Cancelled(reason=self.hands_off, detail=self._with_lock(self.hands_off, detail))
            await self._carry_out(leases.end(self.book, lease, word), port)
        elif lease is not None and port is not None:
            await self._carry_out(await self._move(lease, port), port)

    async def _move(self, lease: Lease, port: DevicePort) -> Step:
        """Write what may and must be written now for the lease in force."""
        now_s = trio.current_time()
        condition, power_mw = self.surroundings.condition(now_s), self.surroundings.power_mw(now_s)
        match move := self._approach.move(lease, condition, power_mw, now_s):
            case None:
                return Step(self.book)
            case Refused(reason, detail):
                detail = self._with_lock(reason, detail)
                if self._approach.has_begun or self.hands_off:
                    return leases.end(self.book, lease, Cancelled(reason=reason, detail=detail))
                return leases.not_written(self.book, lease, Failed(reason=reason, detail=detail))
            case Move():
                return await self._write(lease, move, port)
            case _:
                assert_never(move)

    async def _write(self, lease: Lease, move: Move, port: DevicePort) -> Step:
        try:
            readback_mw = await port.write_setpoint(move.power_mw)
        except NotConfirmed as error:
            failed = Failed(reason=DispatchReason.READBACK_DIFFERS, detail=str(error))
            return leases.not_written(self.book, lease, failed)
        except DeviceError as error:
            return leases.not_written(self.book, lease, Failed(detail=str(error)))
        self._approach.written(move, trio.current_time())
        self._measuring.written(lease, move.power_mw)
        if not move.is_news and not move.arrives:
            return Step(self.book)  # one more step of a ramp
        return leases.written(self.book, lease, move.applied(readback_mw))

    async def _fall_back(self, command: FallBack, port: DevicePort | None) -> Step:
        is_ours = self._approach.is_ours
        self._approach.forget()
        with trio.move_on_after(FALL_BACK_WAITS_S):
            await self._memory.commit()
        hands_off = self.hands_off
        if hands_off:
            # A lock leaves the asset at its fallback, if that can be done; a switch turned to
            # local lets nobody write.
            if port is not None and is_ours and hands_off == DispatchReason.LOCAL_LOCKOUT:
                with suppress(DeviceError):
                    await port.fall_back()
            elif port is not None:
                port.let_go()
            return leases.left_alone(self.book, command)
        if port is None:
            return leases.not_fallen_back(self.book, command, _NOT_CONNECTED)
        try:
            await port.fall_back()
        except DeviceError as error:
            return leases.not_fallen_back(self.book, command, str(error))
        return leases.fell_back(self.book, command)


_NOT_KEPT = "the disk does not take the journal, without which it might be done twice"
_NOT_CONNECTED = "the device is not connected"
_TOO_LATE = "its time passed while the journal was written"
