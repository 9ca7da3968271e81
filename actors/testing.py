"""Test actors on virtual time, with a schedule that a seed repeats."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, TypeVarTuple

import trio
import trio._core._run as trio_scheduler  # the one place which knows Trio's private names
import trio.testing

from actors._actor import Actor
from actors._events import Event, EventStream
from actors._mailbox_spec import MailboxSpec, OnFull
from actors._spec import ChildSpec

Args = TypeVarTuple("Args")
E = TypeVar("E", bound=Event)
M = TypeVar("M")
T = TypeVar("T")

__all__ = ["EventRecorder", "Probe", "run_deterministic"]


def run_deterministic(seed: int, async_fn: Callable[[*Args], Awaitable[T]], *args: *Args) -> T:
    """Run a Trio program on virtual time; the same seed gives the same interleaving.

    Trio runs each batch of ready tasks in random order. Its hook for Hypothesis makes that
    order a function of its own generator, which is seeded here and left as found.
    """
    generator = trio_scheduler._r  # noqa: SLF001 - Trio offers no public seed (issue 890)
    was_seedable = trio_scheduler._ALLOW_DETERMINISTIC_SCHEDULING  # noqa: SLF001 - see above
    state = generator.getstate()
    generator.seed(seed)
    trio_scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # noqa: SLF001 - see above
    try:
        return trio.run(async_fn, *args, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        trio_scheduler._ALLOW_DETERMINISTIC_SCHEDULING = was_seedable  # type: ignore[misc]  # noqa: SLF001 - see above
        generator.setstate(state)


class EventRecorder:
    """Remembers all events of a stream, to be looked at or waited for."""

    def __init__(self, stream: EventStream) -> None:
        self.events: list[Event] = []
        self.stop_listening = stream.listen(self._record)
        self._news = trio.Event()

    def _record(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()
        self._news = trio.Event()

    def of(self, kind: type[E]) -> list[E]:
        """All events of one kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    async def wait_for(self, kind: type[E], where: Callable[[E], bool] = lambda _event: True) -> E:
        """The first event of this kind that fits, past or to come. Bound it by `fail_after`."""
        await trio.lowlevel.checkpoint()
        seen = 0
        while True:
            for event in self.events[seen:]:
                if isinstance(event, kind) and where(event):
                    return event
            seen = len(self.events)
            await self._news.wait()


class Probe(Generic[M]):
    """An actor for tests that keeps what it is told, until the test looks.

    >>> probe = Probe[str]("probe")
    >>> ref = await system.root.start(probe.spec)
    >>> assert await probe.receive() == "hello"
    """

    def __init__(self, name: str, *, capacity: int = 1024) -> None:
        self.received: list[M] = []
        self.spec: ChildSpec[M] = ChildSpec(
            name=name,
            factory=lambda: _ProbeActor(self),
            mailbox=MailboxSpec(capacity=capacity, on_full=OnFull.REJECT),
        )
        self._seen = 0
        self._news = trio.Event()

    async def receive(self) -> M:
        """The next message, once it is there. Bound it by `fail_after`."""
        await trio.lowlevel.checkpoint()
        while self._seen == len(self.received):
            await self._news.wait()
        self._seen += 1
        return self.received[self._seen - 1]

    def keep(self, message: M) -> None:
        """Remember a message."""
        self.received.append(message)
        self._news.set()
        self._news = trio.Event()


class _ProbeActor(Actor[M]):
    def __init__(self, probe: Probe[M]) -> None:
        self._probe = probe

    async def handle(self, message: M) -> None:
        self._probe.keep(message)
