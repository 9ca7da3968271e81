"""The actor that answers for one site: it keeps the site's asset actors and their links."""

from typing import assert_never

from actors import (
    Actor,
    ChildSpec,
    Context,
    MailboxSpec,
    OnFull,
    SupervisorSpec,
    open_supervisor,
)
from dercp.headend.asset import AssetActor
from dercp.headend.messages import (
    AssetMessage,
    AssetRef,
    AssetsReachable,
    AssetsUnreachable,
    Attached,
    DeskRef,
    Detached,
    SessionDown,
    SessionUp,
    SiteMessage,
)
from dercp.headend.roster import SiteEntry
from dercp.headend.settings import HeadendSettings
from dercp.headend.supervision import RESTART
from dercp.headend.twin import Link, Twin


class SiteActor(Actor[SiteMessage]):
    """One asset actor per asset of the site, told in order when its link comes and goes."""

    def __init__(self, entry: SiteEntry, *, desk: DeskRef, settings: HeadendSettings) -> None:
        self._entry = entry
        self._desk = desk
        self._settings = settings

    async def run(self, context: Context[SiteMessage]) -> None:
        """Keep the asset actors for as long as this incarnation lives."""
        spec = SupervisorSpec(name="assets", restart=RESTART)
        async with open_supervisor(context, spec) as supervisor:
            self._supervisor = supervisor
            for twin in self._entry.twins.values():
                twin.ref = self._start_asset(twin)
            await context.serve(self.handle)

    async def handle(self, message: SiteMessage) -> None:
        """Tell the assets first, then the desk: a dispatch finds the link it was told of."""
        match message:
            case SessionUp(link=link, twins=twins, retired=retired):
                for asset_id in retired:
                    await self._retire(asset_id)
                for twin in twins:
                    await self._attach(twin, link)
                ids = tuple(twin.spec.asset_id for twin in twins)
                await self._desk.tell(AssetsReachable(asset_ids=ids))
            case SessionDown(epoch=epoch, asset_ids=ids, reason=reason):
                for asset_id in ids:
                    await self._detach(asset_id, epoch)
                await self._desk.tell(AssetsUnreachable(asset_ids=ids, reason=reason))
            case _:
                assert_never(message)

    async def _attach(self, twin: Twin, link: Link) -> None:
        if twin.ref is None:
            self._entry.twins[twin.spec.asset_id] = twin
            twin.ref = self._start_asset(twin)
        await twin.ref.tell(Attached(link=link))

    async def _detach(self, asset_id: str, epoch: int) -> None:
        twin = self._entry.twins.get(asset_id)
        if twin is not None and twin.ref is not None:
            await twin.ref.tell(Detached(epoch=epoch))

    async def _retire(self, asset_id: str) -> None:
        twin = self._entry.twins.pop(asset_id, None)
        if twin is not None and twin.ref is not None:
            await twin.ref.stop()

    def _start_asset(self, twin: Twin) -> AssetRef:
        return self._supervisor.start_nowait(
            ChildSpec[AssetMessage](
                name=twin.spec.asset_id,
                factory=lambda: AssetActor(twin, self._desk),
                mailbox=MailboxSpec(
                    capacity=self._settings.asset_mailbox_max, on_full=OnFull.BLOCK
                ),
            )
        )
