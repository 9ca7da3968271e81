"""The actor that speaks for a site as a whole: its gateway."""

from typing import Final, TypeAlias, assert_never

import trio

from actors import Actor, Context, Envelope
from dercp.edge.asset.device import Cancel
from dercp.edge.site.keeper import SiteKeeper
from dercp.wire.dispatch import Order

__all__ = ["SiteActor", "SiteMessage"]

BATCH: Final = 16

SiteMessage: TypeAlias = Order | Cancel


class SiteActor(Actor[SiteMessage]):
    """Takes dispatches for the site and divides them among its assets.

    Characteristics:
        Speaks to no device: each asset's actor is given an order of its own, which ends in
            time even if nobody is left here.
        A crash: the dispatches stay with `keeper`; what the assets said meanwhile is heard
            after the restart.
    """

    def __init__(self, keeper: SiteKeeper) -> None:
        self._keeper = keeper
        self._nap = trio.CancelScope()

    async def run(self, context: Context[SiteMessage]) -> None:
        """Until told to end."""
        keeper = self._keeper
        keeper.wake = self._wake
        while not context.is_ending:
            await keeper.tick()
            batch: list[Envelope[SiteMessage]] = []
            with trio.move_on_at(keeper.next_tick_s) as self._nap:
                batch = await context.receive_batch(BATCH)
            for envelope in batch:
                await self._take(envelope.body)
        await keeper.abandon()

    def _wake(self) -> None:
        self._nap.cancel("an asset has spoken")

    async def _take(self, message: SiteMessage) -> None:
        match message:
            case Order():
                await self._keeper.order(message)
            case Cancel():
                await self._keeper.cancel(message.dispatch_id, message.detail)
            case _:
                assert_never(message)
