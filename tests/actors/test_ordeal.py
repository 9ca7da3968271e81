"""Schedules of crashes, overflows, stops and kills that nobody thought of."""

import random

import trio
from hypothesis import given
from hypothesis import strategies as st
from puppets import Boom, Deed, Puppet, crash, note, pause, puppet

import actors
from actors import OnFull, Restart, Strategy, SupervisorSpec
from actors.testing import EventRecorder, run_deterministic

TELLS = {"tell": note("hello"), "slow": pause(3), "crash": crash}
STEPS = st.tuples(
    st.sampled_from([*TELLS, "ask", "wait", "stop", "kill", "start"]), st.integers(0, 3)
)


class Flaky(Puppet):
    """Takes its time to come up, and does not always."""

    def __init__(self, diary: list[str], name: str, rng: random.Random) -> None:
        super().__init__(diary, name)
        self.random = rng

    async def on_start(self, context: actors.Context[Deed]) -> None:
        """Come up, or not."""
        await trio.sleep(self.random.random())
        if self.random.random() < 0.3:
            raise Boom
        await super().on_start(context)


class Ordeal:
    """Four actors under one supervisor, and everyone who asks them something."""

    def __init__(self, strategy: Strategy, on_full: OnFull) -> None:
        self.asked = 0
        self.started = 0
        self.failed = 0
        self.answered = 0
        self.random = random.Random(0)
        box = actors.MailboxSpec[Deed](capacity=3, on_full=on_full)
        self.site = SupervisorSpec(
            name="site",
            strategy=strategy,
            restart=Restart(limit=4, within_s=5, backoff=actors.Backoff(first_s=0.1, max_s=1)),
            children=tuple(puppet(f"p{i}", mailbox=box, grace_s=1) for i in range(4)),
        )

    async def run(self, steps: list[tuple[str, int]]) -> None:
        """Go through the steps, stop everything, and look at the books."""
        async with actors.open_system("sys", seed=0, restart=Restart(limit=99)) as system:
            recorder = EventRecorder(system.events)
            self.registry = system.registry
            self.supervisor = await system.root.supervise(self.site)
            refs = [ref for ref in self.supervisor.children if isinstance(ref, actors.Ref)]
            with trio.fail_after(600):
                async with trio.open_nursery() as nursery:
                    for what, index in steps:
                        await self.step(what, refs[index], nursery)
                await system.root.stop()
        self.audit(refs, recorder)

    async def step(self, what: str, ref: actors.Ref[Deed], nursery: trio.Nursery) -> None:
        """One thing happens to one actor."""
        match what:
            case "start":
                nursery.start_soon(self.start)
            case "ask":
                nursery.start_soon(self.ask, ref)
            case "wait":
                await trio.sleep(self.random.random())
            case "stop":
                ref.stop_nowait()
            case "kill":
                ref.kill("test")
            case _:
                try:
                    ref.tell_nowait(TELLS[what])
                except (actors.MailboxFull, actors.ActorStopped):
                    await trio.lowlevel.checkpoint()

    async def start(self) -> None:
        """Start one more, which may fail to come up, by someone who may not wait for it."""
        self.started += 1
        name = f"late-{self.started}"
        spec = actors.ChildSpec[Deed](
            name=name,
            factory=lambda: Flaky([], name, self.random),
            mailbox=puppet().mailbox,
            grace_s=1,
        )
        with trio.move_on_after(self.random.random()):
            try:
                await self.supervisor.start(spec)
            except (Boom, actors.ActorStopped):
                self.failed += 1

    async def ask(self, ref: actors.Ref[Deed]) -> None:
        """Ask, and count the answer of whatever kind."""
        self.asked += 1
        try:
            await ref.ask(pause(self.random.random()), within_s=2)
        except actors.ActorError:
            self.answered += 1
        else:
            self.answered += 1

    def audit(self, refs: list[actors.Ref[Deed]], recorder: EventRecorder) -> None:
        """Every asker has been answered; every message is in one count and one event."""
        assert self.answered == self.asked
        for ref in refs:
            seen = ref.statistics().mailbox
            assert (seen.waiting, seen.blocked) == (0, 0)
            mine = [event for event in recorder.of(actors.DeadLetter) if event.path == ref.path]
            assert sum(event.count for event in mine) == seen.expired + seen.dead_letters
            too_late = sum(e.count for e in mine if e.why is actors.Undelivered.STOPPED)
            accounted = seen.handled + seen.dropped + seen.expired + seen.dead_letters
            assert accounted - too_late <= seen.accepted <= accounted
        started = [event.path for event in recorder.of(actors.Started)]
        ended = [event.path for event in recorder.of(actors.Stopped)]
        assert len(set(ended)) == len(ended)
        assert set(started) <= set(ended)
        assert not list(self.registry)


@given(
    seed=st.integers(0, 1000),
    strategy=st.sampled_from(Strategy),
    on_full=st.sampled_from([OnFull.BLOCK, OnFull.REJECT, OnFull.DROP_OLDEST]),
    steps=st.lists(STEPS, max_size=40),
)
def test_no_schedule_breaks_the_guarantees(
    seed: int, strategy: Strategy, on_full: OnFull, steps: list[tuple[str, int]]
) -> None:
    """Askers are answered, books balance, everything ends, all in bounded time."""
    run_deterministic(seed, Ordeal(strategy, on_full).run, steps)
