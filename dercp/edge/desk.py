"""Hands what the headend orders to the asset it is meant for, or to the site's gateway, once."""

from collections.abc import Mapping
from typing import assert_never

import msgspec
import structlog

from actors import Ref
from dercp.edge.asset.device import Cancel, DeviceMessage
from dercp.edge.asset.lease import Report
from dercp.edge.journal import Journal
from dercp.edge.site.gateway import SiteMessage
from dercp.edge.telling import told
from dercp.model.dispatch import (
    AssetTarget,
    Cancelled,
    DispatchReason,
    PortfolioTarget,
    Rejected,
    SiteTarget,
    Target,
    id_of,
)
from dercp.model.ids import IdError, check_id
from dercp.wire import WireError, v1
from dercp.wire.dispatch import Order, order_from_wire

__all__ = ["Desk", "Taker"]


class Taker(msgspec.Struct, frozen=True):
    """Whom the dispatches for a site go to, and what it is called."""

    site_id: str
    gateway: Ref[SiteMessage]


class Desk:
    """Routes by asset id or site id. What cannot be handed on is answered from here.

    A dispatch that the journal has no room for is left unanswered: the headend then knows
    nothing of it, which is true, and it is not executed.
    """

    def __init__(
        self,
        journal: Journal,
        devices: Mapping[str, Ref[DeviceMessage]],
        site: Taker,
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._journal = journal
        self._devices = devices
        self._site = site
        self._log = log

    def execute(self, message: v1.Dispatch) -> None:
        """A dispatch has come, perhaps not for the first time."""
        dispatch_id, revision = message.dispatch_id, message.revision
        if not self._is_name(dispatch_id):
            return
        if not self._journal.admits(dispatch_id, revision, message.asset_id):
            self._log.info("dispatch_not_new", dispatch_id=dispatch_id, revision=revision)
            return
        try:
            order = order_from_wire(message)
        except WireError as error:
            self._reject(message, "malformed", error.detail)
            return
        self.hand_on(order)

    def hand_on(self, order: Order) -> None:
        """Give an order that is in the journal to whoever takes it, or reject it."""
        taker = self._taker(order.request.target)
        if taker is None:
            target = id_of(order.request.target)
            self._reject(order, DispatchReason.UNKNOWN_ASSET, f"no {target} stands here")
        elif not told(taker, order):
            self._reject(order, "busy", "too many dispatches wait for this asset or site")

    def recall(self, message: v1.CancelDispatch) -> None:
        """The headend wants a dispatch to end early, or never to begin."""
        dispatch_id = message.dispatch_id
        if not self._is_name(dispatch_id):
            return
        if self._journal.local(dispatch_id) is not None:
            self._log.warning("cancel_of_local_dispatch_refused", dispatch_id=dispatch_id)
            return
        if self._journal.is_open(dispatch_id):
            self.end(dispatch_id, message.reason)
            return
        # Not here yet, or ended: if it comes after all, it must not begin.
        if self._journal.admits(dispatch_id, message.revision, None):
            cancelled = Cancelled(detail=message.reason)
            self._journal.record(Report(dispatch_id, message.revision, cancelled))

    def end(self, dispatch_id: str, detail: str) -> None:
        """Let an open dispatch end early."""
        asset_id = self._journal.asset_of(dispatch_id)
        # What is open and has no asset was taken for the site.
        taker: Ref[DeviceMessage] | Ref[SiteMessage] | None = self._site.gateway
        if asset_id is not None:
            taker = self._devices.get(asset_id)
        if taker is not None and not told(taker, Cancel(dispatch_id, detail)):
            self._log.warning("cancel_not_taken", dispatch_id=dispatch_id)

    def _taker(self, target: Target) -> Ref[DeviceMessage] | Ref[SiteMessage] | None:
        match target:
            case AssetTarget(asset_id):
                return self._devices.get(asset_id)
            case SiteTarget(site_id):
                return self._site.gateway if site_id == self._site.site_id else None
            case PortfolioTarget():
                return None
            case _:
                assert_never(target)

    def _is_name(self, dispatch_id: str) -> bool:
        try:
            check_id(dispatch_id, "dispatch_id")
        except IdError as error:
            self._log.warning("dispatch_nameless", why=error.detail)
            return False
        return True

    def _reject(self, message: v1.Dispatch | Order, reason: str, detail: str) -> None:
        rejected = Rejected(reason=reason, detail=detail)
        self._journal.record(Report(message.dispatch_id, message.revision, rejected))
