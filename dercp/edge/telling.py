"""Telling an actor something without waiting for it."""

from typing import TypeVar

from actors import ActorStopped, MailboxFull, Ref

__all__ = ["told"]

M = TypeVar("M")


def told(ref: Ref[M], message: M) -> bool:
    """Tell it; False if it has no room, or is no more."""
    try:
        ref.tell_nowait(message)
    except (MailboxFull, ActorStopped):
        return False
    return True
