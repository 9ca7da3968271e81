"""The handles through which everyone else reaches actors and supervisors."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, overload

import trio

from actors._envelope import Envelope, bounded
from actors._errors import AskExpired
from actors._events import Stopped
from actors._mailbox import MailboxStatistics
from actors._state import State

if TYPE_CHECKING:
    from actors._actor import ActorCell
    from actors._cell import Cell
    from actors._spec import ChildSpec, SupervisorSpec
    from actors._supervisor import SupervisorCell

M = TypeVar("M")
M_contra = TypeVar("M_contra", contravariant=True)
R = TypeVar("R")


class Question(Generic[R]):
    """A message that says what its answer is: `class GetState(Question[State])`.

    `ask` then returns a `State` to the type checker; without it an `object`.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class ActorStatistics:
    """How an actor is, and what its mailbox has seen."""

    state: State
    restarts: int
    mailbox: MailboxStatistics


@dataclass(frozen=True, slots=True)
class SupervisorStatistics:
    """How a supervisor is."""

    state: State
    restarts: int
    children: int


class Handle:
    """What the refs of actors and supervisors have in common.

    Who calls `stop` or `wait_stopped` on itself, or on what waits for it, waits for its own
    end: then use `stop_nowait`.
    """

    __slots__ = ("_cell",)

    def __init__(self, cell: "Cell") -> None:
        self._cell = cell

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path} ({self._cell.state})>"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._cell.name

    @property
    def path(self) -> str:
        """Where it lives: "headend/sites/site-1/bess-1"."""
        return self._cell.path

    def stop_nowait(self) -> None:
        """End it for good, in order and within its grace.

        An actor takes in no more mail and handles what waits; a supervisor stops its
        children, the last started first.
        """
        self._cell.stop_nowait()

    async def stop(self) -> Stopped:
        """As `stop_nowait`, and wait for the end."""
        self._cell.stop_nowait()
        return await self._cell.wait_stopped()

    def kill(self, reason: str) -> None:
        """Cancel it, and all below it, and end it for good. Mail left is undelivered."""
        self._cell.kill(reason)

    async def wait_stopped(self) -> Stopped:
        """Wait until it has ended for good, and learn how; at once if it has."""
        return await self._cell.wait_stopped()


class Ref(Handle, Generic[M_contra]):
    """Reaches one actor, through all its incarnations, from anywhere in the system.

    Characteristics:
        Valid: until the actor stops for good; then every message raises `ActorStopped`.
        Messages: any value but None; frozen, since two actors hold them.
        Order: messages of one sender are handled in the order sent.
        Asks go down the tree, facts go up by tell: a circle of asks can only time out.
    """

    __slots__ = ("_mailbox",)

    def __init__(self, cell: "ActorCell[M_contra]") -> None:
        super().__init__(cell)
        self._mailbox = cell.mailbox

    def tell_nowait(self, message: M_contra) -> None:
        """Put a message into the mailbox.

        Raises:
            MailboxFull: There is no room, under `BLOCK`, `REJECT`, or a new key of `CONFLATE`.
            ActorStopped: The actor is gone; the message is counted as a dead letter.
        """
        self._mailbox.put_nowait(message)

    async def tell(self, message: M_contra) -> None:
        """Put a message into the mailbox, under `BLOCK` once there is room.

        Cancelled, the message was not sent; returned, it was. Raises as `tell_nowait`.
        """
        await self._mailbox.put(message)

    @overload
    async def ask(self, message: Question[R], *, within_s: float) -> R: ...
    @overload
    async def ask(self, message: M_contra, *, within_s: float) -> object: ...
    async def ask(self, message: object, *, within_s: float) -> object:
        """Send a message and wait for its answer.

        Made while handling an ask, it waits no longer than that ask's own asker does.
        Cancelled or expired before it was handled, the message is skipped.

        Raises:
            Refusal: The actor's answer is no; its own subclass is raised.
            AskExpired: No answer in `within_s` seconds.
            ActorCrashed: The actor crashed with this message in hand.
            ActorStopped: The actor stopped before it answered, or was gone.
            MailboxFull, MessageDropped: As the mailbox's policy has it.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        expires_at = bounded(trio.current_time() + within_s)
        envelope: Envelope[Any] = Envelope(message, expires_at)
        if self._mailbox.must_wait:
            with trio.move_on_at(expires_at) as waiting:
                await self._mailbox.put(envelope)
            if waiting.cancelled_caught:
                raise AskExpired(f"{self.path}: no room for {type(message).__name__} in time")
        else:
            self._mailbox.put_nowait(envelope)
        self._cell.runtime.deadlines.watch(envelope, self._cell.path)
        return await envelope.wait_answered()

    def statistics(self) -> ActorStatistics:
        """How the actor is, and what its mailbox has seen."""
        return ActorStatistics(self._cell.state, self._cell.restarts, self._mailbox.statistics())


class SupervisorRef(Handle):
    """Reaches one supervisor, through all its incarnations.

    Children started here are kept, with their mail, when the supervisor itself is restarted.
    """

    __slots__ = ()
    _cell: "SupervisorCell"

    @property
    def children(self) -> "tuple[Ref[Any] | SupervisorRef, ...]":
        """The children, in start order."""
        return tuple(cell.ref for cell in self._cell.children.values())

    async def start(self, spec: "ChildSpec[M]") -> Ref[M]:
        """Start an actor and wait until it is up.

        What its factory or first `on_start` raises is raised here, and the actor is gone.

        Raises:
            NameTaken: A sibling of this name is alive.
            ActorStopped: This supervisor has stopped.
        """
        cell = self._cell.add_actor(spec)
        await cell.wait_up()
        return cell.ref

    def start_nowait(self, spec: "ChildSpec[M]") -> Ref[M]:
        """Start an actor. Mail queues until it is up; failing to come up is a crash."""
        return self._cell.add_actor(spec).ref

    async def supervise(self, spec: "SupervisorSpec") -> "SupervisorRef":
        """Start a supervisor and wait until its children are up; raises as `start`."""
        cell = self._cell.add_supervisor(spec)
        await cell.wait_up()
        return cell.ref

    def supervise_nowait(self, spec: "SupervisorSpec") -> "SupervisorRef":
        """Start a supervisor; failing to come up is a crash."""
        return self._cell.add_supervisor(spec).ref

    def statistics(self) -> SupervisorStatistics:
        """How the supervisor is."""
        cell = self._cell
        return SupervisorStatistics(cell.state, cell.restarts, len(cell.children))


AnyRef: TypeAlias = Ref[Any] | SupervisorRef
