"""Hands what the headend orders to the asset it is meant for, once."""

from collections.abc import Mapping

import structlog

from actors import ActorStopped, MailboxFull, Ref
from dercp.edge.device import Cancel, DeviceMessage
from dercp.edge.journal import Journal
from dercp.edge.lease import Report
from dercp.model.dispatch import AssetTarget, Cancelled, DispatchReason, Rejected
from dercp.model.ids import IdError, check_id
from dercp.wire import WireError, v1
from dercp.wire.dispatch import order_from_wire

__all__ = ["Desk"]


class Desk:
    """Routes by asset id. What cannot be handed on is answered from here.

    A dispatch that the journal has no room for is left unanswered: the headend then knows
    nothing of it, which is true, and it is not executed.
    """

    def __init__(
        self,
        journal: Journal,
        devices: Mapping[str, Ref[DeviceMessage]],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._journal = journal
        self._devices = devices
        self._log = log

    def execute(self, message: v1.Dispatch) -> None:
        """A dispatch has come, perhaps not for the first time."""
        dispatch_id, revision = message.dispatch_id, message.revision
        asset_id = message.asset_id
        try:
            check_id(dispatch_id, "dispatch_id")
        except IdError as error:
            self._log.warning("dispatch_nameless", why=error.detail)
            return
        if not self._journal.admits(dispatch_id, revision, asset_id):
            self._log.info("dispatch_not_new", dispatch_id=dispatch_id, revision=revision)
            return
        try:
            order = order_from_wire(message)
        except WireError as error:
            self._reject(message, "malformed", error.detail)
            return
        if not isinstance(order.request.target, AssetTarget):
            self._reject(message, "site_dispatch", "this edge takes dispatches for assets only")
        elif (device := self._devices.get(order.request.target.asset_id)) is None:
            self._reject(message, DispatchReason.UNKNOWN_ASSET, f"no asset {asset_id} stands here")
        elif not _told(device, order):
            self._reject(message, "busy", "too many dispatches wait for this asset")

    def recall(self, message: v1.CancelDispatch) -> None:
        """A dispatch shall end early, or never begin."""
        dispatch_id = message.dispatch_id
        device = self._devices.get(self._journal.asset_of(dispatch_id) or "")
        if device is not None and not self._journal.has_ended(dispatch_id):
            if not _told(device, Cancel(dispatch_id, message.reason)):
                self._log.warning("cancel_not_taken", dispatch_id=dispatch_id)
            return
        # Not here yet, or ended: if it comes after all, it must not begin.
        if self._journal.admits(dispatch_id, message.revision, None):
            cancelled = Cancelled(detail=message.reason)
            self._journal.record(Report(dispatch_id, message.revision, cancelled))

    def _reject(self, message: v1.Dispatch, reason: str, detail: str) -> None:
        rejected = Rejected(reason=reason, detail=detail)
        self._journal.record(Report(message.dispatch_id, message.revision, rejected))


def _told(device: Ref[DeviceMessage], message: DeviceMessage) -> bool:
    try:
        device.tell_nowait(message)
    except (MailboxFull, ActorStopped):
        return False
    return True
