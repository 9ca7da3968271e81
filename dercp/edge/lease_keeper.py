"""Carries out on a device what the lease book decides, as far as the guardrails allow it."""

import math
from collections.abc import Sequence
from typing import Final, Protocol, assert_never

import msgspec
import trio
from msgspec.structs import replace

from adapters import DeviceError
from dercp.edge import lease as leases
from dercp.edge.config import AssetConfig
from dercp.edge.device_port import DevicePort, NotConfirmed
from dercp.edge.intake import admit
from dercp.edge.lease import Book, FallBack, Lease, Report, Step, Write
from dercp.edge.measuring import Measuring
from dercp.edge.surroundings import Surroundings
from dercp.model.dispatch import (
    Acked,
    Applied,
    Cancelled,
    DispatchReason,
    ExpiredAtEdge,
    Failed,
    Rejected,
)
from dercp.model.following import tolerance_of
from dercp.model.guardrail import (
    Clamp,
    Clamped,
    Control,
    Guardrails,
    Permitted,
    Refused,
    Remote,
    Verdict,
    judge,
)
from dercp.model.ramp import Later, Settled, WriteNow, Written, next_write
from dercp.model.reading import Reading
from dercp.model.time import Clock
from dercp.wire.dispatch import Order

__all__ = ["Clocks", "LeaseKeeper", "LeaseMemory"]


# The way back must not wait for a disk.
FALL_BACK_WAITS_S: Final = 1.0
NOTHING_BEFORE_S: Final = -math.inf
# A battery that was stopped at its limit goes on when it is that far inside: a full one loses
# a little while it rests, and must not be topped up every other second.
CHARGE_MARGIN_PCT: Final = 1.0


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


class _Aim(msgspec.Struct, frozen=True):
    """Where the lease in force is to be brought, and the limits that lead there."""

    setpoint_mw: float
    clamps: tuple[Clamp, ...]

    @property
    def is_by_charge(self) -> bool:
        """Whether the state of charge had a part in it."""
        return any(clamp.reason == DispatchReason.STATE_OF_CHARGE for clamp in self.clamps)


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
        # What is known to stand in the device by our hand, and what is to be reached.
        self._last: Written | None = None
        self._aim: _Aim | None = None
        self._move_at_s = math.inf

    def resume(self, kept: Sequence[Lease]) -> None:
        """Go on with the leases of the process before this one."""
        permitted = []
        for lease in kept:
            verdict = judge(lease.setpoint_mw, _standing(self.guardrails), on_limit=lease.on_limit)
            if isinstance(verdict, Refused):  # the site's limits are others now
                failed = Failed(reason=verdict.reason, detail=verdict.detail)
                self._memory.record(Report(lease.dispatch_id, lease.revision, failed))
            else:
                permitted.append(lease)
        self.book = leases.resumed(permitted, trio.current_time())

    @property
    def next_deadline_s(self) -> float:
        """When `tick` next matters."""
        return min(leases.next_deadline_s(self.book), self._move_at_s)

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
        await self._adjust(port)

    async def observe(self, readings: Sequence[Reading], port: DevicePort) -> None:
        """A poll was answered: the setpoint in force may have to move."""
        self.surroundings.observe(readings, trio.current_time())
        for reading in readings:
            if reading.point == "active_power_mw":
                report = self._measuring.observe(reading.value, reading.quality)
                if report is not None:
                    self._memory.record(report)
        await self._adjust(port)

    async def tick(self, port: DevicePort | None) -> None:
        """Time has passed."""
        await self._carry_out(leases.tick(self.book, trio.current_time()), port)
        if self._move_at_s <= trio.current_time():
            await self._adjust(port)

    async def reopened(self, port: DevicePort) -> None:
        """The device is there again, and may have forgotten everything."""
        self._last = None
        if self.hands_off:
            await self._carry_out(leases.tick(self.book, trio.current_time()), port)
        else:
            await self._carry_out(leases.reopened(self.book, trio.current_time()), port)

    def lost(self) -> None:
        """The device is out of reach: what was known of it counts no more."""
        self.surroundings.forget()
        self._move_at_s = math.inf

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
        if begins_now:
            verdict = self._judge(lease)
        else:
            verdict = judge(lease.setpoint_mw, _standing(self.guardrails), on_limit=lease.on_limit)
        match verdict:
            case Permitted():
                return Acked()
            case Clamped(clamps=clamps):
                return Acked(reason=DispatchReason.NARROWED, detail=_told(clamps), clamps=clamps)
            case Refused(reason, detail):
                return Rejected(reason=reason, detail=self._with_lock(reason, detail))
            case _:
                assert_never(verdict)

    def _judge(self, lease: Lease) -> Verdict:
        rails = self.guardrails
        if self._aim is not None and self._aim.is_by_charge:
            rails = _within(rails, CHARGE_MARGIN_PCT)
        condition = self.surroundings.condition(trio.current_time())
        return judge(lease.setpoint_mw, rails, condition, lease.on_limit)

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
        before = {lease.dispatch_id: lease for lease in leases.leases_of(self.book)}
        self.book = book
        for lease in leases.leases_of(book):
            if before.pop(lease.dispatch_id, None) is not lease:
                self._memory.hold(lease)
        for dispatch_id in before:
            self._memory.let_go(dispatch_id)

    async def _begin(self, lease: Lease, port: DevicePort | None) -> Step:
        """Bring the asset to a lease's setpoint, or begin to."""
        self._aim, self._move_at_s = None, math.inf
        # An agent that is killed after the write must know of it.
        if not await self._memory.commit():
            failed = Failed(reason="journal_failed", detail=_NOT_KEPT)
            return leases.not_written(self.book, lease, failed)
        if port is None:
            return leases.not_written(self.book, lease, Failed(detail=_NOT_CONNECTED))
        return await self._approach(lease, port)

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
            await self._carry_out(await self._approach(lease, port), port)

    async def _approach(self, lease: Lease, port: DevicePort) -> Step:
        """Write what may and must be written now for the lease in force."""
        verdict = self._judge(lease)
        match verdict:
            case Permitted(setpoint_mw):
                aim = _Aim(setpoint_mw, ())
            case Clamped(setpoint_mw, clamps):
                aim = _Aim(setpoint_mw, clamps)
            case Refused(reason, detail):
                if self._aim is not None or self.hands_off:
                    word = Cancelled(reason=reason, detail=self._with_lock(reason, detail))
                    return leases.end(self.book, lease, word)
                return leases.not_written(self.book, lease, Failed(reason=reason, detail=detail))
            case _:
                assert_never(verdict)
        first, news = self._aim is None, aim != self._aim
        now_s = trio.current_time()
        where = self._where(now_s)
        move = next_write(aim.setpoint_mw, self.guardrails, where, now_s)
        due_s = where.at_s + self.guardrails.write_interval_s
        if isinstance(move, Settled) and first:
            # A new lease says it again, for the device may have been told something else.
            move = WriteNow(aim.setpoint_mw, arrives=True) if due_s <= now_s else Later(due_s)
        match move:
            case Later(at_s):
                self._move_at_s = at_s
                return Step(self.book)
            case Settled():
                self._move_at_s = math.inf
                self._aim = aim
                return Step(self.book)
            case WriteNow(power_mw):
                pass
            case _:
                assert_never(move)
        return await self._write(lease, _Move(aim, power_mw, news=news), port)

    async def _write(self, lease: Lease, move: "_Move", port: DevicePort) -> Step:
        aim, power_mw = move.aim, move.power_mw
        try:
            readback_mw = await port.write_setpoint(power_mw)
        except NotConfirmed as error:
            failed = Failed(reason=DispatchReason.READBACK_DIFFERS, detail=str(error))
            return leases.not_written(self.book, lease, failed)
        except DeviceError as error:
            return leases.not_written(self.book, lease, Failed(detail=str(error)))
        now_s = trio.current_time()
        self._last, self._aim = Written(power_mw, now_s), aim
        following = next_write(aim.setpoint_mw, self.guardrails, self._last, now_s)
        self._move_at_s = following.at_s if isinstance(following, Later) else math.inf
        self._measuring.written(lease, power_mw)
        if not move.news and power_mw != aim.setpoint_mw:
            return Step(self.book)  # one more step of a ramp
        return leases.written(self.book, lease, _applied(aim, power_mw, readback_mw))

    def _where(self, now_s: float) -> Written:
        """What stands in the device; a ramp has to begin somewhere."""
        if self._last is not None:
            return self._last
        power_mw = self.surroundings.power_mw(now_s)
        return Written(0.0 if power_mw is None else power_mw, NOTHING_BEFORE_S)

    async def _fall_back(self, command: FallBack, port: DevicePort | None) -> Step:
        self._aim, self._move_at_s = None, math.inf
        ours, self._last = self._last is not None, None
        with trio.move_on_after(FALL_BACK_WAITS_S):
            await self._memory.commit()
        hands_off = self.hands_off
        if hands_off == DispatchReason.NOT_REMOTE or (hands_off and (port is None or not ours)):
            return leases.left_alone(self.book, command)
        if port is None:
            return leases.not_fallen_back(self.book, command, _NOT_CONNECTED)
        try:
            await port.fall_back()
        except DeviceError as error:
            if hands_off:
                return leases.left_alone(self.book, command)
            return leases.not_fallen_back(self.book, command, str(error))
        if hands_off:
            return leases.left_alone(self.book, command)
        return leases.fell_back(self.book, command)


class _Move(msgspec.Struct, frozen=True):
    """One write on the way to an aim; `news` says whether it is another aim than before."""

    aim: _Aim
    power_mw: float
    news: bool


_NOT_KEPT = "the disk does not take the journal, without which it might be done twice"
_NOT_CONNECTED = "the device is not connected"


def _standing(guardrails: Guardrails) -> Guardrails:
    """What of the guardrails holds at all times; the rest is not known before."""
    return replace(guardrails, soc_min_pct=None, soc_max_pct=None, remote=Remote.NOT_ASKED)


def _within(guardrails: Guardrails, margin_pct: float) -> Guardrails:
    low_pct, high_pct = guardrails.soc_min_pct, guardrails.soc_max_pct
    return replace(
        guardrails,
        soc_min_pct=None if low_pct is None else low_pct + margin_pct,
        soc_max_pct=None if high_pct is None else high_pct - margin_pct,
    )


def _told(clamps: Sequence[Clamp]) -> str:
    return f"narrowed to {clamps[-1].to_mw:g} MW: " + "; ".join(each.detail for each in clamps)


def _applied(aim: _Aim, power_mw: float, readback_mw: float) -> Applied:
    clamps = aim.clamps
    if power_mw != aim.setpoint_mw:
        detail = "on its way, as fast as the site allows"
        clamps = (*clamps, Clamp(DispatchReason.RAMP, aim.setpoint_mw, power_mw, detail))
    if not clamps:
        return Applied(readback_mw=readback_mw)
    reason, detail = DispatchReason.NARROWED, _told(clamps)
    return Applied(readback_mw=readback_mw, reason=reason, detail=detail, clamps=clamps)
