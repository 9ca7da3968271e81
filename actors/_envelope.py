"""An ask on its way: the message, its deadline, and the way back."""

import math
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

import outcome
import trio

M = TypeVar("M")


class Envelope(Generic[M]):
    """One message as `Context.receive_batch` hands it out: answer it once, any time.

    A tell has an envelope too, so that a batch is all of one kind; its answer goes nowhere.

    Attributes:
        body: The message.
        expires_at: When its asker stops waiting, on Trio's clock; never, for a tell.
        is_open: Whether it may still be answered: neither answered nor given up.
    """

    __slots__ = ("_answer", "_asker", "body", "expires_at", "is_open")

    def __init__(self, body: M, expires_at: float = math.inf) -> None:
        self.body = body
        self.expires_at = expires_at
        self.is_open = True
        self._asker: trio.lowlevel.Task | None = None
        self._answer: outcome.Outcome[Any] | None = None

    def reply(self, value: object) -> None:
        """Answer with a value. A second or late answer is dropped."""
        if self.is_open:
            self._close(outcome.Value(value))

    def refuse(self, error: Exception) -> None:
        """Answer with an error, raised where the asker waits."""
        if self.is_open:
            self._close(outcome.Error(error))

    def _close(self, answer: outcome.Outcome[Any]) -> None:
        self.is_open = False
        self._answer = answer
        if self._asker is not None:
            trio.lowlevel.reschedule(self._asker, answer)

    async def wait_answered(self) -> Any:
        """Wait for the answer; whoever stops waiting closes the envelope."""
        if self._answer is not None:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return self._answer.unwrap()
        self._asker = trio.lowlevel.current_task()
        return await trio.lowlevel.wait_task_rescheduled(self._give_up)

    def _give_up(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self.is_open = False
        self._asker = None
        return trio.lowlevel.Abort.SUCCEEDED


in_hand: ContextVar[Envelope[Any] | None] = ContextVar("in_hand", default=None)
"""The ask this task works for. Its deadline bounds further asks while it is open."""


def bounded(expires_at: float) -> float:
    """The earlier of `expires_at` and the deadline of the ask being worked for."""
    outer = in_hand.get()
    # A task that outlives the ask it was started in is free of its deadline.
    if outer is not None and outer.is_open:
        return min(expires_at, outer.expires_at)
    return expires_at
