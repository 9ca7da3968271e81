"""How complete the history is that was read: what an agent lost, what is still to come."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from dercp.cli.client import ApiClient, read
from dercp.cli.output import counted
from dercp.cli.shapes import Gap, HistoryPart
from dercp.cli.span import Span
from dercp.cli.tables import clock_time

# More are counted, not kept.
GAPS_KEPT = 1_000
AGENTS_NAMED = 3

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Completeness:
    """Gathers what the parts of history say of themselves.

    Attributes:
        complete_until: By agent, as told with its first part; None is not known.
        gone: Assets that were there when the work began, and no longer when it came to them.
    """

    def __init__(self, span: Span) -> None:
        self._begin, self._end = map(_instant, (span.from_us, span.to_us))
        self._span = span
        self.complete_until: dict[str, datetime | None] = {}
        self.gone: list[str] = []
        # The headend may let go of some while it is read.
        self._retained_from: datetime | None = None
        self._bad_batches = 0
        self._gaps: list[msgspec.Raw] = []
        self._gaps_count = 0
        self._lost = 0

    def saw(self, agent_id: str, part: HistoryPart) -> None:
        """A part was read."""
        self.complete_until.setdefault(agent_id, part.complete_until)
        self._bad_batches += part.bad_batches
        if part.retained_from is not None and part.retained_from > self._begin:
            self._retained_from = max(part.retained_from, self._retained_from or self._begin)

    def look_for_gaps(self, client: ApiClient) -> None:
        """Ask for the gaps in the span, of the agents that were seen."""
        for agent_id in self.complete_until:
            for raw in client.items("/gaps", agent_id=agent_id, **self._span.query):
                self._gaps_count += 1
                self._lost += read(raw, Gap).samples
                if len(self._gaps) < GAPS_KEPT:
                    self._gaps.append(raw.copy())

    def sentences(self) -> Iterator[str]:
        """What a reader must know; none when nothing is missing."""
        late = [
            (agent_id, until)
            for agent_id, until in self.complete_until.items()
            if until is None or until < self._end
        ]
        for agent_id, until in late[:AGENTS_NAMED]:
            since = clock_time(until, with_date=True)
            yield (
                f"agent {agent_id}: complete until {since}, more may come"
                if until
                else f"agent {agent_id}: how far its history is complete is not known"
            )
        if len(late) > AGENTS_NAMED:
            yield f"and {counted(len(late) - AGENTS_NAMED, 'agent')} more are not complete yet"
        if self._retained_from is not None:
            since = clock_time(self._retained_from, with_date=True)
            yield f"what is older than {since} was let go by the headend, at least in part"
        if self._gaps_count:
            begin, end = self._span.query.values()
            yield (
                f"{counted(self._gaps_count, 'gap')} in this time, {counted(self._lost, 'sample')} "
                f"lost for ever: dercp gaps --from {begin} --to {end}"
            )
        if self._bad_batches:
            yield f"{counted(self._bad_batches, 'batch', 'batches')} could not be read"
        for asset_id in self.gone:
            yield f"asset {asset_id} is gone since; what came before is here"

    def notes(self) -> dict[str, object]:
        """The same for programs, as it stands in the metadata of a file."""
        return {
            **self._span.query,
            "complete_until": self.complete_until,
            "retained_from": self._retained_from,
            "gaps": self._gaps,
            "gaps_count": self._gaps_count,
            "samples_lost": self._lost,
            "bad_batches": self._bad_batches,
            "assets_gone": self.gone,
        }


def _instant(time_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time_us)
