"""Which batch gives way when a spool holds too much, or holds it for too long.

Only batches of samples ever do. What is in hand (on its way, or about to be) is left
alone: most of it is freed in a moment anyway.
"""

from enum import StrEnum
from typing import assert_never

import apsw

__all__ = ["Policy", "in_excess", "too_old"]


class Policy(StrEnum):
    """What gives way to a new batch when the spool is full.

    DROP_OLDEST keeps the end of a long outage, DROP_NEWEST its beginning. THIN keeps the
    whole of it in half the resolution, then in a quarter, and so on.
    """

    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    THIN = "thin"


def in_excess(db: apsw.Connection, policy: Policy, in_hand: frozenset[int]) -> int | None:
    """The batch to drop next; None: the new one gives way."""
    match policy:
        case Policy.DROP_OLDEST:
            return _oldest(db, in_hand)
        case Policy.DROP_NEWEST:
            return None
        case Policy.THIN:
            second = _second_of_a_pair(db, in_hand)
            return _oldest(db, in_hand) if second is None else second
        case _:
            assert_never(policy)


def too_old(db: apsw.Connection, oldest_s: float, in_hand: frozenset[int]) -> int | None:
    """A batch that came before this age of the spool; None if there is none."""
    first = _oldest(db, in_hand)
    if first is None:
        return None
    kept_s: float = db.execute("SELECT kept_s FROM parcel WHERE first = ?", (first,)).get
    return first if kept_s < oldest_s else None


def _oldest(db: apsw.Connection, in_hand: frozenset[int]) -> int | None:
    rows = db.execute("SELECT first FROM parcel WHERE reason IS NULL ORDER BY first")
    return next((first for (first,) in rows if first not in in_hand), None)


def _second_of_a_pair(db: apsw.Connection, in_hand: frozenset[int]) -> int | None:
    """The second of the two oldest batches that were thinned least; the first stands for both.

    New batches come at level 0 and are thinned at once to the level of the rest, as a binary
    counter carries: so the resolution is the same everywhere, within a factor of two.
    """
    before: tuple[int, int] | None = None
    rows = db.execute("SELECT level, first FROM parcel WHERE reason IS NULL ORDER BY level, first")
    for level, first in rows:
        if first in in_hand:
            continue
        if before is not None and before[0] == level:
            db.execute("UPDATE parcel SET level = level + 1 WHERE first = ?", (before[1],))
            return int(first)
        before = (level, first)
    return None
