"""The system around the actors: events, registry, tree, randomness, and many of everything."""

import pytest
import trio
import trio.testing
from puppets import AT_ONCE, Deed, count, crash, hang, pause, puppet
from trio.testing import MockClock

import actors
from actors import Restart, SupervisorSpec, Undelivered
from actors.testing import EventRecorder, Probe


async def test_the_life_of_an_actor_is_told_in_events(autojump_clock: MockClock) -> None:
    """Logs, metrics and tests read this one stream."""
    backoff = actors.Backoff(first_s=1, max_s=1, jitter=0)
    async with actors.open_system("sys", restart=Restart(backoff=backoff)) as system:
        recorder = EventRecorder(system.events)
        ref = await system.root.start(puppet())
        ref.tell_nowait(crash)
        await trio.sleep(2)
        await ref.stop()
        told = [(type(event).__name__, event.at) for event in recorder.events]

    assert told == [
        ("Started", 0),
        ("DeadLetter", 0),
        ("Crashed", 0),
        ("Restarted", 1),
        ("Stopped", 2),
    ]


async def test_a_listener_that_raises_is_counted_and_harms_nobody(
    autojump_clock: MockClock,
) -> None:
    """Neither the actors nor the other listeners."""
    heard: list[actors.Event] = []

    def raise_always(event: actors.Event) -> None:
        raise ValueError(event)

    async with actors.open_system("sys") as system:
        system.events.listen(raise_always)
        stop_listening = system.events.listen(heard.append)
        ref = await system.root.start(puppet())
        stop_listening()
        stop_listening()
        await ref.stop()

        seen = system.statistics().events
        assert [type(event) for event in heard] == [actors.Started]
        assert (seen.emitted, seen.listeners, seen.listener_errors) == (3, 1, 2)


async def test_a_flood_of_losses_is_summed_once_a_second(autojump_clock: MockClock) -> None:
    """The first at once, then a count; nothing is left out, and a quiet time starts over."""
    box = actors.MailboxSpec[Deed](capacity=1, on_full=actors.OnFull.DROP_OLDEST)
    async with actors.open_system("sys") as system:
        recorder = EventRecorder(system.events)
        ref = await system.root.start(puppet(mailbox=box))
        ref.tell_nowait(hang)
        await trio.testing.wait_all_tasks_blocked()
        ref.tell_nowait(count)
        for _ in range(9):  # from 0.0 to 2.4
            ref.tell_nowait(count)
            await trio.sleep(0.3)
        await trio.sleep(10)
        ref.tell_nowait(count)
        ref.tell_nowait(count)
        ref.kill("test")

    told = [(round(event.at, 1), event.count) for event in recorder.of(actors.Overflowed)]
    assert told == [(0, 1), (1, 3), (2, 3), (3, 2), (12.7, 1), (12.7, 1)]


async def test_paths_are_found_while_their_actors_live(autojump_clock: MockClock) -> None:
    """Through restarts, until the stop."""
    async with actors.open_system("sys") as system:
        await system.root.supervise(SupervisorSpec(name="sites", children=(puppet("a"),)))

        ref = system.registry.whereis("sys/sites/a")
        assert ref is not None
        assert (ref.name, ref.path) == ("a", "sys/sites/a")
        assert repr(ref) == "<Ref sys/sites/a (running)>"
        assert system.registry.supervisor("sys/sites") is not None
        assert system.registry.whereis("sys/sites") is None
        assert system.registry.supervisor("sys/sites/a") is None
        assert list(system.registry) == ["sys", "sys/sites", "sys/sites/a"]
        assert len(system.registry) == system.statistics().cells == 3

        ref.tell_nowait(crash)
        await trio.sleep(1)
        assert system.registry.whereis("sys/sites/a") is ref
        await ref.stop()
        assert system.registry.whereis("sys/sites/a") is None


async def test_a_name_is_taken_once(autojump_clock: MockClock) -> None:
    """Among the living; and it has no slash."""
    async with actors.open_system("sys") as system:
        ref = await system.root.start(puppet("a"))
        with pytest.raises(actors.NameTaken, match="sys/a: this path is taken; stop <Ref sys/a"):
            system.root.start_nowait(puppet("a"))
        await ref.stop()
        await system.root.start(puppet("a"))

    for name in ("", "a/b"):
        with pytest.raises(ValueError, match="a name must not be empty"):
            puppet(name)
    with pytest.raises(ValueError, match="two children of site share a name"):
        SupervisorSpec(name="site", children=(puppet("a"), puppet("a")))


async def test_the_tree_shows_everything(autojump_clock: MockClock) -> None:
    """State, restarts and mail of each, as one frozen snapshot."""
    async with actors.open_system("sys") as system:
        sites = await system.root.supervise(SupervisorSpec(name="sites"))
        ref = await sites.start(puppet("a"))
        ref.tell_nowait(crash)
        await trio.sleep(1)
        root = system.tree()

        (node,) = root.children
        (leaf,) = node.children
        assert (root.kind, root.path, root.mailbox) == ("supervisor", system.name, None)
        assert (node.kind, node.path, node.state) == (
            "supervisor",
            "sys/sites",
            actors.State.RUNNING,
        )
        assert (leaf.kind, leaf.name, leaf.restarts) == ("actor", "a", 1)
        assert leaf.mailbox == ref.statistics().mailbox
        assert leaf.mailbox.dead_letters == 1
        assert sites.children == (ref,)
        assert sites.statistics().children == 1


async def test_an_actor_knows_its_place(autojump_clock: MockClock) -> None:
    """Its context leads to its own ref and to what the system shares."""
    facts: list[object] = []

    class Curious(actors.Actor[str]):
        async def on_start(self, context: actors.Context[str]) -> None:
            facts.extend([context.name, context.path, context.restarts, context.random])
            facts.extend([context.ref, context.registry, context.events])

    spec = actors.ChildSpec[str](
        name="curious",
        factory=Curious,
        mailbox=actors.MailboxSpec(capacity=1, on_full=actors.OnFull.REJECT),
    )
    async with actors.open_system("sys") as system:
        ref = await system.root.start(spec)

        assert facts[:4] == ["curious", "sys/curious", 0, system.random]
        assert facts[4:] == [ref, system.registry, system.events]


async def test_an_actor_that_handles_nothing_says_so(autojump_clock: MockClock) -> None:
    """Mail for an actor without `handle` is a mistake that names itself."""
    spec = actors.ChildSpec[str](
        name="mute",
        factory=actors.Actor,
        mailbox=actors.MailboxSpec(capacity=1, on_full=actors.OnFull.REJECT),
    )
    async with actors.open_system("sys") as system:
        ref = await system.root.start(spec)
        with pytest.raises(actors.ActorCrashed, match="Actor does not handle 'hello'"):
            await ref.ask("hello", within_s=1)


async def test_a_dead_letter_names_its_cause_and_message(autojump_clock: MockClock) -> None:
    """For the operator who asks what was lost."""
    async with actors.open_system("sys") as system:
        recorder = EventRecorder(system.events)
        ref = await system.root.start(Probe[str]("probe").spec)
        await ref.stop()
        with pytest.raises(actors.ActorStopped):
            await ref.tell("too late")

        (letter,) = recorder.of(actors.DeadLetter)
        assert (letter.path, letter.why) == ("sys/probe", Undelivered.STOPPED)
        assert (letter.count, letter.message) == (1, "too late")


async def test_ten_thousand_actors(autojump_clock: MockClock) -> None:
    """They start, answer, and stop in order, in no time but their own."""
    async with actors.open_system("sys", restart=Restart(limit=20_000, backoff=AT_ONCE)) as system:
        fleet = await system.root.supervise(SupervisorSpec(name="fleet"))
        refs = [fleet.start_nowait(puppet(f"asset-{index}")) for index in range(10_000)]
        for ref in refs:
            ref.tell_nowait(count)
        assert await refs[-1].ask(count, within_s=1) == 2
        assert len(system.registry) == 10_002
        await fleet.stop()
        assert len(system.registry) == 1

    assert trio.current_time() == 0


async def test_one_slow_actor_delays_no_other(autojump_clock: MockClock) -> None:
    """Each waits in a task of its own."""
    async with actors.open_system("sys") as system:
        slow = await system.root.start(puppet("slow"))
        quick = await system.root.start(puppet("quick"))
        slow.tell_nowait(pause(100))

        assert await quick.ask(count, within_s=1) == 1
        assert trio.current_time() == 0
        slow.kill("test")
