"""What happens when a client writes."""

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
from asyncua import ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.address_space import AddressSpace, AttributeService

from dercp.edge.local_desk import LocalDesk, LocalTarget, Pending
from dercp.edge.opcua.access import Visitor
from dercp.edge.opcua.codes import answer_code
from dercp.wire.dispatch import EdgeWord

__all__ = ["WritableNode", "WriteService"]

_Codes = ua.StatusCodes
# Setpoints that were asked for and not answered yet, of all clients together.
UNDER_WAY_MAX: Final = 1_000


class WritableNode(msgspec.Struct, frozen=True):
    """What a write means: a setpoint for the target, or its release."""

    target: LocalTarget
    releases: bool


class WriteService(AttributeService):  # type: ignore[misc]  # asyncua has no types for it
    """asyncua's attribute service, but that what a client writes is asked of the site.

    Nothing is put into the address space here: it shows what came of it.

    Each node of a request is answered by itself. Nothing else that asyncua offers is fit for
    it: its PreWrite callback comes before it has looked at rights and types, and fails for all
    nodes at once.
    """

    def __init__(
        self,
        space: AddressSpace,
        writable: Mapping[ua.NodeId, WritableNode],
        desk: LocalDesk,
        ask: Callable[[Callable[[], Awaitable[EdgeWord | None]]], Awaitable[EdgeWord | None]],
        *,
        lease_s: float,
    ) -> None:
        super().__init__(space)
        self.counts: Counter[str] = Counter()
        self._writable = writable
        self._desk = desk
        self._ask = ask
        self._lease_s = lease_s
        self._under_way = 0

    async def write(
        self, params: ua.WriteParameters, user: User | None = None
    ) -> list[ua.StatusCode]:
        """A write of a client, or asyncua's own."""
        if user is None or user.role is UserRole.Admin:
            codes: list[ua.StatusCode] = await super().write(params)
            return codes
        visitor = user if isinstance(user, Visitor) else Visitor()
        # All are asked before the first is waited for, in their order.
        asked = [self._one(each, visitor) for each in params.NodesToWrite]
        answers = [await self._answer(each) for each in asked]
        self.counts.update(
            "writes_taken" if ua.StatusCode(code).is_good() else "writes_refused"
            for code in answers
        )
        return [ua.StatusCode(code) for code in answers]

    def _one(self, write: ua.WriteValue, user: Visitor) -> int | Pending:
        """Ask for it, or say what is wrong with it."""
        node = self._writable.get(write.NodeId)
        if node is None:
            known = write.NodeId in self._aspace
            return int(_Codes.BadNotWritable if known else _Codes.BadNodeIdUnknown)
        if not user.writes:
            return int(_Codes.BadUserAccessDenied)
        status, variant = write.Value.StatusCode, write.Value.Value
        is_value = write.AttributeId == ua.AttributeIds.Value and not write.IndexRange
        if not is_value or (status is not None and not status.is_good()):
            return int(_Codes.BadWriteNotSupported)
        if variant is None or variant.is_array:
            return int(_Codes.BadTypeMismatch)
        act = self._release if node.releases else self._setpoint
        return act(node, variant, f"opcua:{user.name}")

    def _release(self, node: WritableNode, variant: ua.Variant, who: str) -> int:
        if variant.VariantType is not ua.VariantType.Boolean:
            return int(_Codes.BadTypeMismatch)
        if variant.Value:
            self._desk.release(node.target, requested_by=who)
        return int(_Codes.Good)

    def _setpoint(self, node: WritableNode, variant: ua.Variant, who: str) -> int | Pending:
        if variant.VariantType is not ua.VariantType.Double:
            return int(_Codes.BadTypeMismatch)
        setpoint_mw = float(variant.Value)
        if math.isnan(setpoint_mw):
            self._desk.release(node.target, requested_by=who)
            return int(_Codes.Good)
        if math.isinf(setpoint_mw):
            return int(_Codes.BadOutOfRange)
        if self._under_way >= UNDER_WAY_MAX:
            return int(_Codes.BadTooManyOperations)
        self._under_way += 1
        return self._desk.place(node.target, setpoint_mw, requested_by=who, lease_s=self._lease_s)

    async def _answer(self, asked: int | Pending) -> int:
        if isinstance(asked, int):
            return asked
        try:
            return answer_code(await self._ask(asked.answer))
        finally:
            self._under_way -= 1
