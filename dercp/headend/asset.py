"""The actor that owns one asset's link: who carries it now, and what goes out to it."""

from typing import assert_never

from actors import Actor, ActorStopped, MailboxFull
from dercp.headend.messages import (
    AssetMessage,
    Attached,
    Deliver,
    DeliveryFailed,
    DeskRef,
    Detached,
    SendDispatch,
)
from dercp.headend.twin import Twin


class AssetActor(Actor[AssetMessage]):
    """Keeps one asset's link and passes its dispatches on.

    Its telemetry does not pass through here: the session offers each row to the twin's
    quiet slot, so that a sample costs no wake-up.
    """

    def __init__(self, twin: Twin, desk: DeskRef) -> None:
        self._twin = twin
        self._desk = desk

    async def handle(self, message: AssetMessage) -> None:
        """Follow the link; hand a dispatch to it, or say at once that there is none."""
        match message:
            case Attached(link=link):
                self._twin.link = link
            case Detached(epoch=epoch):
                # A newer session may have taken over before the older one's end was told.
                if self._twin.link is not None and self._twin.link.epoch <= epoch:
                    self._twin.link = None
            case Deliver(dispatch=dispatch):
                failure = self._pass_on(SendDispatch(dispatch=dispatch))
                if failure:
                    await self._desk.tell(
                        DeliveryFailed(dispatch_id=dispatch.dispatch_id, reason=failure)
                    )
            case _:
                assert_never(message)

    def _pass_on(self, message: SendDispatch) -> str:
        """Give it to the session; a word says why that failed."""
        if self._twin.link is None:
            return "offline"
        try:
            self._twin.link.session.tell_nowait(message)
        except MailboxFull:
            return "session_overloaded"
        except ActorStopped:
            return "link_lost"
        return ""
