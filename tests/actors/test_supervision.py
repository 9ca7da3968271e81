"""What a supervisor does about a crash."""

import pytest
import trio
import trio.testing
from puppets import AT_ONCE, Boom, Deed, Puppet, count, crash, hang, note, pause, puppet
from trio.testing import MockClock

import actors
from actors import Ending, Lifetime, Restart, Strategy, SupervisorSpec
from actors.testing import EventRecorder


class Unborn(actors.Actor[Deed]):
    """Fails to come up."""

    async def on_start(self, context: actors.Context[Deed]) -> None:
        """Fail."""
        raise Boom("no device at 10.0.0.7")


def unborn() -> actors.ChildSpec[Deed]:
    """How to start one."""
    return actors.ChildSpec(name="unborn", factory=Unborn, mailbox=puppet().mailbox)


@pytest.mark.parametrize(
    ("strategy", "restarted"),
    [
        (Strategy.ONE_FOR_ONE, "b down, b up"),
        (Strategy.ONE_FOR_ALL, "b down, c down, a down, a up, b up, c up"),
        (Strategy.REST_FOR_ONE, "b down, c down, b up, c up"),
    ],
)
async def test_a_strategy_says_who_is_restarted(
    autojump_clock: MockClock, strategy: Strategy, restarted: str
) -> None:
    """Those who share the fate go down last started first, and come up in start order."""
    diary: list[str] = []
    spec = SupervisorSpec(
        name="site",
        strategy=strategy,
        children=tuple(puppet(name, diary) for name in "abc"),
    )
    async with actors.open_system("sys") as system:
        await system.root.supervise(spec)
        diary.clear()
        crasher = system.registry.whereis("sys/site/b")
        assert crasher is not None

        crasher.tell_nowait(crash)
        await trio.sleep(1)

        assert ", ".join(diary) == restarted


async def test_siblings_keep_their_mail_when_they_are_restarted(autojump_clock: MockClock) -> None:
    """A sibling finishes the message in hand; the rest waits for its next incarnation."""
    diary: list[str] = []
    spec = SupervisorSpec(name="site", strategy=Strategy.ONE_FOR_ALL)
    async with actors.open_system("sys") as system:
        site = await system.root.supervise(spec)
        crasher = await site.start(puppet("crasher", diary))
        sibling = await site.start(puppet("sibling", diary))
        diary.clear()
        sibling.tell_nowait(pause(2))
        sibling.tell_nowait(note("after the restart"))
        await trio.testing.wait_all_tasks_blocked()

        crasher.tell_nowait(crash)
        await trio.sleep(5)

        assert diary == [
            "crasher down",
            "sibling down",
            "crasher up",
            "sibling up",
            "after the restart",
        ]
        assert sibling.statistics().mailbox.dead_letters == 0


async def test_a_sibling_that_does_not_end_is_cut_after_its_grace(
    autojump_clock: MockClock,
) -> None:
    """A hanging sibling cannot hold up a restart; its asker is told."""
    spec = SupervisorSpec(name="site", strategy=Strategy.ONE_FOR_ALL)
    async with actors.open_system("sys") as system, trio.open_nursery() as nursery:
        site = await system.root.supervise(spec)
        crasher = await site.start(puppet("crasher"))
        sibling = await site.start(puppet("sibling", grace_s=3))

        async def ask() -> None:
            with pytest.raises(actors.ActorCrashed, match="was cancelled over this message"):
                await sibling.ask(hang, within_s=60)
            assert trio.current_time() == 3

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        crasher.tell_nowait(crash)
        await trio.sleep(5)

        assert await sibling.ask(count, within_s=1) == 1


async def test_a_crash_during_a_restart_takes_the_restart_over(autojump_clock: MockClock) -> None:
    """Rest for one: while c and d wait to come back, a crashes; all come back once, in order."""
    diary: list[str] = []
    slow = Restart(backoff=actors.Backoff(first_s=1, max_s=1, jitter=0))
    spec = SupervisorSpec(
        name="site",
        strategy=Strategy.REST_FOR_ONE,
        restart=slow,
        children=tuple(puppet(name, diary) for name in "abcd"),
    )
    async with actors.open_system("sys") as system:
        await system.root.supervise(spec)
        diary.clear()
        for name, wait_s in (("c", 0.5), ("a", 5)):
            ref = system.registry.whereis(f"sys/site/{name}")
            assert ref is not None
            ref.tell_nowait(crash)
            await trio.sleep(wait_s)

        assert ", ".join(diary) == ("c down, d down, a down, b down, a up, b up, c up, d up")


@pytest.mark.parametrize(
    ("lifetime", "deed", "comes_back"),
    [
        (Lifetime.PERMANENT, "finish", True),
        (Lifetime.PERMANENT, "crash", True),
        (Lifetime.TRANSIENT, "finish", False),
        (Lifetime.TRANSIENT, "crash", True),
        (Lifetime.TEMPORARY, "finish", False),
        (Lifetime.TEMPORARY, "crash", False),
    ],
)
async def test_a_lifetime_says_who_comes_back(
    autojump_clock: MockClock, lifetime: Lifetime, deed: str, *, comes_back: bool
) -> None:
    """Permanent always, transient after a crash, temporary never; the end says how it was."""

    class Mortal(actors.Actor[str]):
        async def run(self, context: actors.Context[str]) -> None:
            (envelope,) = await context.receive_batch(1)
            if envelope.body == "crash":
                raise Boom

    spec = actors.ChildSpec[str](
        name="mortal",
        factory=Mortal,
        mailbox=actors.MailboxSpec(capacity=1, on_full=actors.OnFull.REJECT),
        lifetime=lifetime,
    )
    async with actors.open_system("sys") as system:
        ref = await system.root.start(spec)
        ref.tell_nowait(deed)
        await trio.sleep(1)

        assert ("sys/mortal" in system.registry) == comes_back
        if not comes_back:
            stopped = await ref.wait_stopped()
            assert stopped.ending is (Ending.CRASHED if deed == "crash" else Ending.FINISHED)


async def test_a_temporary_sibling_is_stopped_by_a_group_restart(autojump_clock: MockClock) -> None:
    """It is never started again, so nothing of it is kept."""
    spec = SupervisorSpec(name="site", strategy=Strategy.ONE_FOR_ALL)
    async with actors.open_system("sys") as system:
        site = await system.root.supervise(spec)
        crasher = await site.start(puppet("crasher"))
        guest = await site.start(puppet("guest", lifetime=Lifetime.TEMPORARY))

        crasher.tell_nowait(crash)

        assert (await guest.wait_stopped()).ending is Ending.STOPPED


async def test_a_failing_first_start_is_raised_to_the_starter(autojump_clock: MockClock) -> None:
    """Unwrapped, not counted as a crash of the supervisor, and the name is free again."""
    async with actors.open_system("sys", restart=Restart(limit=0)) as system:
        for _ in range(3):
            with pytest.raises(Boom, match="no device"):
                await system.root.start(unborn())

        assert list(system.registry) == ["sys"]


async def test_a_failing_child_fails_the_start_of_its_supervisor(autojump_clock: MockClock) -> None:
    """What has come up already goes down again, and the starter gets the child's own error."""
    diary: list[str] = []
    spec = SupervisorSpec(name="site", children=(puppet("a", diary), unborn()))
    async with actors.open_system("sys") as system:
        with pytest.raises(Boom, match="no device"):
            await system.root.supervise(spec)

        assert diary == ["a up", "a down"]
        assert list(system.registry) == ["sys"]


async def test_a_start_that_hangs_is_bounded(autojump_clock: MockClock) -> None:
    """`on_start` has a deadline."""

    class Hanging(actors.Actor[Deed]):
        async def on_start(self, context: actors.Context[Deed]) -> None:
            await trio.sleep_forever()

    spec = actors.ChildSpec(
        name="hanging", factory=Hanging, mailbox=puppet().mailbox, start_within_s=7
    )
    async with actors.open_system("sys") as system:
        with pytest.raises(trio.TooSlowError):
            await system.root.start(spec)
        assert trio.current_time() == 7


async def test_a_starter_that_no_longer_waits_leaves_nothing_behind(
    autojump_clock: MockClock,
) -> None:
    """Cancelling `start` kills what was on its way up."""

    class Hanging(actors.Actor[Deed]):
        async def on_start(self, context: actors.Context[Deed]) -> None:
            await trio.sleep_forever()

    spec = actors.ChildSpec(name="hanging", factory=Hanging, mailbox=puppet().mailbox)
    async with actors.open_system("sys") as system:
        with trio.move_on_after(1):
            await system.root.start(spec)
        await trio.testing.wait_all_tasks_blocked()

        assert list(system.registry) == ["sys"]


async def test_mail_queues_before_the_first_incarnation(autojump_clock: MockClock) -> None:
    """`start_nowait` returns a ref that can be written to at once."""
    async with actors.open_system("sys") as system:
        ref = system.root.start_nowait(puppet())
        ref.tell_nowait(count)

        assert await ref.ask(count, within_s=1) == 2


async def test_start_nowait_treats_a_failing_start_as_a_crash(autojump_clock: MockClock) -> None:
    """It is retried with backoff until the supervisor gives up."""
    with pytest.raises(actors.RestartsExceeded) as caught:  # noqa: PT012 - the block is the subject
        async with actors.open_system("sys", restart=Restart(limit=3)) as system:
            system.root.start_nowait(unborn())
            await trio.sleep(60)

    assert isinstance(caught.value.__cause__, Boom)


async def test_restarts_back_off(autojump_clock: MockClock) -> None:
    """Each wait is twice the last, up to the cap, and begins anew after a quiet time."""
    backoff = actors.Backoff(first_s=1, max_s=4, jitter=0, reset_after_s=100)
    up_at: list[float] = []
    async with actors.open_system("sys", restart=Restart(limit=99, backoff=backoff)) as system:
        system.events.listen(
            lambda event: up_at.append(event.at) if isinstance(event, actors.Restarted) else None
        )
        ref = await system.root.start(puppet())
        for _ in range(4):
            ref.tell_nowait(crash)
        await trio.sleep(200)
        ref.tell_nowait(crash)
        await trio.sleep(50)

    assert up_at == [1, 1 + 2, 1 + 2 + 4, 1 + 2 + 4 + 4, 200 + 1]


async def test_escalation_reaches_the_parent_as_a_crash(autojump_clock: MockClock) -> None:
    """Beyond the limit a supervisor fails itself; its parent restarts it with all its cells."""
    once = Restart(limit=1, within_s=60, backoff=AT_ONCE)
    async with actors.open_system("sys") as system:
        recorder = EventRecorder(system.events)
        site = await system.root.supervise(SupervisorSpec(name="site", restart=once))
        unruly = await site.start(puppet("unruly"))
        bystander = await site.start(puppet("bystander"))
        await bystander.ask(count, within_s=1)

        unruly.tell_nowait(crash)
        unruly.tell_nowait(crash)
        with trio.fail_after(60):
            await recorder.wait_for(actors.Restarted, lambda event: event.path == "sys/site")

        (escalated,) = recorder.of(actors.Escalated)
        assert isinstance(escalated.error, actors.RestartsExceeded)
        assert isinstance(escalated.error.__cause__, Boom)
        # Refs outlive it, and everybody has fresh state.
        assert await unruly.ask(count, within_s=1) == 1
        assert await bystander.ask(count, within_s=1) == 1


async def test_old_crashes_do_not_count(autojump_clock: MockClock) -> None:
    """The limit is one of restarts within a time."""
    restart = Restart(limit=1, within_s=10, backoff=AT_ONCE)
    async with actors.open_system("sys", restart=restart) as system:
        ref = await system.root.start(puppet())
        for _ in range(5):
            ref.tell_nowait(crash)
            await trio.sleep(11)

        assert ref.statistics().restarts == 5


async def test_the_escalation_of_the_root_ends_the_block(autojump_clock: MockClock) -> None:
    """The block is cancelled and the error raised out of it, unwrapped."""
    with pytest.raises(  # noqa: PT012 - the block is the subject
        actors.RestartsExceeded, match="more than 0 restarts in 60 s"
    ) as caught:
        async with actors.open_system("sys", restart=Restart(limit=0)) as system:
            ref = await system.root.start(puppet())
            ref.tell_nowait(crash)
            await trio.sleep_forever()

    assert isinstance(caught.value.__cause__, Boom)


async def test_children_of_an_actor_live_for_one_incarnation(autojump_clock: MockClock) -> None:
    """They are found below it, and go and come with it."""
    diary: list[str] = []

    class Site(Puppet):
        async def run(self, context: actors.Context[Deed]) -> None:
            spec = SupervisorSpec(name="devices", children=(puppet("bess-1", diary),))
            async with actors.open_supervisor(context, spec):
                await context.serve(self.handle)

    spec = actors.ChildSpec(
        name="site", factory=lambda: Site(diary, "site"), mailbox=puppet().mailbox
    )
    async with actors.open_system("sys") as system:
        site = await system.root.start(spec)
        await trio.testing.wait_all_tasks_blocked()
        device = system.registry.whereis("sys/site/devices/bess-1")
        assert device is not None
        (node,) = system.tree().children
        assert [child.path for child in node.children] == ["sys/site/devices"]

        site.tell_nowait(crash)
        assert (await device.wait_stopped()).ending is Ending.STOPPED
        await trio.sleep(1)

        assert "sys/site/devices/bess-1" in system.registry
        assert diary == ["site up", "bess-1 up", "bess-1 down", "site down", "site up", "bess-1 up"]
        diary.clear()

    assert diary == ["bess-1 down", "site down"]


async def test_the_escalation_of_its_children_crashes_an_actor(autojump_clock: MockClock) -> None:
    """An actor shares the fate of the supervisor it opened."""

    class Site(Puppet):
        async def run(self, context: actors.Context[Deed]) -> None:
            spec = SupervisorSpec(
                name="devices", restart=Restart(limit=0), children=(puppet("bess-1"),)
            )
            async with actors.open_supervisor(context, spec):
                await context.serve(self.handle)

    spec = actors.ChildSpec(name="site", factory=lambda: Site([]), mailbox=puppet().mailbox)
    async with actors.open_system("sys") as system:
        recorder = EventRecorder(system.events)
        await system.root.start(spec)
        await trio.testing.wait_all_tasks_blocked()
        device = system.registry.whereis("sys/site/devices/bess-1")
        assert device is not None
        device.tell_nowait(crash)
        with trio.fail_after(5):
            crashed = await recorder.wait_for(actors.Crashed, lambda e: e.path == "sys/site")

        assert isinstance(crashed.error, actors.RestartsExceeded)


async def test_children_can_be_added_while_the_supervisor_is_down(
    autojump_clock: MockClock,
) -> None:
    """They come up with it."""
    slow = Restart(backoff=actors.Backoff(first_s=5, max_s=5, jitter=0))
    async with actors.open_system("sys", restart=slow) as system:
        site = await system.root.supervise(
            SupervisorSpec(name="site", restart=Restart(limit=0), children=(puppet("a"),))
        )
        first = system.registry.whereis("sys/site/a")
        assert first is not None
        first.tell_nowait(crash)
        await trio.sleep(1)
        assert site.statistics().state is actors.State.DOWN

        late = await site.start(puppet("late"))

        assert trio.current_time() == 5
        assert await late.ask(count, within_s=1) == 1


async def test_children_that_do_not_come_up_keep_the_block_from_running(
    autojump_clock: MockClock,
) -> None:
    """`open_supervisor` raises the failing child's own error before its block begins."""
    seen: list[str] = []

    class Site(actors.Actor[Deed]):
        async def run(self, context: actors.Context[Deed]) -> None:
            spec = SupervisorSpec(name="devices", children=(puppet("a"), unborn()))
            try:
                async with actors.open_supervisor(context, spec):
                    seen.append("block")
            except Boom as error:
                seen.append(str(error))
            await context.serve(self.handle)

    spec = actors.ChildSpec(name="site", factory=Site, mailbox=puppet().mailbox)
    async with actors.open_system("sys") as system:
        await system.root.start(spec)
        await trio.testing.wait_all_tasks_blocked()

        assert seen == ["no device at 10.0.0.7"]
        assert sorted(system.registry) == ["sys", "sys/site"]


async def test_supervisors_nest_in_their_specifications(autojump_clock: MockClock) -> None:
    """A whole tree can be written down and started at once."""
    rack = SupervisorSpec(name="rack", children=(puppet("a"),))
    async with actors.open_system("sys") as system:
        await system.root.supervise(SupervisorSpec(name="site", children=(rack, puppet("b"))))
        late = system.root.supervise_nowait(SupervisorSpec(name="late", children=(puppet("c"),)))
        await trio.testing.wait_all_tasks_blocked()

        assert list(system.registry) == [
            "sys",
            "sys/site",
            "sys/site/rack",
            "sys/site/rack/a",
            "sys/site/b",
            "sys/late",
            "sys/late/c",
        ]
        assert late.statistics().state is actors.State.RUNNING


async def test_a_supervisor_stopped_before_it_began_starts_nobody(
    autojump_clock: MockClock,
) -> None:
    """An order can overtake a start."""
    diary: list[str] = []
    async with actors.open_system("sys") as system:
        site = system.root.supervise_nowait(
            SupervisorSpec(name="site", children=(puppet("a", diary),))
        )
        stopped = await site.stop()

        assert stopped.ending is Ending.STOPPED
        assert diary == []
        assert list(system.registry) == ["sys"]


async def test_a_sibling_crash_during_the_first_start_is_a_group_restart(
    autojump_clock: MockClock,
) -> None:
    """All come up once more, in order, and the starter gets its supervisor."""
    diary: list[str] = []

    class Late(Puppet):
        async def on_start(self, context: actors.Context[Deed]) -> None:
            if context.restarts == 0 and not diary.count("late up"):
                first = context.registry.whereis("sys/site/first")
                assert first is not None
                first.tell_nowait(crash)
            await trio.sleep(1)
            await super().on_start(context)

    late = actors.ChildSpec[Deed](
        name="late", factory=lambda: Late(diary, "late"), mailbox=puppet().mailbox
    )
    spec = SupervisorSpec(
        name="site",
        strategy=Strategy.ONE_FOR_ALL,
        restart=Restart(backoff=AT_ONCE),
        children=(puppet("first", diary), late, puppet("last", diary)),
    )
    async with actors.open_system("sys") as system:
        await system.root.supervise(spec)
        await trio.sleep(5)

        states = [child.statistics().state for child in system.root.children]
        assert states == [actors.State.RUNNING]
        assert diary == ["first up", "first down", "late up", "late down"] + [
            f"{name} up" for name in ("first", "late", "last")
        ]


async def test_a_crash_while_its_supervisor_goes_down_restarts_nobody(
    autojump_clock: MockClock,
) -> None:
    """The stop wins; the crash is told."""
    diary: list[str] = []
    async with actors.open_system("sys") as system:
        recorder = EventRecorder(system.events)
        site = await system.root.supervise(
            SupervisorSpec(name="site", children=(puppet("a", diary), puppet("b", diary)))
        )
        a, b = (system.registry.whereis(f"sys/site/{name}") for name in "ab")
        assert a is not None
        assert b is not None
        b.tell_nowait(pause(2))
        a.tell_nowait(pause(1))
        a.tell_nowait(crash)
        await trio.testing.wait_all_tasks_blocked()
        await site.stop()

        assert diary == ["a up", "b up", "a down", "b down"]
        assert [event.path for event in recorder.of(actors.Crashed)] == ["sys/site/a"]
        assert (await a.wait_stopped()).ending is Ending.STOPPED
