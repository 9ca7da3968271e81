"""The bounded queue between an actor and everyone who writes to it."""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import outcome
import trio

from actors._envelope import Envelope
from actors._errors import ActorStopped, MailboxFull, MessageDropped
from actors._events import Undelivered
from actors._mailbox_spec import MailboxSpec, OnFull

M = TypeVar("M")
Letter: TypeAlias = M | Envelope[M]
"""What a mailbox holds: a tell is its bare message, an ask its envelope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxStatistics:
    """What a mailbox has seen. Exact, and over all incarnations.

    Until its actor stops: accepted = handled + waiting + in hand + dropped + conflated
    + expired + dead_letters. (After that, each message sent in vain is a dead letter too.)

    Attributes:
        waiting: Messages in the box now.
        blocked: Senders now waiting for room.
        accepted: Messages taken in.
        handled: Messages an incarnation has finished with.
        delayed: Sends that had to wait for room.
        rejected: Sends that raised `MailboxFull`.
        dropped: Messages that made room for a newer one.
        conflated: Messages that a newer one of the same key made needless.
        expired: Asks skipped because nobody waited for the answer any more.
        dead_letters: Other messages never handled.
    """

    waiting: int
    blocked: int
    accepted: int
    handled: int
    delayed: int
    rejected: int
    dropped: int
    conflated: int
    expired: int
    dead_letters: int


class Postmaster(Protocol):
    """Who owns a mailbox and reports what befalls its mail."""

    @property
    def path(self) -> str: ...

    def overflowed(self, on_full: OnFull) -> None: ...

    def undelivered(self, why: Undelivered, message: object) -> None: ...


class Mailbox(Generic[M]):
    """A bounded queue of messages for one actor.

    Characteristics:
        Bound: `capacity` messages, at least 1.
        When full: as `on_full` says; each delayed, refused or dropped message is counted.
        Order: first in, first out per sender; under `BLOCK` also among waiting senders.
        Readers: one, which takes what is there in one wake-up.
        Survives: a restart of its actor; not a stop.

    It parks its reader and its waiting senders itself instead of using Trio's memory
    channel: the policies need the queue, and it is faster (benchmarks/actor_runtime.py).
    """

    __slots__ = (
        "_blocked",
        "_capacity",
        "_closed",
        "_owner",
        "_paused",
        "_pop",
        "_queue",
        "_reader",
        "_spec",
        "accepted",
        "at_once",
        "conflated",
        "dead_letters",
        "delayed",
        "dropped",
        "expired",
        "handled",
        "rejected",
    )

    def __init__(self, spec: MailboxSpec[M], owner: Postmaster) -> None:
        self._spec = spec
        self._owner = owner
        self._capacity = spec.capacity  # 0 once closed: the fast path asks one question
        self._queue: deque[Any] = deque()
        self._pop: Callable[[], Letter[M]] = self._queue.popleft
        self._blocked: OrderedDict[trio.lowlevel.Task, Letter[M]] | None = None
        self._reader: trio.lowlevel.Task | None = None
        self._paused = False
        self._closed = False
        self.at_once: Callable[[M], bool] | None = None
        """Handles a message while the actor idles, or leaves it (`Context.serve`)."""
        self.accepted = 0
        self.handled = 0
        self.delayed = 0
        self.rejected = 0
        self.dropped = 0
        self.conflated = 0
        self.expired = 0
        self.dead_letters = 0

    def __len__(self) -> int:
        return len(self._queue)

    # --- the senders' side ---

    def put_nowait(self, letter: Letter[M]) -> None:
        """Take a letter in, or raise `MailboxFull` or `ActorStopped`."""
        # A reader waits only while the box is open and empty: nothing is overtaken here.
        if self.at_once is not None and self._reader is not None and self._is_done(letter):
            return
        self._enqueue(letter)

    async def put(self, letter: Letter[M]) -> None:
        """Take a letter in, under `BLOCK` once there is room. A checkpoint.

        Cancelled, the letter has not been taken in; returned, it has.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.must_wait:
            await self._wait_for_room(letter)
        else:
            self.put_nowait(letter)
            await trio.lowlevel.cancel_shielded_checkpoint()

    def _enqueue(self, letter: Any) -> None:
        if len(self._queue) >= self._capacity:
            self._make_room(letter)
        self._queue.append(letter)
        self.accepted += 1
        if self._reader is not None:
            self._wake_reader()

    def _is_done(self, letter: Letter[M]) -> bool:
        """Whether the idle actor's quick hand has done with this letter."""
        if self.at_once is None or isinstance(letter, Envelope):
            return False
        try:
            done = self.at_once(letter)
        except Exception:  # noqa: BLE001  the actor meets it again, and crashes in its own task
            return False
        if done:
            self.accepted += 1
            self.handled += 1
        return done

    @property
    def must_wait(self) -> bool:
        """Whether `put` would have to wait for room."""
        return (
            self._spec.on_full is OnFull.BLOCK
            and len(self._queue) >= self._capacity
            and not self._closed
        )

    async def _wait_for_room(self, letter: Letter[M]) -> None:
        if self._blocked is None:
            self._blocked = OrderedDict()
        blocked, sender = self._blocked, trio.lowlevel.current_task()
        blocked[sender] = letter
        self.delayed += 1

        def give_up(_raise_cancel: object) -> trio.lowlevel.Abort:
            del blocked[sender]
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(give_up)

    def _make_room(self, letter: Letter[M]) -> None:
        """Do as the policy says with a full box: make room or raise."""
        if self._closed:
            raise self._bounce(letter)
        self._owner.overflowed(self._spec.on_full)
        if self._spec.on_full is not OnFull.DROP_OLDEST:
            self.rejected += 1
            raise MailboxFull(
                f"{self._owner.path}: the mailbox is full with {self._capacity} messages"
                f" (on_full={self._spec.on_full})"
            )
        self.dropped += 1
        self._overtake(self._pop())

    def _overtake(self, letter: Letter[M]) -> None:
        """Tell the asker of a letter that gave way to a newer one."""
        if isinstance(letter, Envelope):
            letter.refuse(
                MessageDropped(f"{self._owner.path}: a newer message took this one's place")
            )

    def _bounce(self, letter: Letter[M]) -> ActorStopped:
        """Count a letter that came too late; the error is for its sender."""
        error = ActorStopped(f"{self._owner.path}: has stopped and takes no more messages")
        self.bury(letter, Undelivered.STOPPED, error)
        return error

    # --- the actor's side ---

    async def wait(self) -> bool:
        """Wait for mail; False when the incarnation shall end. Always a checkpoint."""
        if self._queue or self._paused or self._closed:
            await trio.lowlevel.checkpoint()
        elif self._reader is not None:
            raise trio.BusyResourceError(
                f"{self._owner.path}: another task of this actor already waits for its mail"
            )
        else:
            self._reader = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._stop_waiting)
        return bool(self._queue) and not self._paused

    def take(self) -> Letter[M] | None:
        """The next letter whose asker still waits; None if there is none now."""
        while self._queue and not self._paused:
            letter = self._pop()
            if self._blocked:
                self._admit_blocked()
            if type(letter) is not Envelope or self._is_awaited(letter):
                return letter
        return None

    def _is_awaited(self, letter: Envelope[M]) -> bool:
        if letter.is_open and trio.current_time() < letter.expires_at:
            return True
        self.expired += 1  # the asker is gone, or about to be told by `Deadlines`
        self._owner.undelivered(Undelivered.EXPIRED, letter.body)
        return False

    def _admit_blocked(self) -> None:
        """Take in the letter of the sender who waits longest."""
        assert self._blocked  # noqa: S101 - the caller has looked
        sender, letter = self._blocked.popitem(last=False)
        self._queue.append(letter)
        self.accepted += 1
        trio.lowlevel.reschedule(sender)

    def bury(self, letter: Letter[M], why: Undelivered, answer: Exception) -> None:
        """Count and report a letter that will not be handled; its asker is given `answer`."""
        self.dead_letters += 1
        if isinstance(letter, Envelope):
            letter.refuse(answer)
        self._owner.undelivered(why, _body(letter))

    # --- the cell's side ---

    def pause(self) -> None:
        """Hand out no more mail to this incarnation; it waits for the next one."""
        self._paused = True
        if self._reader is not None:
            self._wake_reader()

    def resume(self) -> None:
        """Hand out mail again."""
        self._paused = False

    def close(self) -> None:
        """Take in no more; what is inside can still be taken out."""
        if self._closed:
            return
        self._closed = True
        self._capacity = 0
        while self._blocked:
            sender, letter = self._blocked.popitem(last=False)
            trio.lowlevel.reschedule(sender, outcome.Error(self._bounce(letter)))
        if self._reader is not None:
            self._wake_reader()

    def bury_all(self) -> None:
        """Bury what is left, oldest first."""
        error = ActorStopped(f"{self._owner.path}: stopped before it came to this message")
        while self._queue:
            self.bury(self._pop(), Undelivered.STOPPED, error)

    def statistics(self) -> MailboxStatistics:
        """The counts so far."""
        return MailboxStatistics(
            waiting=len(self),
            blocked=len(self._blocked or ()),
            accepted=self.accepted,
            handled=self.handled,
            delayed=self.delayed,
            rejected=self.rejected,
            dropped=self.dropped,
            conflated=self.conflated,
            expired=self.expired,
            dead_letters=self.dead_letters,
        )

    def _wake_reader(self) -> None:
        reader, self._reader = self._reader, None
        assert reader is not None  # noqa: S101 - the caller has looked
        trio.lowlevel.reschedule(reader)

    def _stop_waiting(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED


class ConflatingMailbox(Mailbox[M]):
    """A mailbox where one message per key waits: the newest.

    Characteristics:
        Bound: `capacity` keys.
        When a key waits already: the newer message takes the place of the older one,
            which is counted as conflated.
        When full: a message with a new key is refused with `MailboxFull`.
        Order: of the first arrival of each key.
    """

    __slots__ = ("_letters",)

    def __init__(self, spec: MailboxSpec[M], owner: Postmaster) -> None:
        super().__init__(spec, owner)
        self._letters: dict[Hashable, Letter[M]] = {}  # the queue holds the keys
        self._pop = self._pop_letter

    def put_nowait(self, letter: Letter[M]) -> None:
        """Take a letter in, or raise `MailboxFull` or `ActorStopped`."""
        if self._closed:
            raise self._bounce(letter)
        key = self._key_of(letter)
        if key not in self._letters:
            self._enqueue(key)
            self._letters[key] = letter
            return
        self.accepted += 1
        self.conflated += 1
        newer, waiting = self._spec.newer, self._letters[key]
        if newer is None or newer(_body(letter), _body(waiting)):
            self._letters[key] = letter
            self._overtake(waiting)
        else:
            self._overtake(letter)

    def _key_of(self, letter: Letter[M]) -> Any:
        assert self._spec.key is not None  # noqa: S101 - MailboxSpec has checked it
        key = self._spec.key(_body(letter))
        return object() if key is None else key

    def _pop_letter(self) -> Letter[M]:
        return self._letters.pop(self._queue.popleft())


def open_mailbox(spec: MailboxSpec[M], owner: Postmaster) -> Mailbox[M]:
    """The mailbox that does as `spec` says."""
    return (ConflatingMailbox if spec.on_full is OnFull.CONFLATE else Mailbox)(spec, owner)


def _body(letter: Letter[M]) -> M:
    return letter.body if isinstance(letter, Envelope) else letter
