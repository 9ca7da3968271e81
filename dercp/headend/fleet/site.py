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
from dercp.headend.dispatching.routes import gateway_of, hand_over
from dercp.headend.fleet.asset import AssetActor
from dercp.headend.fleet.roster import Roster, SiteEntry
from dercp.headend.fleet.twin import Link, Twin
from dercp.headend.messages import (
    AssetMessage,
    AssetRef,
    AssetsReachable,
    AssetsUnreachable,
    Attached,
    Deliver,
    DeliveryFailed,
    DeskRef,
    Detached,
    SessionDown,
    SessionUp,
    SiteMessage,
)
from dercp.headend.settings import HeadendSettings
from dercp.headend.supervision import ASSETS_RESTART
from dercp.model.dispatch import DispatchReason


class SiteActor(Actor[SiteMessage]):
    """One asset actor per asset of the site, told in order when its link comes and goes."""

    def __init__(
        self, entry: SiteEntry, roster: Roster, *, desk: DeskRef, settings: HeadendSettings
    ) -> None:
        self._entry = entry
        self._roster = roster
        self._desk = desk
        self._settings = settings

    async def run(self, context: Context[SiteMessage]) -> None:
        """Keep the asset actors for as long as this incarnation lives."""
        spec = SupervisorSpec(name="assets", restart=ASSETS_RESTART)
        async with open_supervisor(context, spec) as supervisor:
            self._supervisor = supervisor
            for twin in self._entry.twins.values():
                # A crash may have come between a link and its asset.
                twin.link = self._roster.agents[twin.agent_id].link
                twin.ref = self._start_asset(twin)
            if context.restarts:
                await self._redeliver()
            await context.serve(self.handle)

    async def handle(self, message: SiteMessage) -> None:
        """Tell the assets first, then the desk: a dispatch finds the link it was told of."""
        match message:
            case SessionUp(link=link, twins=twins, retired=retired):
                for twin in retired:
                    await self._retire(twin)
                for twin in twins:
                    await self._attach(twin, link)
                ids = tuple(twin.spec.asset_id for twin in twins)
                await self._desk.tell(AssetsReachable(site_id=self._entry.site_id, asset_ids=ids))
            case SessionDown(link=link, asset_ids=ids, reason=reason):
                for asset_id in ids:
                    await self._detach(asset_id, link)
                await self._tell_unreachable(ids, reason)
            case Deliver(dispatch=dispatch):
                agent_id = gateway_of(self._entry)
                carrier = self._roster.agents[agent_id].link if agent_id is not None else None
                failure = hand_over(carrier, dispatch)
                if failure is not None:
                    await self._desk.tell(
                        DeliveryFailed(dispatch_id=dispatch.dispatch_id, reason=failure)
                    )
            case _:
                assert_never(message)

    async def _redeliver(self) -> None:
        """What was on its way through the crashed incarnation may be lost."""
        await self._tell_unreachable(tuple(self._entry.twins), DispatchReason.HEADEND_RESTARTED)

    async def _tell_unreachable(self, ids: tuple[str, ...], reason: str) -> None:
        await self._desk.tell(
            AssetsUnreachable(site_id=self._entry.site_id, asset_ids=ids, reason=reason)
        )

    async def _attach(self, twin: Twin, link: Link) -> None:
        if twin.ref is None:
            twin.ref = self._start_asset(twin)
        await twin.ref.tell(Attached(link=link))

    async def _detach(self, asset_id: str, link: Link) -> None:
        twin = self._entry.twins.get(asset_id)
        if twin is not None and twin.ref is not None:
            await twin.ref.tell(Detached(link=link))

    async def _retire(self, twin: Twin) -> None:
        if twin.ref is not None:
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
