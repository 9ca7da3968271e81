"""The actor that owns one asset's link: who carries it now, and what goes out to it."""

from typing import assert_never

from actors import Actor, Context
from dercp.headend.dispatching.routes import hand_over
from dercp.headend.fleet.twin import Twin
from dercp.headend.messages import (
    AssetMessage,
    AssetsUnreachable,
    Attached,
    Deliver,
    DeliveryFailed,
    DeskRef,
    Detached,
)
from dercp.model.dispatch import DispatchReason


class AssetActor(Actor[AssetMessage]):
    """Keeps one asset's link and passes its dispatches on.

    Its telemetry does not pass through here: the session offers each row to the twin's
    quiet slot, so that a sample costs no wake-up. The twin outlives this actor.
    """

    def __init__(self, twin: Twin, desk: DeskRef) -> None:
        self._twin = twin
        self._desk = desk

    async def run(self, context: Context[AssetMessage]) -> None:
        """After a crash, have delivered anew what may have been in hand; then serve."""
        if context.restarts:
            await self._desk.tell(
                AssetsUnreachable(
                    site_id=None,
                    asset_ids=(self._twin.spec.asset_id,),
                    reason=DispatchReason.HEADEND_RESTARTED,
                )
            )
        await context.serve(self.handle)

    async def handle(self, message: AssetMessage) -> None:
        """Follow the link; hand a dispatch to it, or say at once that there is none."""
        match message:
            case Attached(link=link):
                self._twin.link = link
            case Detached(link=link):
                # A newer session may have taken over before the older one's end was told.
                if self._twin.link == link:
                    self._twin.link = None
            case Deliver(dispatch=dispatch):
                failure = hand_over(self._twin.link, dispatch)
                if failure is not None:
                    await self._desk.tell(
                        DeliveryFailed(dispatch_id=dispatch.dispatch_id, reason=failure)
                    )
            case _:
                assert_never(message)
