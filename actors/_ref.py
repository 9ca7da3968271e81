"""The handle through which everyone else reaches an actor."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import trio

from actors._envelope import Envelope, bounded
from actors._errors import AskExpired
from actors._events import Stopped
from actors._mailbox import MailboxStatistics
from actors._state import State

if TYPE_CHECKING:
    from actors._actor import ActorCell

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


class Ref(Generic[M_contra]):
    """Reaches one actor, through all its incarnations, from anywhere in the system.

    Characteristics:
        Valid: until the actor stops for good; then every message raises `ActorStopped`.
        Order: messages of one sender are handled in the order sent.
        Asks go down the tree, facts go up by tell: a circle of asks can only time out.
    """

    __slots__ = ("_cell", "_mailbox")

    def __init__(self, cell: "ActorCell[M_contra]") -> None:
        self._cell = cell
        self._mailbox = cell.mailbox

    def __repr__(self) -> str:
        return f"<Ref {self.path} ({self._cell.state})>"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._cell.name

    @property
    def path(self) -> str:
        """Where the actor lives: "headend/sites/site-1/bess-1"."""
        return self._cell.path

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
        expires_at = bounded(trio.current_time() + within_s)
        envelope: Envelope[Any] = Envelope(message, expires_at)
        with trio.move_on_at(expires_at):
            if self._mailbox.must_wait:
                await self._mailbox.put(envelope)
            else:
                await trio.lowlevel.checkpoint_if_cancelled()
                self._mailbox.put_nowait(envelope)
            return await envelope.wait_answered()
        raise AskExpired(f"{self.path}: no answer to {type(message).__name__} in {within_s} s")

    def stop_nowait(self) -> None:
        """Take in no more, handle what waits within the grace, then end for good."""
        self._cell.stop_nowait()

    async def stop(self) -> Stopped:
        """As `stop_nowait`, and wait for the end."""
        self._cell.stop_nowait()
        return await self._cell.wait_stopped()

    def kill(self, reason: str) -> None:
        """Cancel the actor and end it for good, its mail undelivered. It is not restarted."""
        self._cell.kill(reason)

    async def wait_stopped(self) -> Stopped:
        """Wait until the actor has ended for good, and learn how; at once if it has."""
        return await self._cell.wait_stopped()

    def statistics(self) -> ActorStatistics:
        """How the actor is, and what its mailbox has seen."""
        return ActorStatistics(self._cell.state, self._cell.restarts, self._mailbox.statistics())
