"""One edge agent: its tree of actors and its life.

    <agent id>
    ├── spool
    ├── collector
    ├── devices
    │   └── <asset id> ...
    ├── site
    │   └── gateway
    ├── surfaces
    │   └── opcua
    ├── lockout
    └── uplink

One for one: what they share (outbox, journal, leases) is no actor's, so that a crash of
one takes nothing from the others. They stop in this order: the last rows and reports still
reach the headend.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NoReturn

import structlog
import trio

from actors import (
    Backoff,
    ChildSpec,
    Crashed,
    DeadLetter,
    Escalated,
    Event,
    MailboxSpec,
    OnFull,
    Ref,
    Restart,
    SupervisorRef,
    SupervisorSpec,
    System,
    open_system,
)
from dercp.edge.asset.device import AssetMemory, DeviceActor, DeviceMessage, Reporting
from dercp.edge.asset.kept_lease import revive
from dercp.edge.asset.lease import Lease, Report
from dercp.edge.asset.lease_keeper import Clocks, LeaseKeeper
from dercp.edge.asset.lockout import LockoutFile, Lockouts
from dercp.edge.asset.lockout_watch import LockoutWatch, locks_now
from dercp.edge.asset.pace import Pace
from dercp.edge.collector import Collector, FrameLimits
from dercp.edge.config.settings import AssetConfig, Config, Headend
from dercp.edge.desk import Desk, Taker
from dercp.edge.journal import Journal, Unended
from dercp.edge.site.assets import SiteAssets
from dercp.edge.site.gateway import SiteActor, SiteMessage
from dercp.edge.site.keeper import KeptDispatch, SiteKeeper
from dercp.edge.site.parts import parent_of
from dercp.edge.spool.outbox_keeper import OutboxKeeper
from dercp.edge.spool.spool import Spool, open_memory_outbox, open_spool
from dercp.edge.status import AgentStatus, AssetStatus, LeaseStatus, SessionStatus, UplinkStatus
from dercp.edge.surfaces import Surfaces
from dercp.edge.uplink.bell import Bell
from dercp.edge.uplink.conversation import Topics
from dercp.edge.uplink.headend_time import HeadendTime
from dercp.edge.uplink.session import Live
from dercp.edge.uplink.uplink import Dial, Uplink, UplinkHistory
from dercp.link import client_tls, open_call
from dercp.model.dispatch import DispatchReason, Failed
from dercp.model.time import Clock
from dercp.wire import v1
from dercp.wire.payload import PayloadSchema, RowDraft
from dercp.wire.registration import encode_registration, registration_id

__all__ = ["Agent", "dial_headend", "run_agent"]

LINK_PATH: Final = "/dercp.v1.EdgeLink/Connect"
# The whole stop. A device may be in a call (5 s) and then fall back (5 s); the uplink takes 3.
STOP_WITHIN_S: Final = 15.0
DEVICE_GRACE_S: Final = 11.0
LAST_WORDS_WITHIN_S: Final = 1.0
# A day of five-minute blocks may come at once.
DEVICE_MAIL_MAX: Final = 512
SITE_MAIL_MAX: Final = 512
SITE_GRACE_S: Final = 2.0
SURFACES_GRACE_S: Final = 4.0

# A device, or the gateway, that crashes its actor again and again must never take the others
# along, so this limit is one that nothing reaches; the backoff is what holds it in check.
_PATIENT_RESTART: Final = Restart(
    limit=1_000_000, within_s=60.0, backoff=Backoff(first_s=0.5, max_s=30.0)
)


async def run_agent(
    config: Config,
    *,
    clock: Clock,
    dial: Dial | None = None,
    seed: int | None = None,
    task_status: trio.TaskStatus["Agent"] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run an agent until cancelled; then it stops in order, within `STOP_WITHIN_S`.

    Stopping ends the leases on all assets (they go to their fallback), sends what waits,
    and ends the call.

    Args:
        config: As `load` gives it.
        clock: The edge's own clock.
        dial: Opens calls; by default to the headend of the configuration.
        seed: Makes the agent's random waits repeatable.
        task_status: Started with the `Agent` once its tree is up.

    Raises:
        dercp.link.TlsFileError: The certificates cannot be used.
        SpoolUnusable: The data directory cannot be written, or another agent works in it.
    """
    dial = dial or dial_headend(config.headend)
    bell = Bell()
    stop = trio.Event()
    async with _open_outbox(config, bell) as spool, trio.open_nursery() as nursery:
        agent = Agent(config, clock=clock, dial=dial, bell=bell, spool=spool)
        nursery.start_soon(_set_when_cancelled, stop)
        # Cancellation is turned into an ordered stop, which needs its tasks alive.
        with trio.CancelScope(shield=True):
            async with open_system(config.agent_id, seed=seed, grace_s=STOP_WITHIN_S) as system:
                system.events.listen(agent.note)
                await agent.run(system, stop, lambda: task_status.started(agent))
        nursery.cancel_scope.cancel("the agent has stopped")


def _open_outbox(config: Config, bell: Bell) -> AbstractAsyncContextManager[Spool]:
    log = structlog.get_logger().bind(agent_id=config.agent_id)
    if config.data_dir is None:
        return open_memory_outbox(bell.ring, log)
    return open_spool(
        config.data_dir,
        config.agent_id,
        config.spool,
        bell.ring,
        log,
        registration=encode_registration(config.registration),
    )


async def _set_when_cancelled(stop: trio.Event) -> None:
    try:
        await trio.sleep_forever()
    finally:
        stop.set()


def dial_headend(headend: Headend) -> Dial:
    """How to call the headend of a configuration.

    Raises:
        dercp.link.TlsFileError: The certificates cannot be used.
    """
    files = headend.tls
    tls = None if files is None else client_tls(files.ca_file, files.cert_file, files.key_file)
    return partial(open_call, headend.host, headend.port, LINK_PATH, tls=tls)


class Agent:
    """What one agent is made of. Several live in one process without knowing of each other."""

    def __init__(
        self, config: Config, *, clock: Clock, dial: Dial, bell: Bell, spool: Spool
    ) -> None:
        self._config = config
        self._clock = clock
        self._dial = dial
        self._log = structlog.get_logger().bind(agent_id=config.agent_id)
        self._registration = encode_registration(config.registration)
        self._headend_time = HeadendTime(clock)
        self._bell = bell
        self._outbox = spool
        self._journal = Journal(
            self._headend_time.now_us, clock, bell.ring, spool, spool.dispatches, self._log
        )
        self._locks = (
            None if config.data_dir is None else LockoutFile(config.data_dir, config.agent_id)
        )
        self._frame_limits = FrameLimits()
        self._history = UplinkHistory()
        self._memories: dict[str, AssetMemory] = {}
        self._devices: dict[str, Ref[DeviceMessage]] = {}
        self._clocks = Clocks(self._headend_time.now_us, clock, config.clock_off_s_max)
        self._site_keeper = SiteKeeper(
            SiteAssets(self._memories), self._devices, self._journal, self._clocks, self._log
        )
        self._journal.tell_of_parts(self._site_keeper.noted)
        self._surfaces = Surfaces(
            config, self._journal, self._memories, self._site_keeper, self._clocks, self._log
        )

    async def run(self, system: System, stop: trio.Event, started: Callable[[], None]) -> None:
        """Grow the tree, let it live, and take it down so that the last word is still sent."""
        # First, so that it stops after all that put something into it.
        await system.root.start(self._spool_spec())
        collector = await system.root.start(self._collector_spec())
        devices = await system.root.supervise(
            SupervisorSpec(name="devices", restart=_PATIENT_RESTART, grace_s=DEVICE_GRACE_S)
        )
        locks = locks_now(self._locks)
        self._start_devices(devices, collector, locks)
        site = await system.root.supervise(
            SupervisorSpec(name="site", restart=_PATIENT_RESTART, grace_s=SITE_GRACE_S)
        )
        gateway = await site.start(self._gateway_spec())
        if self._locks is not None:
            await system.root.start(self._lockout_spec(self._locks, locks))
        # Last, so that the first dispatch finds its device; and stopped last, by `system`.
        desk = Desk(self._journal, self._devices, Taker(self._config.site_id, gateway), self._log)
        await system.root.start(self._uplink_spec(desk))
        surfaces = await system.root.supervise(
            SupervisorSpec(name="surfaces", restart=_PATIENT_RESTART, grace_s=SURFACES_GRACE_S)
        )
        for spec in self._surfaces.specs(desk, _software_version()):
            await surfaces.start(spec)
        started()
        await stop.wait()
        # Nobody shall ask for what would end in a moment.
        await surfaces.stop()
        # All at once: a device that does not answer must not hold up the others.
        for device in self._devices.values():
            device.stop_nowait()
        await devices.stop()
        # With what its assets came to.
        await site.stop()
        await collector.stop()
        # The last words leave only when they are kept.
        with trio.move_on_after(LAST_WORDS_WITHIN_S):
            await self._journal.commit()

    def note(self, event: Event) -> None:
        """Log what happened to an actor, if anybody should know."""
        match event:
            case Crashed(path=path, error=error):
                self._log.error("actor_crashed", path=path, exc_info=error)
            case Escalated(path=path, error=error):
                self._log.error("supervisor_gave_up", path=path, why=str(error))
            case DeadLetter(path=path, why=why, count=count):
                self._log.warning("messages_lost", path=path, why=why, count=count)
            case _:
                pass

    def status(self) -> AgentStatus:
        """How the agent is now."""
        return AgentStatus(
            agent_id=self._config.agent_id,
            site_id=self._config.site_id,
            uplink=_uplink_status(self._history),
            outbox=self._outbox.statistics(),
            journal=self._journal.statistics(),
            assets=tuple(_asset_status(*item) for item in self._memories.items()),
            opcua=self._surfaces.opcua,
        )

    def _hello(self) -> v1.Hello:
        return v1.Hello(
            agent_id=self._config.agent_id,
            software_version=_software_version(),
            spool_id=self._outbox.spool_id,
            registration=self._registration,
            time_us=self._clock(),
        )

    def _spool_spec(self) -> ChildSpec[NoReturn]:
        return ChildSpec(
            name="spool",
            factory=lambda: OutboxKeeper(self._outbox),
            # Nobody writes to it: the outbox rings.
            mailbox=MailboxSpec(capacity=1, on_full=OnFull.REJECT),
        )

    def _gateway_spec(self) -> ChildSpec[SiteMessage]:
        return ChildSpec(
            name="gateway",
            factory=lambda: SiteActor(self._site_keeper),
            mailbox=MailboxSpec(capacity=SITE_MAIL_MAX, on_full=OnFull.REJECT),
            grace_s=SITE_GRACE_S,
        )

    def _uplink_spec(self, desk: Desk) -> ChildSpec[NoReturn]:
        topics = Topics(
            hello=self._hello,
            bell=self._bell,
            outbox=self._outbox,
            journal=self._journal,
            desk=desk,
            clock=self._clock,
            headend_time=self._headend_time,
            frame_limits=self._frame_limits,
        )
        return ChildSpec(
            name="uplink",
            factory=lambda: Uplink(self._dial, topics, self._history, self._log),
            # Nobody writes to it: it listens to its call.
            mailbox=MailboxSpec(capacity=1, on_full=OnFull.REJECT),
        )

    def _collector_spec(self) -> ChildSpec[RowDraft]:
        assets = len(self._config.assets)
        content_id = registration_id(self._registration)
        return ChildSpec(
            name="collector",
            factory=lambda: Collector(self._outbox, content_id, assets, self._frame_limits),
            # A device that finds it full has missed its tick, and counts it.
            mailbox=MailboxSpec(capacity=max(64, 2 * assets), on_full=OnFull.REJECT),
        )

    def _lockout_spec(self, file: LockoutFile, known: Lockouts) -> ChildSpec[NoReturn]:
        return ChildSpec(
            name="lockout",
            factory=lambda: LockoutWatch(file, known, self._devices, self._log),
            # Nobody writes to it: it looks at its file.
            mailbox=MailboxSpec(capacity=1, on_full=OnFull.REJECT),
        )

    def _start_devices(
        self, devices: SupervisorRef, collector: Ref[RowDraft], locks: Lockouts
    ) -> None:
        reporting = Reporting(
            schema=PayloadSchema(self._config.registration),
            collector=collector,
            clocks=self._clocks,
        )
        origin_s = trio.current_time()
        kept = self._kept_leases()
        for index, asset in enumerate(self._config.assets):
            keeper = LeaseKeeper(asset, self._journal, self._clocks)
            keeper.surroundings.locked = locks.of(asset.spec.asset_id)
            keeper.resume(kept.pop(asset.spec.asset_id, []))
            memory = AssetMemory(asset.spec, keeper, Pace(origin_s, asset.spec.sample_interval_s))
            spec = self._device_spec(index, asset, memory, reporting)
            self._memories[asset.spec.asset_id] = memory
            self._devices[asset.spec.asset_id] = devices.start_nowait(spec)

    def _kept_leases(self) -> dict[str, list[Lease]]:
        """By asset, the leases of the process before this one that go on; the others have ended.

        Those for the site go to its gateway, and first: with one of them end its parts.
        """
        kept: dict[str, list[Lease]] = {}
        for_site: dict[str, KeptDispatch] = {}
        known = {asset.spec.asset_id for asset in self._config.assets}
        unended = self._journal.unended()
        for one in sorted(unended, key=lambda each: parent_of(each.dispatch_id) is not None):
            lease = self._revived(one)
            parent_id = parent_of(one.dispatch_id)
            if lease is None or (parent_id is not None and parent_id not in for_site):
                self._end_stopped(one)
            elif one.asset_id is None:
                for_site[one.dispatch_id] = (lease, one.shares)
            elif one.asset_id not in known:
                self._end_stopped(one)
            else:
                self._log.info("lease_resumed", dispatch_id=one.dispatch_id, asset_id=one.asset_id)
                kept.setdefault(one.asset_id, []).append(lease)
        self._site_keeper.resume(list(for_site.values()))
        return kept

    def _revived(self, one: Unended) -> Lease | None:
        if one.lease is None:
            return None
        now_s, own_us = trio.current_time(), self._clock()
        return revive(one.dispatch_id, one.revision, one.lease, own_us=own_us, now_s=now_s)

    def _end_stopped(self, one: Unended) -> None:
        detail = "the agent was not running when its lease ended"
        failed = Failed(reason=DispatchReason.EDGE_STOPPED, detail=detail)
        self._journal.record(Report(one.dispatch_id, one.revision, failed))

    def _device_spec(
        self, index: int, asset: AssetConfig, memory: AssetMemory, reporting: Reporting
    ) -> ChildSpec[DeviceMessage]:
        log = self._log.bind(asset_id=asset.spec.asset_id)
        return ChildSpec(
            name=asset.spec.asset_id,
            factory=lambda: DeviceActor(index, asset, memory, reporting, log),
            mailbox=MailboxSpec(capacity=DEVICE_MAIL_MAX, on_full=OnFull.REJECT),
            grace_s=DEVICE_GRACE_S,
        )


@cache  # it takes 2 ms to find out, and each Hello says it
def _software_version() -> str:
    try:
        return version("dercp")
    except PackageNotFoundError:  # run from a checkout
        return "0"


def _uplink_status(history: UplinkHistory) -> UplinkStatus:
    conversation, end = history.conversation, history.last_end
    session = None
    if conversation is not None and isinstance(live := conversation.session.phase, Live):
        session = SessionStatus(
            session_id=live.session_id,
            epoch=live.epoch,
            live_for_s=trio.current_time() - live.since_s,
        )
    return UplinkStatus(
        session=session,
        calls=history.calls,
        refusals=history.refusals + (0 if conversation is None else conversation.refusals),
        last_end="" if end is None else end.reason,
        last_end_detail="" if end is None else end.detail,
    )


def _asset_status(asset_id: str, memory: AssetMemory) -> AssetStatus:
    book = memory.keeper.book
    lease = None
    if book.in_force is not None:
        lease = LeaseStatus(
            dispatch_id=book.in_force.dispatch_id,
            setpoint_mw=book.in_force.setpoint_mw,
            ends_in_s=book.in_force.until_s - trio.current_time(),
        )
    return AssetStatus(
        asset_id=asset_id,
        connection=None if memory.connection is None else memory.connection.statistics(),
        samples=memory.samples,
        missed_ticks=memory.pace.missed,
        lease=lease,
        scheduled=len(book.scheduled),
        locked=memory.keeper.surroundings.locked,
    )
