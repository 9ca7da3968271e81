"""How a mailbox is bounded, said where the actor is started."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

M = TypeVar("M")


class OnFull(StrEnum):
    """What becomes of a message that finds the mailbox full."""

    BLOCK = "block"
    """`tell` waits for room; `tell_nowait` raises `MailboxFull`."""
    REJECT = "reject"
    """Both raise `MailboxFull`: the sender decides."""
    DROP_OLDEST = "drop_oldest"
    """The oldest message makes room. Never for commands."""
    CONFLATE = "conflate"
    """One message per key waits, the newest; a new key without room raises `MailboxFull`."""


# Without slots: CPython 3.11 cannot make `MailboxSpec[X](...)` of a frozen generic with slots.
@dataclass(frozen=True, kw_only=True)
class MailboxSpec(Generic[M]):
    """A mailbox's bound and policy. Neither has a default: both are decisions.

    Attributes:
        capacity: How many messages (for `CONFLATE`: keys) may wait, at least 1.
        on_full: What happens to one more.
        key: For `CONFLATE`: what makes two messages the same. None keeps a message apart.
        newer: For `CONFLATE`: whether the first message replaces the second; else it is
            itself discarded. Without it the later arrival wins.
    """

    capacity: int
    on_full: OnFull
    key: Callable[[M], Hashable | None] | None = None
    newer: Callable[[M, M], bool] | None = None

    def __post_init__(self) -> None:
        if self.capacity < 1:
            raise ValueError(f"MailboxSpec: capacity must be at least 1, got {self.capacity}")
        if (self.key is not None) != (self.on_full is OnFull.CONFLATE):
            raise ValueError("MailboxSpec: `key` goes with OnFull.CONFLATE, always and only")
        if self.newer is not None and self.key is None:
            raise ValueError("MailboxSpec: `newer` goes with OnFull.CONFLATE only")
