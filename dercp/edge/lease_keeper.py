"""Carries out on a device what the lease book decides, and reports it."""

from collections.abc import Sequence
from typing import Final, Protocol, assert_never

import trio

from adapters import DeviceError
from dercp.edge import lease as leases
from dercp.edge.device_port import DevicePort, NotConfirmed
from dercp.edge.intake import admit
from dercp.edge.lease import Book, FallBack, Lease, Report, Step, Write
from dercp.model.dispatch import DispatchReason, ExpiredAtEdge, Failed, Rejected
from dercp.model.guardrail import Guardrails, OnLimit, Refused, judge
from dercp.model.time import Clock
from dercp.wire.dispatch import Order

__all__ = ["LeaseKeeper", "LeaseMemory"]


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


class LeaseKeeper:
    """The leases of one asset. `port` is None wherever the device is not connected.

    It outlives the asset's actor: a lease must not be forgotten in a crash.
    """

    def __init__(self, guardrails: Guardrails, memory: LeaseMemory, headend_clock: Clock) -> None:
        self._guardrails = guardrails
        self._memory = memory
        self._headend_clock = headend_clock
        self.book = Book()

    def resume(self, kept: Sequence[Lease]) -> None:
        """Go on with the leases of the process before this one."""
        now_s = trio.current_time()
        self.book = leases.resumed([lease for lease in kept if self._permits(lease)], now_s)

    def _permits(self, lease: Lease) -> bool:
        """Whether the site still allows it; its limits may be others now."""
        verdict = judge(lease.setpoint_mw, self._guardrails, on_limit=OnLimit.REJECT)
        if not isinstance(verdict, Refused):
            return True
        failed = Failed(reason=verdict.reason, detail=verdict.detail)
        self._memory.record(Report(lease.dispatch_id, lease.revision, failed))
        return False

    @property
    def next_deadline_s(self) -> float:
        """When `tick` next matters."""
        return leases.next_deadline_s(self.book)

    @property
    def owes_fallback(self) -> bool:
        """Whether the asset should be at its fallback and is not known to be."""
        return self.book.owes_fallback

    async def order(self, order: Order, port: DevicePort | None) -> None:
        """A dispatch has come."""
        now_s = trio.current_time()
        admitted = admit(order, self._guardrails, now_us=self._headend_clock(), now_s=now_s)
        if isinstance(admitted, Lease):
            admitted = _obstacle(admitted, port, now_s) or admitted
        match admitted:
            case Lease():
                await self._carry_out(leases.accept(self.book, admitted, now_s), port)
            case ExpiredAtEdge() | Rejected():
                self._memory.record(Report(order.dispatch_id, order.revision, admitted))
            case _:
                assert_never(admitted)

    async def cancel(self, dispatch_id: str, detail: str, port: DevicePort | None) -> None:
        """A dispatch shall end early."""
        await self._carry_out(leases.cancel(self.book, dispatch_id, detail), port)

    async def tick(self, port: DevicePort | None) -> None:
        """Time has passed."""
        await self._carry_out(leases.tick(self.book, trio.current_time()), port)

    async def reopened(self, port: DevicePort) -> None:
        """The device is there again."""
        await self._carry_out(leases.reopened(self.book, trio.current_time()), port)

    async def abandon(self, port: DevicePort | None) -> None:
        """The agent stops."""
        await self._carry_out(leases.abandon(self.book), port)

    async def _carry_out(self, step: Step, port: DevicePort | None) -> None:
        self._keep(step.book)
        for command in step.commands:
            match command:
                case Report():
                    self._memory.record(command)
                case Write(lease):
                    await self._carry_out(await self._write(lease, port), port)
                case FallBack():
                    await self._carry_out(await self._fall_back(command, port), port)
                case _:
                    assert_never(command)

    def _keep(self, book: Book) -> None:
        """Take over a book, and have it remembered which leases are in it."""
        before, self.book = leases.leases_of(self.book), book
        after = leases.leases_of(book)
        for lease in after:
            if lease not in before:
                self._memory.hold(lease)
        for dispatch_id in {lease.dispatch_id for lease in before}.difference(
            lease.dispatch_id for lease in after
        ):
            self._memory.let_go(dispatch_id)

    async def _write(self, lease: Lease, port: DevicePort | None) -> Step:
        # An agent that is killed after the write must know of it.
        if not await self._memory.commit():
            failed = Failed(reason="journal_failed", detail=_NOT_KEPT)
            return leases.not_written(self.book, lease, failed)
        if port is None:
            return leases.not_written(self.book, lease, Failed(detail=_NOT_CONNECTED))
        try:
            readback_mw = await port.write_setpoint(lease.setpoint_mw)
        except NotConfirmed as error:
            failed = Failed(reason=DispatchReason.READBACK_DIFFERS, detail=str(error))
            return leases.not_written(self.book, lease, failed)
        except DeviceError as error:
            return leases.not_written(self.book, lease, Failed(detail=str(error)))
        return leases.written(self.book, lease, readback_mw)

    async def _fall_back(self, command: FallBack, port: DevicePort | None) -> Step:
        with trio.move_on_after(FALL_BACK_WAITS_S):
            await self._memory.commit()
        if port is None:
            return leases.not_fallen_back(self.book, command, _NOT_CONNECTED)
        try:
            await port.fall_back()
        except DeviceError as error:
            return leases.not_fallen_back(self.book, command, str(error))
        return leases.fell_back(self.book, command)


_NOT_KEPT = "the disk does not take the journal, without which it might be done twice"
_NOT_CONNECTED = "the device is not connected"


def _obstacle(lease: Lease, port: DevicePort | None, now_s: float) -> Rejected | None:
    """What is known now to keep a lease from being kept."""
    if port is None:
        if lease.start_s <= now_s:
            return Rejected(reason=DispatchReason.DEVICE_FAILED, detail=_NOT_CONNECTED)
        return None
    if not port.can_fall_back:
        detail = "the asset's fallback is release, which its device does not have"
        return Rejected(reason="no_fallback", detail=detail)
    return None
