"""An idle actor's quick hand handles a tell in the task that tells."""

import pytest
import trio
import trio.testing

import actors

BOX = actors.MailboxSpec[int](capacity=2, on_full=actors.OnFull.REJECT)


class Clerk(actors.Actor[int]):
    """Does even numbers with its quick hand, and odd ones the usual way; breaks over zero."""

    def __init__(self, done: list[str]) -> None:
        self.done = done

    async def run(self, context: actors.Context[int]) -> None:
        """Serve with both."""
        await context.serve(self.handle, at_once=self.at_once)

    def at_once(self, message: int) -> bool:
        """The quick hand."""
        if message == 0:
            raise ZeroDivisionError
        if message % 2:
            return False
        self.done.append(f"{message} at once")
        return True

    async def handle(self, message: int) -> object:
        """The usual way."""
        if message == 0:
            raise ZeroDivisionError
        self.done.append(f"{message} as usual")
        return message


async def start(done: list[str], system: actors.System) -> actors.Ref[int]:
    """A clerk that idles."""
    spec = actors.ChildSpec[int](name="clerk", factory=lambda: Clerk(done), mailbox=BOX)
    ref = await system.root.start(spec)
    await trio.testing.wait_all_tasks_blocked()
    return ref


async def test_an_idle_actor_handles_at_once_what_it_can() -> None:
    """No task switch: it is done when tell_nowait returns, and counted as any other message."""
    done: list[str] = []
    async with actors.open_system("sys") as system:
        ref = await start(done, system)
        ref.tell_nowait(2)
        assert done == ["2 at once"]
        ref.tell_nowait(3)
        assert done == ["2 at once"]
        await trio.testing.wait_all_tasks_blocked()
        assert done == ["2 at once", "3 as usual"]
        mailbox = ref.statistics().mailbox
        assert (mailbox.accepted, mailbox.handled, mailbox.waiting) == (2, 2, 0)


async def test_nothing_is_overtaken() -> None:
    """While mail waits, what could be done at once waits behind it, within the capacity."""
    done: list[str] = []
    async with actors.open_system("sys") as system:
        ref = await start(done, system)
        ref.tell_nowait(1)
        ref.tell_nowait(2)
        with pytest.raises(actors.MailboxFull):
            ref.tell_nowait(4)
        await trio.testing.wait_all_tasks_blocked()
        assert done == ["1 as usual", "2 as usual"]


async def test_an_ask_goes_the_usual_way() -> None:
    """Its answer is what the handler returns."""
    done: list[str] = []
    async with actors.open_system("sys") as system:
        ref = await start(done, system)
        assert await ref.ask(2, within_s=1) == 2
        assert done == ["2 as usual"]


async def test_a_fault_of_the_quick_hand_is_the_actors_own(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The teller notices nothing; the actor crashes in its own task and is restarted."""
    done: list[str] = []
    async with actors.open_system("sys") as system:
        ref = await start(done, system)
        ref.tell_nowait(0)
        await trio.sleep(10)
        ref.tell_nowait(2)
        assert done == ["2 at once"]
        assert ref.statistics().restarts == 1


async def test_a_stopped_actor_does_nothing_more() -> None:
    """Neither quickly nor the usual way."""
    done: list[str] = []
    async with actors.open_system("sys") as system:
        ref = await start(done, system)
        await ref.stop()
        with pytest.raises(actors.ActorStopped):
            ref.tell_nowait(2)
        assert done == []
