"""Every asker is answered: with a value, an error, or "stopped"."""

import pytest
import trio
import trio.testing
from puppets import ROOMY, Boom, Deed, Puppet, count, crash, hang, note, pause, puppet
from trio.testing import MockClock

import actors
from actors import OnFull, Undelivered
from actors.testing import EventRecorder


async def refuse(_puppet: Puppet) -> object:
    """Say no."""
    raise actors.Refusal("bess-1: is locked locally; ask on site")


async def test_the_answer_is_what_handle_returned(autojump_clock: MockClock) -> None:
    """The simplest conversation."""
    async with actors.open_system("sys") as system:
        ref = await system.root.start(puppet())

        assert await ref.ask(count, within_s=1) == 1
        assert await ref.ask(count, within_s=1) == 2


async def test_a_refusal_answers_and_crashes_nobody(autojump_clock: MockClock) -> None:
    """An honest no keeps the state; a refused tell is a dead letter."""
    async with actors.open_system("sys") as system:
        recorder = EventRecorder(system.events)
        ref = await system.root.start(puppet())
        await ref.ask(count, within_s=1)

        with pytest.raises(actors.Refusal, match="locked locally"):
            await ref.ask(refuse, within_s=1)
        ref.tell_nowait(refuse)

        assert await ref.ask(count, within_s=1) == 2
        assert [letter.why for letter in recorder.of(actors.DeadLetter)] == [Undelivered.REFUSED]
        assert ref.statistics().mailbox.handled == 3


async def test_a_crash_answers_the_asker_and_keeps_the_mail(autojump_clock: MockClock) -> None:
    """The message in hand is lost and said to be; what waits is handled by fresh state."""
    diary: list[str] = []
    async with actors.open_system("sys") as system:
        ref = await system.root.start(puppet(diary=diary))
        await ref.ask(count, within_s=1)

        async def ask_to_crash() -> None:
            with pytest.raises(actors.ActorCrashed, match="sys/puppet: crashed") as caught:
                await ref.ask(crash, within_s=1)
            assert isinstance(caught.value.__cause__, Boom)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_to_crash)
            await trio.testing.wait_all_tasks_blocked(0.001)
            ref.tell_nowait(note("waited"))

        assert await ref.ask(count, within_s=1) == 1  # fresh state
        assert diary == ["puppet up", "puppet down", "puppet up", "waited"]
        assert ref.statistics().restarts == 1
        assert ref.statistics().mailbox.dead_letters == 1


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_stop_answers_whoever_was_left_behind(autojump_clock: MockClock, end: str) -> None:
    """In hand, in the box and after the end: all three askers learn that nobody comes."""
    async with actors.open_system("sys") as system:
        ref = await system.root.start(puppet(grace_s=1))
        stopped: set[str] = set()

        async def ask(deed: Deed) -> None:
            with pytest.raises(actors.ActorStopped) as caught:
                await ref.ask(deed, within_s=60)
            stopped.add(str(caught.value))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, hang)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(ask, count)
            await trio.testing.wait_all_tasks_blocked()
            if end == "stop":
                ref.stop_nowait()
            else:
                ref.kill("test")
        await ask(count)

        assert stopped == {
            "sys/puppet: was cancelled over this message",
            "sys/puppet: stopped before it came to this message",
            "sys/puppet: has stopped and takes no more messages",
        }
        assert ref.statistics().mailbox.dead_letters == 3


async def test_an_ask_expires_and_is_skipped(autojump_clock: MockClock) -> None:
    """Its asker gets an error in time; its message is not handled late, and counted."""
    diary: list[str] = []
    async with actors.open_system("sys") as system:
        recorder = EventRecorder(system.events)
        ref = await system.root.start(puppet(diary=diary))
        ref.tell_nowait(pause(10))

        with pytest.raises(actors.AskExpired, match=r"sys/puppet: no answer to function in time"):
            await ref.ask(note("too late"), within_s=2)
        assert trio.current_time() == 2
        await ref.ask(count, within_s=60)

        assert "too late" not in diary
        assert ref.statistics().mailbox.expired == 1
        assert [letter.why for letter in recorder.of(actors.DeadLetter)] == [Undelivered.EXPIRED]


async def test_a_cancelled_asker_takes_its_question_back(autojump_clock: MockClock) -> None:
    """Nobody waits for the answer, so the question is skipped."""
    diary: list[str] = []
    async with actors.open_system("sys") as system:
        ref = await system.root.start(puppet(diary=diary))
        ref.tell_nowait(pause(1))
        with trio.move_on_after(0.5):
            await ref.ask(note("unwanted"), within_s=60)
        await ref.ask(count, within_s=60)

        assert "unwanted" not in diary
        assert ref.statistics().mailbox.expired == 1


async def test_a_late_answer_is_dropped(autojump_clock: MockClock) -> None:
    """An asker that left does not disturb the actor which still works for it."""
    async with actors.open_system("sys") as system:
        ref = await system.root.start(puppet())
        with pytest.raises(actors.AskExpired):
            await ref.ask(pause(2), within_s=1)

        assert await ref.ask(count, within_s=5) == 1
        assert ref.statistics().restarts == 0


async def test_an_ask_made_for_an_ask_shares_its_deadline(autojump_clock: MockClock) -> None:
    """The inner ask gives up when the outer asker does, whatever it would allow itself."""
    gave_up_at: list[float] = []
    async with actors.open_system("sys") as system:
        inner = await system.root.start(puppet("inner"))
        outer = await system.root.start(puppet("outer"))

        async def pass_on(_puppet: Puppet) -> object:
            try:
                return await inner.ask(hang, within_s=60)
            except actors.AskExpired:
                gave_up_at.append(trio.current_time())
                raise

        with pytest.raises(actors.AskExpired):
            await outer.ask(pass_on, within_s=3)
        await trio.testing.wait_all_tasks_blocked(0.001)

        assert gave_up_at == [3]
        assert outer.statistics().restarts == 0  # it is no crash of the one in the middle
        assert await outer.ask(count, within_s=1) == 1
        inner.kill("hangs")


async def test_what_outlives_an_ask_is_free_of_its_deadline(autojump_clock: MockClock) -> None:
    """A task begun while handling an ask may ask for longer once the ask is answered."""
    async with actors.open_system("sys") as system, trio.open_nursery() as nursery:
        slow = await system.root.start(puppet("slow"))
        front = await system.root.start(puppet("front"))
        answers: list[object] = []

        async def later() -> None:
            await trio.sleep(2)
            answers.append(await slow.ask(pause(5), within_s=60))

        async def begin(_puppet: Puppet) -> object:
            nursery.start_soon(later)
            return "begun"

        assert await front.ask(begin, within_s=1) == "begun"
        await trio.sleep(10)

        assert answers == ["slow"]


async def test_an_ask_waits_for_room_under_block_within_its_deadline(
    autojump_clock: MockClock,
) -> None:
    """Waiting for room and for the answer share one deadline."""
    box = actors.MailboxSpec[Deed](capacity=1, on_full=OnFull.BLOCK)
    async with actors.open_system("sys") as system:
        ref = await system.root.start(puppet(mailbox=box))
        ref.tell_nowait(pause(10))
        await trio.testing.wait_all_tasks_blocked()
        ref.tell_nowait(pause(10))

        with pytest.raises(actors.AskExpired):
            await ref.ask(count, within_s=2)
        assert await ref.ask(count, within_s=60) == 1
        assert ref.statistics().mailbox.delayed == 2


@pytest.mark.parametrize("on_full", [OnFull.DROP_OLDEST, OnFull.CONFLATE])
async def test_an_ask_that_gives_way_is_answered(
    autojump_clock: MockClock, on_full: OnFull
) -> None:
    """A dropping policy does not leave the asker of the dropped message waiting."""
    key = (lambda _deed: "one") if on_full is OnFull.CONFLATE else None
    box = actors.MailboxSpec[Deed](capacity=1, on_full=on_full, key=key)
    async with actors.open_system("sys") as system, trio.open_nursery() as nursery:
        ref = await system.root.start(puppet(mailbox=box))
        ref.tell_nowait(pause(10))
        await trio.testing.wait_all_tasks_blocked()

        async def ask() -> None:
            with pytest.raises(actors.MessageDropped):
                await ref.ask(count, within_s=60)
            assert trio.current_time() == 0

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        ref.tell_nowait(count)


async def test_a_batch_is_decided_at_once_and_answered_one_by_one(
    autojump_clock: MockClock,
) -> None:
    """`receive_batch` gives what waits, up to its limit; replies and refusals reach the askers."""
    sizes: list[int] = []

    class Desk(actors.Actor[int]):
        async def run(self, context: actors.Context[int]) -> None:
            while batch := await context.receive_batch(3):
                sizes.append(len(batch))
                for envelope in batch:
                    if envelope.body % 2:
                        envelope.refuse(actors.Refusal("odd"))
                    else:
                        envelope.reply(envelope.body * 10)

    answers: dict[int, object] = {}
    spec = actors.ChildSpec[int](
        name="desk",
        factory=Desk,
        mailbox=actors.MailboxSpec(capacity=16, on_full=OnFull.REJECT),
    )
    async with actors.open_system("sys") as system:
        ref = await system.root.start(spec)

        async def ask(number: int) -> None:
            try:
                answers[number] = await ref.ask(number, within_s=1)
            except actors.Refusal as refusal:
                answers[number] = str(refusal)

        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(ask, number)
        ref.tell_nowait(4)
        await ref.stop()

        assert answers == {0: 0, 1: "odd", 2: 20, 3: "odd"}
        assert max(sizes) <= 3
        assert sum(sizes) == 5
        assert ref.statistics().mailbox.handled == 5


async def test_a_crash_over_a_batch_answers_what_is_still_open(autojump_clock: MockClock) -> None:
    """Deferred answers are remembered: asks of earlier batches fail with the incarnation too."""

    class Procrastinator(actors.Actor[str]):
        async def run(self, context: actors.Context[str]) -> None:
            while batch := await context.receive_batch(8):
                if any(envelope.body == "crash" for envelope in batch):
                    raise Boom("over a batch")

    spec = actors.ChildSpec[str](
        name="desk",
        factory=Procrastinator,
        mailbox=actors.MailboxSpec(capacity=16, on_full=OnFull.REJECT),
    )
    async with actors.open_system("sys") as system:
        ref = await system.root.start(spec)
        crashed: list[str] = []

        async def ask(text: str) -> None:
            with pytest.raises(actors.ActorCrashed):
                await ref.ask(text, within_s=1)
            crashed.append(text)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "early")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(ask, "late")
            await trio.testing.wait_all_tasks_blocked()
            ref.tell_nowait("crash")

        assert sorted(crashed) == ["early", "late"]
        assert ref.statistics().mailbox.dead_letters == 3


async def test_an_unanswered_ask_is_told_when_the_actor_ends_well(
    autojump_clock: MockClock,
) -> None:
    """Forgetting to answer a batch is noticed at the latest at the end."""

    class Forgetful(actors.Actor[str]):
        async def run(self, context: actors.Context[str]) -> None:
            await context.receive_batch(8)

    spec = actors.ChildSpec[str](
        name="desk",
        factory=Forgetful,
        mailbox=actors.MailboxSpec(capacity=16, on_full=OnFull.REJECT),
        lifetime=actors.Lifetime.TEMPORARY,
    )
    async with actors.open_system("sys") as system:
        ref = await system.root.start(spec)

        with pytest.raises(actors.ActorStopped, match="ended without an answer"):
            await ref.ask("hello", within_s=1)


async def test_every_send_is_a_checkpoint(autojump_clock: MockClock) -> None:
    """`tell` and `ask` let others run and notice cancellation, however much room there is."""
    async with actors.open_system("sys") as system:
        ref = await system.root.start(puppet(mailbox=ROOMY))
        with trio.testing.assert_checkpoints():
            await ref.tell(count)
        with trio.testing.assert_checkpoints():
            await ref.ask(count, within_s=1)
        with trio.CancelScope() as scope:
            scope.cancel()
            await ref.tell(count)
        with trio.CancelScope() as scope:
            scope.cancel()
            await ref.ask(count, within_s=1)

        assert ref.statistics().mailbox.accepted == 2


async def test_an_unanswered_ask_of_ones_own_is_a_crash(autojump_clock: MockClock) -> None:
    """An actor that gave another too little time has to handle that, or crash."""
    async with actors.open_system("sys") as system:
        slow = await system.root.start(puppet("slow"))
        front = await system.root.start(puppet("front"))

        async def ask_hastily(_puppet: Puppet) -> object:
            return await slow.ask(pause(5), within_s=1)

        with pytest.raises(actors.ActorCrashed) as caught:
            await front.ask(ask_hastily, within_s=60)

        assert isinstance(caught.value.__cause__, actors.AskExpired)


async def test_an_answer_may_come_before_its_asker_looks(autojump_clock: MockClock) -> None:
    """An asker let into a full mailbox may find its question answered already."""
    envelope = actors.Envelope("hello")
    envelope.reply("world")
    envelope.refuse(ValueError("too late"))

    assert not envelope.is_open
    assert await envelope.wait_answered() == "world"


async def test_no_time_is_no_answer(autojump_clock: MockClock) -> None:
    """An ask with no time to wait expires, whatever the actor would say."""
    async with actors.open_system("sys") as system:
        ref = await system.root.start(puppet())
        with pytest.raises(actors.AskExpired):
            await ref.ask(count, within_s=0)
        await trio.testing.wait_all_tasks_blocked()

        assert ref.statistics().mailbox.expired == 1
