"""What a user writes, and what the runtime keeps for it."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

import trio

from actors._cell import Cell, Order
from actors._envelope import Envelope, in_hand
from actors._errors import ActorCrashed, ActorStopped, AskExpired, Refusal
from actors._events import EventStream, Undelivered
from actors._mailbox import Letter, Mailbox, open_mailbox
from actors._mailbox_spec import OnFull
from actors._ref import Ref
from actors._registry import Registry
from actors._spec import ChildSpec
from actors._state import State
from actors._tree import Node

if TYPE_CHECKING:
    from random import Random

    from actors._runtime import Runtime
    from actors._supervisor import SupervisorCell

M = TypeVar("M")

BATCH = 256
"""The most messages handled in one wake-up before other tasks get their turn."""


class Actor(Generic[M]):
    """The state of one incarnation; subclass it.

    A crash throws the object away and the factory builds the next one, so nothing broken
    is carried over. What must survive belongs into a store, or into the mailbox.
    """

    async def on_start(self, context: "Context[M]") -> None:
        """Get ready. Failing here on the very first start is raised to the starter."""

    async def run(self, context: "Context[M]") -> None:
        """Live; returning ends the incarnation well.

        Override it to open a nursery or supervisor around `serve`, or for a service with a
        loop of its own. Give it `grace_s=0` if that loop does not watch `wait_ending`.
        """
        await context.serve(self.handle)

    async def handle(self, message: M) -> object:
        """Handle one message; the return value answers an ask.

        Raise a `Refusal` to answer no. Any other exception crashes the incarnation.
        """
        raise NotImplementedError(f"{type(self).__name__} does not handle {message!r}")

    async def on_stop(self) -> None:
        """Clean up, however the incarnation ended. Shielded, but for `grace_s` only."""


class Context(Generic[M]):
    """What an incarnation knows of its place, and how it receives its mail.

    Attributes:
        cell: What the runtime keeps for this actor; not for users.
    """

    __slots__ = ("_batch", "_current", "_restarts", "cell")

    def __init__(self, cell: "ActorCell[M]") -> None:
        self.cell = cell
        self._restarts = cell.incarnations
        self._current: Letter[M] | None = None  # in the hand of `serve`
        self._batch: list[Letter[M]] = []  # given out by `receive_batch`

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.cell.name

    @property
    def path(self) -> str:
        """Where this actor lives."""
        return self.cell.path

    @property
    def ref(self) -> Ref[M]:
        """This actor, for others to write to."""
        return self.cell.ref

    @property
    def restarts(self) -> int:
        """How many incarnations there were before this one."""
        return self._restarts

    @property
    def events(self) -> EventStream:
        """The system's event stream."""
        return self.cell.runtime.events

    @property
    def registry(self) -> Registry:
        """The system's registry."""
        return self.cell.runtime.registry

    @property
    def random(self) -> "Random":
        """The system's seeded source of randomness."""
        return self.cell.runtime.random

    @property
    def is_ending(self) -> bool:
        """Whether this incarnation was told to end."""
        return self.cell.state is State.ENDING

    async def wait_ending(self) -> None:
        """Wait until this incarnation is told to end."""
        await self.cell.wait_state(State.ENDING)

    async def serve(
        self,
        handler: Callable[[M], Awaitable[object]],
        at_once: Callable[[M], bool] | None = None,
    ) -> None:
        """Handle message after message until the incarnation shall end.

        Args:
            handler: Handles a message; may wait.
            at_once: The actor's quick hand. While the actor idles, with no mail waiting, a tell
                is first shown to it, in the task that tells: True, and the message is handled
                without a task switch; False, and it goes the usual way, as it does should this
                raise. It must be quick and cannot wait. For mailboxes that queue, not for
                those that conflate.
        """
        mailbox = self.cell.mailbox
        mailbox.at_once = at_once
        try:
            await self._serve(mailbox, handler)
        finally:
            mailbox.at_once = None

    async def _serve(self, mailbox: Mailbox[M], handler: Callable[[M], Awaitable[object]]) -> None:
        while await mailbox.wait():
            for _ in range(BATCH):
                letter = mailbox.take()
                if letter is None:
                    break
                self._current = letter
                if isinstance(letter, Envelope):
                    await self._answer(letter, handler)
                else:
                    try:
                        await handler(letter)
                    except Refusal as refusal:
                        mailbox.bury(letter, Undelivered.REFUSED, refusal)
                    else:
                        mailbox.handled += 1
                self._current = None

    async def _answer(
        self, envelope: Envelope[M], handler: Callable[[M], Awaitable[object]]
    ) -> None:
        outer = in_hand.set(envelope)
        try:
            envelope.reply(await handler(envelope.body))
        except Refusal as refusal:
            envelope.refuse(refusal)
        except AskExpired as expired:
            if trio.current_time() < envelope.expires_at:
                raise
            envelope.refuse(expired)  # an ask on its behalf had its deadline: nobody's fault here
        finally:
            in_hand.reset(outer)
        self.cell.mailbox.handled += 1

    async def receive_batch(self, limit: int) -> list[Envelope[M]]:
        """Wait for mail and take up to `limit` messages; none when the incarnation shall end.

        For an actor that decides over many messages at once. An ask stays in hand until it
        is answered, even over many calls; a tell until the next call.
        """
        self.put_down_finished()
        mailbox = self.cell.mailbox
        batch: list[Envelope[M]] = []
        while not batch and await mailbox.wait():
            while len(batch) < limit and (letter := mailbox.take()) is not None:
                self._batch.append(letter)
                batch.append(letter if isinstance(letter, Envelope) else Envelope(letter))
        return batch

    def put_down_finished(self) -> None:
        """Count as handled what `receive_batch` gave out, but for asks still to be answered."""
        still_open: list[Letter[M]] = [
            x for x in self._batch if isinstance(x, Envelope) and x.is_open
        ]
        self.cell.mailbox.handled += len(self._batch) - len(still_open)
        self._batch = still_open

    def drop(self, why: Undelivered, answer: Exception) -> None:
        """Bury what is in hand when the incarnation ends."""
        in_hand, self._batch = self._batch, []
        if self._current is not None:
            in_hand.append(self._current)
            self._current = None
        for letter in in_hand:
            self.cell.mailbox.bury(letter, why, answer)


class ActorCell(Cell, Generic[M]):
    """The cell of an actor: its mailbox and how to build its incarnations."""

    __slots__ = ("_spec", "mailbox", "owned", "ref")

    kind = "actor"

    def __init__(self, spec: ChildSpec[M], *, runtime: "Runtime", parent: "SupervisorCell") -> None:
        super().__init__(
            spec.name,
            f"{parent.path}/{spec.name}",
            runtime=runtime,
            parent=parent,
            lifetime=spec.lifetime,
            grace_s=spec.grace_s,
        )
        self._spec = spec
        self.mailbox = open_mailbox(spec.mailbox, self)
        self.ref: Ref[M] = Ref(self)
        self.owned: tuple[SupervisorCell, ...] = ()

    async def incarnate(self) -> None:
        """Build an actor from the factory and let it live."""
        self.mailbox.resume()
        actor = self._spec.factory()
        context = Context(self)
        with trio.fail_after(self._spec.start_within_s):
            await actor.on_start(context)
        self.came_up()
        try:
            await actor.run(context)
        except Exception as error:
            crashed = ActorCrashed(f"{self.path}: crashed over this message: {error!r}")
            crashed.__cause__ = error
            context.drop(Undelivered.CRASHED, crashed)
            raise
        else:
            context.put_down_finished()
            forgotten = ActorStopped(f"{self.path}: ended without an answer")
            context.drop(Undelivered.STOPPED, forgotten)
        finally:
            cancelled = ActorStopped if self.order >= Order.STOP else ActorCrashed
            context.drop(
                Undelivered.CANCELLED, cancelled(f"{self.path}: was cancelled over this message")
            )
            with trio.move_on_after(self.grace_s, shield=True):
                await actor.on_stop()

    @contextmanager
    def owning(self, supervisor: "SupervisorCell") -> Iterator[None]:
        """Show a supervisor below this actor in the tree while the block lasts."""
        self.owned += (supervisor,)
        try:
            yield
        finally:
            self.owned = tuple(other for other in self.owned if other is not supervisor)

    def node(self) -> Node:
        """This actor and the supervisors it has opened."""
        return self.snapshot(self.mailbox.statistics(), self.owned)

    def close_admission(self) -> None:
        """Take in no more mail."""
        self.mailbox.close()

    def wind_down(self) -> None:
        """Let `serve` end: after the last message if stopped, after this one if retired."""
        if self.order is Order.RETIRE:
            self.mailbox.pause()

    def clear(self) -> None:
        """Bury the mail."""
        self.mailbox.close()
        self.mailbox.bury_all()

    def overflowed(self, on_full: OnFull) -> None:
        """The mailbox found no room."""
        self.runtime.reports.overflowed(self.path, on_full)

    def undelivered(self, why: Undelivered, message: object) -> None:
        """A message was not handled."""
        self.runtime.reports.undelivered(self.path, why, message)
