"""What the fleet was at one look, encoded at most once however many read it."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

from dercp.api.live.events import Event, encoder, items
from dercp.api.live.listing import Listing, Part
from dercp.api.live.rows import Rows
from dercp.api.live.selection import Scope, Topic
from dercp.api.live.shapes import agent_news, dispatch_news, known_asset
from dercp.api.ports import ChangeFeed, FleetReader
from dercp.api.resources import moment
from dercp.headend.fleet.changes import Look, Subject
from dercp.headend.views import AssetView

V = TypeVar("V")

# Of ten points each about 130 kB, and some 7 ms at a stretch to encode.
ROWS_PER_EVENT = 1_000
# Of everything else.
ITEMS_PER_EVENT = 500


class Round:
    """One look at the fleet, and what was encoded of it so far.

    Characteristics:
        Work: is done when somebody asks, and once for all who ask the same.
        Bound: goes with the next look, whoever still reads it.
    """

    def __init__(self, number: int, look: Look, feed: ChangeFeed, reader: FleetReader) -> None:
        self.number = number
        self._sampled = look.sampled
        self._time = encoder.encode(moment(look.time_us))
        self._rows = Rows(feed, self._time)
        self._pages: dict[Scope, list[Sequence[Subject]]] = {}
        self._changes: dict[tuple[Scope, int], Event] = {}
        self._listings: dict[Topic, Listing[Any]] = {
            Topic.ASSET: Listing(
                Topic.ASSET,
                reader.assets,
                length=ITEMS_PER_EVENT,
                id_of=lambda asset: asset.spec.asset_id,
                takes=lambda scope, asset: scope.takes(_subject(asset)),
                data=self._telling(known_asset),
            ),
            Topic.AGENT: Listing(
                Topic.AGENT,
                feed.agents,
                length=ITEMS_PER_EVENT,
                id_of=lambda agent: agent.agent_id,
                takes=lambda scope, agent: scope.takes_any(agent.site_id, agent.subjects),
                data=self._telling(agent_news),
            ),
            Topic.DISPATCH: Listing(
                Topic.DISPATCH,
                feed.open_dispatches,
                length=ITEMS_PER_EVENT,
                id_of=lambda each: each.dispatch.dispatch_id,
                takes=lambda scope, each: scope.takes(each.subject),
                data=self._telling(dispatch_news),
            ),
            Topic.TELEMETRY: Listing(
                Topic.TELEMETRY,
                feed.subjects,
                length=ROWS_PER_EVENT,
                id_of=lambda subject: subject.asset_id,
                takes=Scope.takes,
                data=self._rows.tables,
            ),
        }

    def part(self, topic: Topic, scope: Scope, after: str) -> Part:
        """What there is of a topic, beginning after this id."""
        return self._listings[topic].part(scope, after)

    def changes_count(self, scope: Scope) -> int:
        """In how many events the samples of a scope that are new since the last look are told."""
        return len(self._pages_of(scope))

    def changes(self, scope: Scope, number: int, place: str) -> Event:
        """One of these events; who has read it may resume at `place`."""
        event = self._changes.get((scope, number))
        if event is None:
            data = self._rows.tables(self._pages_of(scope)[number])
            event = self._changes[scope, number] = Event(Topic.TELEMETRY, data, place)
        return event

    def _pages_of(self, scope: Scope) -> list[Sequence[Subject]]:
        pages = self._pages.get(scope)
        if pages is None:
            taken = self._sampled_in(scope)
            begins = range(0, len(taken), ROWS_PER_EVENT)
            pages = [taken[begin : begin + ROWS_PER_EVENT] for begin in begins]
            self._pages[scope] = pages
        return pages

    def _sampled_in(self, scope: Scope) -> Sequence[Subject]:
        """Each of many readers may have a scope of its own: none looks through the whole fleet."""
        if scope.is_all:
            return self._sampled
        if scope.asset_ids:
            named = map(self._by_asset.get, sorted(scope.asset_ids))
            return [each for each in named if each is not None and scope.takes(each)]
        around = self._sampled if scope.site_id is None else self._by_site.get(scope.site_id, ())
        return list(filter(scope.takes, around))

    @cached_property
    def _by_asset(self) -> dict[str, Subject]:
        return {subject.asset_id: subject for subject in self._sampled}

    @cached_property
    def _by_site(self) -> dict[str, list[Subject]]:
        by_site: defaultdict[str, list[Subject]] = defaultdict(list)
        for subject in self._sampled:
            by_site[subject.site_id].append(subject)
        return by_site

    def _telling(self, told: Callable[[V], object]) -> Callable[[Sequence[V]], bytes]:
        return lambda page: items([encoder.encode(told(each)) for each in page], self._time)


def _subject(asset: AssetView) -> Subject:
    return Subject(asset.spec.asset_id, asset.site_id, asset.spec.kind)
