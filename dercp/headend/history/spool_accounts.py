"""Adds up what is held of an agent's spools, so that an edge can compare it with its own count."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from dercp.headend.history.views import NumberRange, SpoolAccount

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dercp.model.completeness import Stretch
    from dercp.store.records import FrameRecord, GapRecord, SpoolSequences


class SpoolAccounts:
    """Counts frames and gaps as they are read, each given once.

    Characteristics:
        Memory: a number for each frame.
    """

    def __init__(self) -> None:
        self._samples: defaultdict[str, dict[int, int]] = defaultdict(dict)
        self._declared: defaultdict[str, int] = defaultdict(int)

    def add_frame(self, frame: FrameRecord) -> None:
        """A batch is held."""
        self._samples[frame.spool_id][frame.sequence] = frame.samples

    def add_gap(self, gap: GapRecord) -> None:
        """Batches were declared; to be told after the frames, for some may have come after all."""
        held = self._samples[gap.spool_id]
        numbers = range(gap.first_sequence, gap.last_sequence + 1)
        came = numbers if len(numbers) <= len(held) else [each for each in held if each in numbers]
        self._declared[gap.spool_id] += gap.samples - sum(held.get(each, 0) for each in came)

    def close(self, known: Iterable[SpoolSequences]) -> tuple[SpoolAccount, ...]:
        """The accounts of these spools, in their order."""
        return tuple(
            SpoolAccount(
                spool_id=spool.spool_id,
                stored=_numbers(spool.stored),
                declared=_numbers(spool.declared),
                stored_batches=len(self._samples[spool.spool_id]),
                stored_samples=sum(self._samples[spool.spool_id].values()),
                declared_samples=self._declared[spool.spool_id],
            )
            for spool in known
        )


def _numbers(stretches: Iterable[Stretch]) -> tuple[NumberRange, ...]:
    return tuple(NumberRange(each.first, each.last) for each in stretches)
