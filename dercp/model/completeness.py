"""Which batches of a spool are accounted for, and up to when history is complete.

An edge numbers its batches within a spool from 1, without holes, in the order of their
times. Each number is accounted for when its batch is stored or declared as a gap.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from operator import attrgetter

import msgspec

__all__ = ["Stretch", "Stretches", "complete_until", "joined"]


class Stretch(msgspec.Struct, frozen=True, gc=False):
    """Numbers without a hole, both ends included.

    `from_us` is the time at which the first begins, `to_us` that at which the last ends.
    """

    first: int
    last: int
    from_us: int
    to_us: int


class Stretches:
    """A set of numbers as the fewest stretches, in order.

    Characteristics:
        Memory: one entry per hole, whatever the count of numbers.
        Cost: a binary search; adding a number within or beside a stretch touches that one.
    """

    def __init__(self, stretches: Iterable[Stretch] = ()) -> None:
        """Begin with stretches that are in order and apart from each other."""
        self._stretches = list(stretches)

    def __iter__(self) -> Iterator[Stretch]:
        """The stretches in order."""
        return iter(self._stretches)

    def __len__(self) -> int:
        """How many stretches there are."""
        return len(self._stretches)

    def __contains__(self, number: int) -> bool:
        """Whether the number is in one of them."""
        at = self._at(number)
        return at >= 0 and number <= self._stretches[at].last

    def add(self, new: Stretch) -> tuple[Sequence[Stretch], Stretch]:
        """Take in a stretch; return those it touched, which are no more, and what they became.

        Where both know a time, that of what was there before stands.
        """
        low = self._at(new.first)
        if low < 0 or self._stretches[low].last < new.first - 1:
            low += 1
        high = low
        while high < len(self._stretches) and self._stretches[high].first <= new.last + 1:
            high += 1
        touched = self._stretches[low:high]
        if touched:
            begin, end = touched[0], touched[-1]
            new = Stretch(
                min(begin.first, new.first),
                max(end.last, new.last),
                begin.from_us if begin.first <= new.first else new.from_us,
                end.to_us if end.last >= new.last else new.to_us,
            )
        self._stretches[low:high] = [new]
        return touched, new

    def without(self, others: "Stretches") -> tuple[Stretch, ...]:
        """What is left when the numbers of the others are taken out.

        A stretch that is cut ends or begins at the time of what cuts it.
        """
        left = []
        for stretch in self._stretches:
            rest: Stretch | None = stretch
            for other in others.overlapping(stretch):
                assert rest is not None  # noqa: S101  # the others are apart, in order
                if other.first > rest.first:
                    left.append(Stretch(rest.first, other.first - 1, rest.from_us, other.from_us))
                if other.last >= rest.last:
                    rest = None
                    break
                rest = Stretch(other.last + 1, rest.last, other.to_us, rest.to_us)
            if rest is not None:
                left.append(rest)
        return tuple(left)

    def overlapping(self, stretch: Stretch) -> Sequence[Stretch]:
        """Those which have a number in common with the stretch, in order."""
        low = max(0, self._at(stretch.first))
        if low < len(self._stretches) and self._stretches[low].last < stretch.first:
            low += 1
        return self._stretches[low : self._at(stretch.last) + 1]

    def _at(self, number: int) -> int:
        """The place of the last stretch that begins at the number or before; -1 if none does."""
        if self._stretches and number >= self._stretches[-1].first:
            return len(self._stretches) - 1  # most batches come in order
        return bisect_right(self._stretches, number, key=attrgetter("first")) - 1


def joined(stored: Iterable[Stretch], declared: Iterable[Stretch]) -> Stretches:
    """What is accounted for in one way or the other; each given in order."""
    accounted = Stretches()
    for stretch in merge(stored, declared, key=attrgetter("first")):
        accounted.add(stretch)
    return accounted


def complete_until(spools: Iterable[Stretches]) -> int | None:
    """The time up to which every batch is accounted for; None where that cannot be said.

    Before that time history has all there was, or a gap that says what is missing. What
    comes later may have holes still to be filled.

    Args:
        spools: What is accounted for in each of the agent's spools (`joined`), in the order
            in which they were taken into use. A batch that was lost together with its spool
            before any later one was sent leaves no trace, and is not seen here.
    """
    until_us = None
    for spool in spools:
        if 1 not in spool:
            break
        beginning = next(iter(spool))
        # The end of the last batch before the hole, not the latest end of all: after a clock
        # was set back, the missing batch lies there.
        until_us = beginning.to_us
        if len(spool) > 1:
            break
    return until_us
