"""The live stream as one reader has it, on virtual time."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
from api_fakes import NOW_US, FakeHeadend

from dercp.api import ApiSettings
from dercp.api.live.events import Event
from dercp.api.live.follower import Follower, following
from dercp.api.live.selection import StreamQuery, Topic
from dercp.api.live.stream import LiveStream, TooManyClients
from dercp.headend.fleet.changes import (
    AgentChanged,
    AssetChange,
    AssetChanged,
    DispatchChanged,
    Subject,
)
from dercp.model.dispatch import AssetTarget, DispatchRequest, submit
from dercp.model.points import Kind

TELEMETRY = StreamQuery(events=(Topic.TELEMETRY,))
SECONDS = 1_000_000


@asynccontextmanager
async def running(headend: FakeHeadend) -> AsyncIterator[LiveStream]:
    """Tick beside the block."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(headend.live.run)
        yield headend.live
        nursery.cancel_scope.cancel()


def data(event: Event | None) -> Any:
    """What it tells."""
    assert event is not None
    return msgspec.json.decode(event.data)


async def kinds_until(follower: Follower, last: str) -> list[str]:
    """The kinds of the next events, up to one of this kind."""
    kinds = []
    while last not in kinds:
        event = await follower.next()
        assert event is not None
        kinds.append(event.kind)
    return kinds


def rows(event: Event | None) -> list[str]:
    """Whose rows an event has."""
    return [row[0] for table in data(event)["tables"] for row in table["rows"]]


def dispatch_of(asset_id: str, dispatch_id: str = "d1") -> DispatchChanged:
    """A dispatch that was just taken."""
    request = DispatchRequest(
        target=AssetTarget(asset_id),
        setpoint_mw=1.0,
        start_us=NOW_US,
        until_us=NOW_US + 60 * SECONDS,
        deliver_by_us=NOW_US + 30 * SECONDS,
    )
    return DispatchChanged(
        dispatch=submit(dispatch_id, "default", request, NOW_US),
        subject=Subject(asset_id, "north", Kind.STORAGE),
    )


async def test_first_everything_then_changes(
    headend: FakeHeadend, autojump_clock: trio.testing.MockClock
) -> None:
    """Who connects knows everything at `live`; then what is new, once a tick."""
    async with running(headend) as live:
        with following(live, StreamQuery(), "") as follower:
            told = [await follower.next() for _ in range(5)]
            kinds = [event.kind for event in told if event is not None]
            assert kinds == ["snapshot", "asset", "agent", "telemetry", "live"]
            assert [item["asset"]["id"] for item in data(told[1])["items"]] == [
                "bess-1",
                "bess-2",
                "pv-1",
            ]
            assert sorted(rows(told[3])) == ["bess-1", "bess-2", "pv-1"]
            began = trio.current_time()
            headend.feed.sampled = ["pv-1"]
            news = await follower.next()
            assert trio.current_time() - began == pytest.approx(1.0)
            assert rows(news) == ["pv-1"]


async def test_a_row_says_what_the_api_says_elsewhere(
    headend: FakeHeadend, autojump_clock: trio.testing.MockClock
) -> None:
    """Values by column with their units; what is not good has its reasons."""
    async with running(headend) as live:
        with following(live, TELEMETRY, "") as follower:
            await follower.next()
            tables = data(await follower.next())["tables"]
        [table] = [table for table in tables if table["rows"][0][0] == "bess-1"]
        row = dict(zip(table["columns"], table["rows"][0], strict=True))
        assert row == {
            "asset_id": "bess-1",
            "source_time_us": NOW_US - 250_000,
            "age_s": 0.25,
            "stale": False,
            "active_power_mw": 1.25,
            "soc_pct": None,
        }
        assert table["units"] == ["", "us", "s", "", "MW", "%"]
        assert table["doubts"]["bess-1"] == {
            "soc_pct": {"quality": "bad", "reasons": ["stale", "out_of_range"]}
        }
        silent = next(table for table in tables if table["rows"][0][0] == "bess-2")
        assert silent["rows"] == [["bess-2", None, None, True]]


async def test_nobody_listens(headend: FakeHeadend, autojump_clock: trio.testing.MockClock) -> None:
    """Then nobody looks; the first to come does, and the last to leave ends it."""
    async with running(headend) as live:
        await trio.sleep(100)
        assert headend.feed.looks == 0
        with following(live, TELEMETRY, ""):
            await trio.sleep(10.5)
            looks = headend.feed.looks
            assert 10 <= looks <= 12
        await trio.sleep(100)
        assert headend.feed.looks <= looks + 1


async def test_an_asset_is_encoded_once_for_all(
    headend: FakeHeadend, autojump_clock: trio.testing.MockClock
) -> None:
    """However many read it, whatever their filters; the same bytes where these agree."""
    async with running(headend) as live:
        queries = (TELEMETRY, TELEMETRY, StreamQuery(site_id="north"))
        with ExitStack() as stack:
            one, other, third = (stack.enter_context(following(live, q, "")) for q in queries)
            for follower in (one, other, third):
                await kinds_until(follower, "live")
            headend.feed.read.clear()
            headend.feed.sampled = ["bess-1", "pv-1"]
            first, second = await one.next(), await other.next()
            assert first is second
            assert rows(await third.next()) == ["bess-1"]
            assert sorted(headend.feed.read) == ["bess-1", "pv-1"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (StreamQuery(site_id="south"), ["pv-1"]),
        (StreamQuery(kind=Kind.STORAGE), ["bess-1", "bess-2"]),
        (StreamQuery(asset_id=("pv-1", "bess-2")), ["bess-2", "pv-1"]),
        (StreamQuery(asset_id=("pv-1",), site_id="north"), []),
    ],
)
async def test_filters(
    headend: FakeHeadend,
    query: StreamQuery,
    expected: list[str],
    autojump_clock: trio.testing.MockClock,
) -> None:
    """In the snapshot as in what follows."""
    async with running(headend) as live:
        with following(live, query, "") as follower:
            told = []
            while (event := await follower.next()) is not None and event.kind != "live":
                told += rows(event) if event.kind == "telemetry" else []
            assert sorted(told) == expected
            headend.feed.sampled = ["bess-1", "bess-2", "pv-1"]
            event = await follower.next()
            assert (sorted(rows(event)) if event else []) == expected


async def test_what_happens_is_told_soon(
    headend: FakeHeadend, autojump_clock: trio.testing.MockClock
) -> None:
    """Without waiting for the tick, in its newest state; the id is a place to resume at."""
    async with running(headend) as live:
        with following(live, StreamQuery(events=(Topic.DISPATCH,)), "") as follower:
            await kinds_until(follower, "live")
            began = trio.current_time()
            headend.feed.tell(dispatch_of("bess-1"))
            headend.feed.tell(dispatch_of("pv-1", "d2"))
            told = await follower.next()
            assert trio.current_time() - began < 0.2
            items = data(told)["items"]
            assert [(item["id"], item["state"]) for item in items] == [
                ("d1", "submitted"),
                ("d2", "submitted"),
            ]
            assert told is not None
            assert told.id.endswith(".1")


async def test_a_fleet_s_agents_and_assets(
    headend: FakeHeadend, autojump_clock: trio.testing.MockClock
) -> None:
    """What has become of an asset is said in a word; sessions come and go."""
    async with running(headend) as live:
        with following(live, StreamQuery(site_id="north"), "") as follower:
            await kinds_until(follower, "live")
            changed = AssetChanged(
                asset=headend.reader.by_id["bess-1"],
                changes=(AssetChange.OFFLINE, AssetChange.STALE),
            )
            headend.feed.assets = [changed]
            headend.feed.facts = list(headend.feed.agents())
            told = {}
            for _ in range(2):
                event = await follower.next()
                assert event is not None
                told[event.kind] = data(event)["items"]
            assert told["asset"][0]["changes"] == ["offline", "stale"]
            assert [agent["id"] for agent in told["agent"]] == ["north-edge"]


async def test_who_comes_back_misses_nothing(
    headend: FakeHeadend, autojump_clock: trio.testing.MockClock
) -> None:
    """What happened since, in order; of telemetry the newest."""
    async with running(headend) as live:
        with following(live, StreamQuery(), "") as follower:
            while (event := await follower.next()) is not None and not event.id:
                pass
        assert event is not None
        headend.feed.facts = [dispatch_of("bess-1"), *headend.feed.agents()[:1]]
        await trio.sleep(5)
        with following(live, StreamQuery(), event.id) as follower:
            assert await kinds_until(follower, "live") == [
                "resume",
                "agent",
                "dispatch",
                "telemetry",
                "live",
            ]
        assert live.counts["resumed"] == 1


@pytest.mark.parametrize(
    "place", ["0badc0de.3", "x", "1.2.3", "999999999999999999999999", "{epoch}.7", "{epoch}.-1"]
)
async def test_an_unknown_place_is_a_reset(
    headend: FakeHeadend, place: str, autojump_clock: trio.testing.MockClock
) -> None:
    """Of another start, of nobody, or not there yet: everything is told anew."""
    async with running(headend) as live:
        epoch = live.place(0).partition(".")[0]
        with following(live, StreamQuery(), place.format(epoch=epoch)) as follower:
            kinds = await kinds_until(follower, "live")
        assert kinds == ["reset", "asset", "agent", "telemetry", "live"]
        assert live.counts["reset"] == 1


async def test_too_much_has_happened_since(autojump_clock: trio.testing.MockClock) -> None:
    """Beyond what is kept: a reset for those who come back, `lagged` too for those who stay."""
    headend = FakeHeadend(ApiSettings(stream_items_kept_max=3))
    async with running(headend) as live:
        with following(live, StreamQuery(), "") as follower:
            while (event := await follower.next()) is not None and not event.id:
                pass
            assert event is not None
            for number in range(5):
                headend.feed.tell(dispatch_of("bess-1", f"d{number}"))
                await trio.sleep(0.3)
            lagged = await follower.next()
            assert lagged is not None
            assert lagged.kind == "lagged"
            assert data(lagged) == {"ticks": 0, "events": 2}
            assert (await kinds_until(follower, "live"))[0] == "reset"
        with following(live, StreamQuery(), event.id) as follower:
            assert (await kinds_until(follower, "live"))[0] == "reset"


async def test_a_reader_slower_than_the_tick_gets_the_newest(
    headend: FakeHeadend, autojump_clock: trio.testing.MockClock
) -> None:
    """It is told how many looks it missed, and then of each asset the newest once."""
    async with running(headend) as live:
        with following(live, TELEMETRY, "") as follower:
            await kinds_until(follower, "live")
            for _ in range(5):
                headend.feed.sampled = ["bess-1"]
                await trio.sleep(1.0)
            lagged = await follower.next()
            assert lagged is not None
            assert lagged.kind == "lagged"
            assert data(lagged)["ticks"] in {3, 4}
            assert await kinds_until(follower, "live") == ["telemetry", "live"]
            headend.feed.sampled = ["pv-1"]
            assert rows(await follower.next()) == ["pv-1"]
        assert live.counts["lagged"] == 1


async def test_facts_the_feed_could_not_keep(
    headend: FakeHeadend, autojump_clock: trio.testing.MockClock
) -> None:
    """Are as much as a ring that ran over."""
    async with running(headend) as live:
        with following(live, StreamQuery(), "") as follower:
            await kinds_until(follower, "live")
            headend.feed.lost = 10_000
            assert (await kinds_until(follower, "reset")) == ["lagged", "reset"]


async def test_heartbeats_fill_the_silence(
    headend: FakeHeadend, autojump_clock: trio.testing.MockClock
) -> None:
    """Nothing for 15 s is told as nothing."""
    async with running(headend) as live:
        with following(live, TELEMETRY, "") as follower:
            await kinds_until(follower, "live")
            began = trio.current_time()
            assert await follower.next() is None
            assert trio.current_time() - began == pytest.approx(15.0)


async def test_the_end_is_said(
    headend: FakeHeadend, autojump_clock: trio.testing.MockClock
) -> None:
    """At once, also to those who wait."""
    async with running(headend) as live:
        with following(live, TELEMETRY, "") as follower:
            await kinds_until(follower, "live")
            live.close()
            assert await kinds_until(follower, "bye") == ["bye"]


async def test_one_who_did_not_take_its_event_was_cut(
    headend: FakeHeadend, autojump_clock: trio.testing.MockClock
) -> None:
    """A reader that leaves in between is none."""
    async with running(headend) as live:
        for held_s, cut in ((1.0, 0), (20.0, 1)):
            with following(live, TELEMETRY, "") as follower:
                await follower.next()
                await trio.sleep(held_s)
            assert live.counts["cut"] == cut


async def test_places_are_counted(autojump_clock: trio.testing.MockClock) -> None:
    """One more than may come is refused, until one leaves."""
    live = FakeHeadend(ApiSettings(streams_max=1)).live
    with live.client():
        with pytest.raises(TooManyClients), live.client():
            pass
        assert live.clients == 1
    with live.client():
        pass


def test_a_tick_is_bounded() -> None:
    """Below a fifth of a second nothing is gained but load."""
    with pytest.raises(ValueError, match="stream_tick_s"):
        FakeHeadend(ApiSettings(stream_tick_s=0.1))


def test_agents_are_their_sites_and_assets(headend: FakeHeadend) -> None:
    """An agent passes a filter when it, or one of its assets, does."""
    north, south = headend.feed.agents()
    assert isinstance(north, AgentChanged)
    scope = StreamQuery(kind=Kind.PV).scope
    assert not scope.takes_any(north.site_id, north.subjects)
    assert scope.takes_any(south.site_id, south.subjects)
    assert StreamQuery(site_id="north").scope.takes_any("north", ())
