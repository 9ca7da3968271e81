"""How things end: in order, within their grace, or at once."""

import pytest
import trio
import trio.testing
from puppets import AT_ONCE, Boom, Deed, Puppet, count, crash, hang, note, pause, puppet
from trio.testing import MockClock

import actors
from actors import Ending, Lifetime, OnFull, Restart, Strategy, SupervisorSpec
from actors.testing import EventRecorder


class Stubborn(Puppet):
    """Takes its time to clean up."""

    async def on_stop(self) -> None:
        """Never be done."""
        try:
            await trio.sleep_forever()
        finally:
            self.diary.append(f"{self.name} cut at {trio.current_time():g}")


def stubborn(diary: list[str], *, grace_s: float) -> actors.ChildSpec[Deed]:
    """How to start one."""
    return actors.ChildSpec(
        name="stubborn",
        factory=lambda: Stubborn(diary, "stubborn"),
        mailbox=puppet().mailbox,
        grace_s=grace_s,
    )


async def test_leaving_the_block_stops_all_last_started_first(autojump_clock: MockClock) -> None:
    """Whoever was started later may need whoever was started earlier, at every level."""
    diary: list[str] = []
    async with actors.open_system("sys") as system:
        await system.root.start(puppet("a", diary))
        await system.root.supervise(
            SupervisorSpec(name="b", children=(puppet("b1", diary), puppet("b2", diary)))
        )
        await system.root.start(puppet("c", diary))
        diary.clear()

    assert diary == ["c down", "b2 down", "b1 down", "a down"]


async def test_a_stop_handles_the_mail_that_is_there_and_takes_no_more(
    autojump_clock: MockClock,
) -> None:
    """Draining is what makes a stop different from a kill."""
    diary: list[str] = []
    async with actors.open_system("sys") as system:
        ref = await system.root.start(puppet(diary=diary))
        for deed in (pause(1), note("one"), note("two")):
            ref.tell_nowait(deed)
        ref.stop_nowait()
        with pytest.raises(actors.ActorStopped):
            ref.tell_nowait(note("three"))
        stopped = await ref.wait_stopped()

    assert diary == ["puppet up", "one", "two", "puppet down"]
    assert (stopped.ending, stopped.at) == (Ending.STOPPED, 1)


async def test_what_does_not_end_within_its_grace_is_cut(autojump_clock: MockClock) -> None:
    """Then `on_stop` has the same time again, and nothing lasts longer."""
    diary: list[str] = []
    async with actors.open_system("sys") as system:
        ref = await system.root.start(stubborn(diary, grace_s=3))
        ref.tell_nowait(hang)
        await trio.testing.wait_all_tasks_blocked()
        stopped = await ref.stop()

    assert (stopped.ending, stopped.at) == (Ending.CUT, 6)
    assert diary == ["stubborn up", "stubborn cut at 6"]


async def test_the_grace_of_the_system_bounds_the_whole_stop(autojump_clock: MockClock) -> None:
    """However many children hang, leaving the block takes no longer."""
    async with actors.open_system("sys", grace_s=10) as system:
        for index in range(20):
            ref = await system.root.start(puppet(f"puppet-{index}", grace_s=3))
            ref.tell_nowait(hang)
        await trio.testing.wait_all_tasks_blocked()

    assert trio.current_time() == 10


async def test_a_kill_cancels_what_is_in_hand_and_says_why(autojump_clock: MockClock) -> None:
    """The handler is cancelled at once, `on_stop` runs, nobody restarts it."""
    diary: list[str] = []
    async with actors.open_system("sys") as system:
        ref = await system.root.start(puppet(diary=diary))
        ref.tell_nowait(hang)
        ref.tell_nowait(note("never"))
        await trio.testing.wait_all_tasks_blocked()

        ref.kill("operator said so")
        stopped = await ref.wait_stopped()

        assert (stopped.ending, stopped.reason) == (Ending.KILLED, "operator said so")
        assert diary == ["puppet up", "puppet down"]
        assert "sys/puppet" not in system.registry
        assert ref.statistics().mailbox.dead_letters == 2


async def test_a_kill_overrules_a_stop(autojump_clock: MockClock) -> None:
    """Who cannot wait for the grace need not."""
    async with actors.open_system("sys") as system:
        ref = await system.root.start(puppet(grace_s=60))
        ref.tell_nowait(hang)
        await trio.testing.wait_all_tasks_blocked()
        ref.stop_nowait()
        await trio.sleep(1)
        ref.kill("cannot wait")

        assert (await ref.wait_stopped()).at == 1


@pytest.mark.parametrize("verb", ["stop", "kill"])
async def test_an_actor_between_two_incarnations_ends_at_once(
    verb: str, autojump_clock: MockClock
) -> None:
    """A stop does not wait for a restart that nobody wants any more."""
    slow = Restart(backoff=actors.Backoff(first_s=30, max_s=30, jitter=0))
    async with actors.open_system("sys", restart=slow) as system:
        ref = await system.root.start(puppet())
        ref.tell_nowait(crash)
        ref.tell_nowait(count)
        await trio.testing.wait_all_tasks_blocked()
        assert ref.statistics().state is actors.State.DOWN

        if verb == "stop":
            ref.stop_nowait()
        else:
            ref.kill("test")
        stopped = await ref.wait_stopped()
        again = await system.root.start(puppet())
        await trio.sleep(60)

        assert stopped.at == 0
        assert again.statistics().state is actors.State.RUNNING
        assert ref.statistics().mailbox.dead_letters == 2


async def test_waiting_for_the_end_returns_at_once_after_it(autojump_clock: MockClock) -> None:
    """A death watch cannot come too late, and any number may watch."""
    seen: list[actors.Stopped] = []
    async with actors.open_system("sys") as system, trio.open_nursery() as nursery:
        ref = await system.root.start(puppet())

        async def watch() -> None:
            seen.append(await ref.wait_stopped())

        nursery.start_soon(watch)
        nursery.start_soon(watch)
        await trio.testing.wait_all_tasks_blocked()
        await ref.stop()
        await watch()

    assert len(seen) == 3
    assert len(set(seen)) == 1


async def test_stopping_a_supervisor_stops_its_children_in_order(
    autojump_clock: MockClock,
) -> None:
    """And takes no more children."""
    diary: list[str] = []
    async with actors.open_system("sys") as system:
        site = await system.root.supervise(
            SupervisorSpec(name="site", children=(puppet("a", diary), puppet("b", diary)))
        )
        stopped = await site.stop()

        assert stopped.ending is Ending.STOPPED
        assert diary[2:] == ["b down", "a down"]
        with pytest.raises(actors.ActorStopped):
            await site.start(puppet("c"))


async def test_killing_a_supervisor_ends_everything_below(autojump_clock: MockClock) -> None:
    """Hanging actors too, at once, each with its `on_stop`."""
    diary: list[str] = []
    async with actors.open_system("sys") as system:
        site = await system.root.supervise(
            SupervisorSpec(name="site", children=(puppet("a", diary), puppet("b", diary)))
        )
        child = system.registry.whereis("sys/site/a")
        assert child is not None
        child.tell_nowait(hang)
        await trio.testing.wait_all_tasks_blocked()
        site.kill("gone")

        assert (await child.wait_stopped()).ending is Ending.KILLED
        assert (await site.wait_stopped()).at == 0
        assert sorted(diary[2:]) == ["a down", "b down"]
        assert list(system.registry) == ["sys"]


async def test_cancelling_the_block_from_outside_kills(autojump_clock: MockClock) -> None:
    """No draining, but `on_stop` and the events of the end."""
    diary: list[str] = []
    with trio.move_on_after(5):
        async with actors.open_system("sys") as system:
            recorder = EventRecorder(system.events)
            ref = await system.root.start(puppet(diary=diary))
            ref.tell_nowait(hang)
            await trio.sleep_forever()

    assert trio.current_time() == 5
    assert diary == ["puppet up", "puppet down"]
    assert [stop.path for stop in recorder.of(actors.Stopped)] == ["sys/puppet", "sys"]
    assert (await ref.wait_stopped()).ending is Ending.KILLED


async def test_the_error_of_the_block_is_raised_after_an_ordered_stop(
    autojump_clock: MockClock,
) -> None:
    """Unwrapped, and what was in the mailboxes is handled first."""
    diary: list[str] = []
    with pytest.raises(Boom):  # noqa: PT012 - the block is the subject
        async with actors.open_system("sys") as system:
            ref = await system.root.start(puppet(diary=diary))
            ref.tell_nowait(note("handled"))
            raise Boom

    assert diary == ["puppet up", "handled", "puppet down"]


async def test_two_failures_are_both_raised(autojump_clock: MockClock) -> None:
    """When root and block fail, neither hides the other."""
    with pytest.RaisesGroup(Boom, actors.RestartsExceeded):
        async with actors.open_system("sys", restart=Restart(limit=0)) as system:
            ref = await system.root.start(puppet())
            ref.tell_nowait(crash)
            try:
                await trio.sleep_forever()
            finally:
                raise Boom


async def test_stopping_the_root_ends_the_block_quietly(autojump_clock: MockClock) -> None:
    """So that any part can shut the program down in order."""
    async with actors.open_system("sys") as system:
        await system.root.start(puppet())
        system.root.stop_nowait()
        await trio.sleep(1000)

    assert trio.current_time() == 0


async def test_a_service_can_watch_for_its_end(autojump_clock: MockClock) -> None:
    """A loop of its own that minds `wait_ending` ends within its grace instead of being cut."""
    told: list[bool] = []

    class Service(actors.Actor[Deed]):
        async def run(self, context: actors.Context[Deed]) -> None:
            told.append(context.is_ending)
            await context.wait_ending()
            told.append(context.is_ending)
            await trio.sleep(2)

    spec = actors.ChildSpec(name="service", factory=Service, mailbox=puppet().mailbox)
    async with actors.open_system("sys") as system:
        ref = await system.root.start(spec)
        stopped = await ref.stop()

    assert (stopped.ending, stopped.at) == (Ending.STOPPED, 2)
    assert told == [False, True]


async def test_no_grace_cancels_at_once(autojump_clock: MockClock) -> None:
    """For a service that minds nothing."""

    class Service(actors.Actor[Deed]):
        async def run(self, context: actors.Context[Deed]) -> None:
            await trio.sleep_forever()

    spec = actors.ChildSpec(name="service", factory=Service, mailbox=puppet().mailbox, grace_s=0)
    async with actors.open_system("sys") as system:
        ref = await system.root.start(spec)

        assert (await ref.stop()).at == 0


async def test_a_crash_on_the_way_down_is_told(autojump_clock: MockClock) -> None:
    """A stop that did not go well says so, and is still a stop."""

    class Brittle(Puppet):
        async def on_stop(self) -> None:
            raise Boom("cannot close")

    spec = actors.ChildSpec(name="a", factory=lambda: Brittle([]), mailbox=puppet().mailbox)
    async with actors.open_system("sys") as system:
        ref = await system.root.start(spec)
        stopped = await ref.stop()

    assert stopped.ending is Ending.CRASHED
    assert isinstance(stopped.error, Boom)


async def test_a_failure_beside_a_cancellation_is_not_lost(autojump_clock: MockClock) -> None:
    """A nursery in an actor that fails while the system is cancelled reports its failure."""

    class Split(actors.Actor[Deed]):
        async def run(self, context: actors.Context[Deed]) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.fail_late)
                await context.serve(self.handle)

        async def fail_late(self) -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise Boom

    spec = actors.ChildSpec(name="split", factory=Split, mailbox=puppet().mailbox)
    with trio.move_on_after(1):
        async with actors.open_system("sys") as system:
            recorder = EventRecorder(system.events)
            await system.root.start(spec)
            await trio.sleep_forever()

    (crashed,) = recorder.of(actors.Crashed)
    assert isinstance(crashed.error, ExceptionGroup)


async def test_a_whole_site_comes_back_while_an_operator_stops_a_part_of_it(
    autojump_clock: MockClock,
) -> None:
    """A stop in the middle of a group restart wins for its actor and spares the others."""
    slow = Restart(backoff=actors.Backoff(first_s=5, max_s=5, jitter=0))
    spec = SupervisorSpec(name="site", strategy=Strategy.ONE_FOR_ALL, restart=slow)
    async with actors.open_system("sys") as system:
        site = await system.root.supervise(spec)
        refs = [await site.start(puppet(name)) for name in "abc"]
        refs[0].tell_nowait(crash)
        await trio.sleep(1)
        await refs[1].stop()
        await trio.sleep(10)

        states = [ref.statistics().state for ref in refs]
        assert states == [actors.State.RUNNING, actors.State.STOPPED, actors.State.RUNNING]


async def test_stopping_everything_during_restarts_leaves_nobody(
    autojump_clock: MockClock,
) -> None:
    """A restart that is waiting when its supervisor stops does not happen."""
    slow = Restart(limit=99, backoff=actors.Backoff(first_s=5, max_s=5, jitter=0))
    diary: list[str] = []
    async with actors.open_system("sys", restart=slow) as system:
        for name in "abc":
            ref = await system.root.start(puppet(name, diary))
            ref.tell_nowait(crash)
        await trio.sleep(1)
        diary.clear()

    assert diary == []
    assert trio.current_time() == 1


@pytest.mark.parametrize("on_full", [OnFull.BLOCK, OnFull.REJECT, OnFull.DROP_OLDEST])
async def test_the_books_balance(on_full: OnFull, autojump_clock: MockClock) -> None:
    """Whatever happened to it, each accepted message is in exactly one count."""
    box = actors.MailboxSpec[Deed](capacity=4, on_full=on_full)
    restart = Restart(limit=99, backoff=AT_ONCE)
    async with actors.open_system("sys", restart=restart, seed=7) as system:
        recorder = EventRecorder(system.events)
        ref = await system.root.start(puppet(mailbox=box))
        for index in range(50):
            try:
                ref.tell_nowait(crash if index % 5 == 0 else count)
                if index % 7 == 0:
                    with trio.move_on_after(0.5):
                        await ref.ask(pause(1), within_s=60)
            except (actors.MailboxFull, actors.ActorCrashed, actors.MessageDropped):
                await trio.sleep(0.1)
        await trio.sleep(10)
        ref.tell_nowait(hang)
        await trio.testing.wait_all_tasks_blocked()
        ref.kill("enough")
        await ref.wait_stopped()
        seen = ref.statistics().mailbox

    assert seen.waiting == 0
    assert seen.accepted == seen.handled + seen.dropped + seen.expired + seen.dead_letters
    letters = sum(event.count for event in recorder.of(actors.DeadLetter))
    assert letters == seen.expired + seen.dead_letters
    overflows = sum(event.count for event in recorder.of(actors.Overflowed))
    assert overflows == seen.dropped + seen.rejected


def test_a_temporary_actor_is_gone_after_its_crash() -> None:
    """Its path is free for the next one."""

    async def main() -> None:
        async with actors.open_system("sys") as system:
            for _ in range(3):
                ref = await system.root.start(puppet(lifetime=Lifetime.TEMPORARY))
                ref.tell_nowait(crash)
                assert (await ref.wait_stopped()).ending is Ending.CRASHED

    trio.run(main)
