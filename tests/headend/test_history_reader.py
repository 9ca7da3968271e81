"""History as it is read: in the order of time, each sample once, nothing made up."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from headend_plant import START_US, battery, open_plant, site_of
from hypothesis import given
from hypothesis import strategies as st
from memory_store import MemoryDisk, open_memory, open_memory_history
from msgspec.structs import replace
from trio.abc import Clock

from dercp.headend.errors import HistoryUnavailable
from dercp.headend.history.archive import Archive
from dercp.headend.history.reader import HistoryReader
from dercp.headend.history.views import HistorySample, HistorySpan, SampleKey
from dercp.headend.settings import HeadendSettings
from dercp.model.asset import AssetSpec, PointSpec, Registration
from dercp.model.quality import Quality, Reason
from dercp.model.resample import Bucket, Summary
from dercp.store.records import FrameRecord, GapRecord, RegistrationRecord
from dercp.wire.payload import DeclaredQuality, RowDraft, encode_payload
from dercp.wire.registration import encode_registration, registration_id

SECOND = 1_000_000
SITE = site_of("site-1", "bess-1", "bess-2")


class Past:
    """A disk on which a test writes what came in, and the reader of it."""

    def __init__(self, disk: MemoryDisk, reader: HistoryReader) -> None:
        self.disk = disk
        self.reader = reader
        self.sequence = 0

    def register(self, registration: Registration) -> bytes:
        """Let batches be written under it."""
        content = encode_registration(registration)
        name = registration_id(content)
        self.disk.registrations[name] = RegistrationRecord(
            registration_id=name, content=content, first_seen_us=START_US
        )
        return name

    def log(self, *rows: RowDraft, registration: Registration = SITE, **other: object) -> None:
        """A batch has come."""
        self.sequence += 1
        times = [row.source_time_us for row in rows] or [START_US]
        fields: dict[str, object] = {
            "tenant_id": "default",
            "agent_id": "edge-1",
            "spool_id": "spool-1",
            "sequence": self.sequence,
            "registration_id": self.register(registration),
            "ingest_time_us": START_US + 10_000 * SECOND,
            "first_time_us": min(times),
            "last_time_us": max(times),
            "samples": len(rows),
            "payload": encode_payload(START_US, rows),
        }
        self.disk.positions += 1
        self.disk.frames[self.disk.positions] = FrameRecord(**(fields | other))  # type: ignore[arg-type]  # fields by name

    def log_seconds(self, *seconds: int, **other: object) -> None:
        """A batch a second for both assets: the power of the first is the second in kW."""
        for second in seconds:
            time_us = START_US + second * SECOND
            self.log(
                RowDraft(0, time_us, [second / 1000, 50.0]),
                RowDraft(1, time_us, [-1.0, 20.0]),
                **other,  # type: ignore[arg-type]  # fields by name
            )

    async def samples(self, span: HistorySpan, limit: int = 1_000) -> list[HistorySample]:
        """The whole span, page by page."""
        found: list[HistorySample] = []
        after: SampleKey | None = None
        while True:
            page = await self.reader.samples(span, after=after, limit=limit)
            assert len(page.samples) <= limit
            found += page.samples
            after = page.next_after
            if after is None:
                return found
            assert after == found[-1].key


@asynccontextmanager
async def open_past(settings: HeadendSettings | None = None) -> AsyncIterator[Past]:
    """Nothing has come yet."""
    disk = MemoryDisk()
    async with open_memory(disk) as store, open_memory_history(disk) as history:
        yield Past(
            disk, HistoryReader(store, Archive(history), settings=settings or HeadendSettings())
        )


def span(
    first: int = 0, end: int = 10_000, *, spec: AssetSpec = SITE.assets[0], **other: object
) -> HistorySpan:
    """The seconds from the first to before the end, of the first asset and all its points."""
    return HistorySpan(
        **{
            "agent_id": "edge-1",
            "asset_id": spec.asset_id,
            "points": spec.points,
            "from_us": START_US + first * SECOND,
            "to_us": START_US + end * SECOND,
        }
        | other  # type: ignore[arg-type]  # fields by name
    )


def seconds(samples: Sequence[HistorySample]) -> list[int]:
    """When they were taken."""
    return [(each.key.source_time_us - START_US) // SECOND for each in samples]


def powers(samples: Sequence[HistorySample]) -> list[float | None]:
    """The first value of each."""
    return [each.readings[0].value for each in samples]


async def test_the_range_is_half_open() -> None:
    """What lies at its start is in, at its end out; other assets are not there at all."""
    async with open_past() as past:
        past.log_seconds(*range(10))
        assert powers(await past.samples(span(2, 5))) == [0.002, 0.003, 0.004]
        assert seconds(await past.samples(span(10, 20))) == []


async def test_a_backlog_is_read_where_it_belongs() -> None:
    """The log has it last, history has it by its time, whatever the length of the pages."""
    async with open_past() as past:
        past.log_seconds(*range(50, 60))
        past.log_seconds(*range(50))
        for limit in (1, 7, 10, 60, 1_000):
            assert seconds(await past.samples(span(), limit)) == list(range(60))


@given(st.lists(st.lists(st.integers(0, 20), max_size=4), max_size=12), st.integers(1, 30))
async def test_pages_join_up(batches: list[list[int]], limit: int) -> None:
    """Whatever came in whatever order, also at the same time: each sample once, in order."""
    async with open_past() as past:
        for batch in batches:
            past.log(*(RowDraft(0, START_US + each * SECOND, [1.0, 2.0]) for each in batch))
        found = await past.samples(span(), limit)
        assert seconds(found) == sorted(each for batch in batches for each in batch)
        assert len({each.key for each in found}) == len(found)


async def test_only_the_points_asked_for() -> None:
    """The others are not read out."""
    async with open_past() as past:
        past.log_seconds(1)
        [found] = await past.samples(span(points=(SITE.assets[0].points[1],)))
        assert [(each.point, each.value) for each in found.readings] == [("soc_pct", 50.0)]


async def test_batches_are_read_with_their_own_registration() -> None:
    """An asset may have been elsewhere in the row of assets, with other points."""
    swapped = site_of("site-1", "bess-2", "bess-1")
    bare = Registration(
        site_id="site-1",
        site_name="Site",
        assets=(battery("bess-1", points=("soc_pct",)),),
    )
    without = site_of("site-1", "bess-2")
    async with open_past(HeadendSettings(history_layouts_max=1)) as past:
        past.log_seconds(1)
        past.log(RowDraft(1, START_US + 2 * SECOND, [0.2, 51.0]), registration=swapped)
        past.log(RowDraft(0, START_US + 3 * SECOND, [52.0]), registration=bare)
        past.log(RowDraft(0, START_US + 4 * SECOND, [0.4, 53.0]), registration=without)
        past.log_seconds(5)
        found = await past.samples(span())
    assert [{each.point: each.value for each in sample.readings} for sample in found] == [
        {"active_power_mw": 0.001, "soc_pct": 50.0},
        {"active_power_mw": 0.2, "soc_pct": 51.0},
        {"soc_pct": 52.0},
        {"active_power_mw": 0.005, "soc_pct": 50.0},
    ]


async def test_a_point_whose_unit_has_changed_is_not_mixed_up() -> None:
    """A custom point in kW then is not the one in MW now."""
    then = replace(SITE.assets[0], points=(PointSpec("feeder", "kW"),))
    now = replace(then, points=(PointSpec("feeder", "MW"),))
    async with open_past() as past:
        site = Registration(site_id="site-1", site_name="Site", assets=(then,))
        past.log(RowDraft(0, START_US, [7.0]), registration=site)
        [found] = await past.samples(span(spec=now))
        assert found.readings == ()
        [found] = await past.samples(span(spec=then))
        assert powers([found]) == [7.0]


async def test_what_the_edge_and_the_clock_say_of_a_value_is_told() -> None:
    """Bad is None with its reason; a time no clock can have makes every value uncertain."""
    bad = DeclaredQuality(0, Quality.BAD, Reason.DEVICE_COMMS_LOST)
    async with open_past() as past:
        past.log(RowDraft(0, START_US, [1.0, 50.0], [bad]))
        past.log(RowDraft(0, 1_000_000, [1.0, 50.0]))
        [suspect, sample] = await past.samples(span(from_us=0))
    power, soc = sample.readings
    assert (power.value, power.quality, power.reasons) == (
        None,
        Quality.BAD,
        Reason.DEVICE_COMMS_LOST,
    )
    assert soc.quality is Quality.GOOD
    assert {each.quality for each in suspect.readings} == {Quality.UNCERTAIN}
    assert {each.reasons for each in suspect.readings} == {Reason.CLOCK_SUSPECT}


async def test_bad_batches_are_counted_and_keep_no_other_back() -> None:
    """One that is no payload, one of a registration that nobody knows."""
    async with open_past() as past:
        past.log_seconds(1)
        past.log_seconds(2, payload=b"\xff\xff")
        past.log_seconds(3, registration_id=b"unknown")
        past.log_seconds(4)
        page = await past.reader.samples(span(), after=None, limit=10)
        assert seconds(page.samples) == [1, 4]
        assert page.bad_batches == 2
        folded = await past.reader.buckets(span(), resolution_us=SECOND, limit=10_000)
        assert folded.bad_batches == 2


async def test_buckets_are_aligned_and_cut_by_the_range() -> None:
    """START_US is on a minute: a range from second 50 to 130 touches three of them."""
    async with open_past() as past:
        past.log_seconds(*range(200))
        page = await past.reader.buckets(span(50, 130), resolution_us=60 * SECOND, limit=100)
        assert [(each.start_us - START_US) // SECOND for each in page.buckets] == [0, 60, 120]
        assert [each.samples for each in page.buckets] == [10, 60, 10]
        assert page.next_from_us is None
        power = page.buckets[1].points["active_power_mw"]
        assert power == Summary(0.06, pytest.approx(0.0895), 0.119, 60, 60)  # type: ignore[arg-type]  # about


async def test_pages_of_buckets_cut_none_in_two() -> None:
    """The next page begins where a bucket begins."""
    async with open_past() as past:
        past.log_seconds(*range(100, 200), *range(100))
        whole = await past.reader.buckets(span(5, 195), resolution_us=7 * SECOND, limit=1_000)
        parts: list[Bucket] = []
        wanted = span(5, 195)
        while True:
            page = await past.reader.buckets(wanted, resolution_us=7 * SECOND, limit=4)
            assert len(page.buckets) <= 4
            parts += page.buckets
            if page.next_from_us is None:
                break
            wanted = replace(wanted, from_us=page.next_from_us)
        assert tuple(parts) == whole.buckets
        assert sum(each.samples for each in parts) == 190


async def test_gaps_and_completeness_come_from_the_agent(autojump_clock: Clock) -> None:
    """Complete up to the first hole; a declared gap is none, and is told."""
    async with open_plant() as plant, plant.agent() as agent:
        reader = plant.headend.history
        assert await reader.complete_until("edge-1") is None
        await agent.sample()
        await agent.expect_ack()
        assert await reader.complete_until("edge-1") == START_US
        lost = GapRecord(
            tenant_id="default",
            agent_id="edge-1",
            spool_id="spool-1",
            first_sequence=2,
            last_sequence=9,
            from_us=START_US + SECOND,
            to_us=START_US + 8 * SECOND,
            samples=8,
            reason="spool_full",
            declared_us=START_US + 9 * SECOND,
        )
        async with open_memory_history(plant.disk) as history:
            await history.declare([lost])
        assert await reader.complete_until("edge-1") == lost.to_us
        for agent_id in ("edge-1", None):
            page = await reader.gaps(agent_id, START_US, lost.to_us, after=None, limit=10)
            [gap] = page.gaps
            assert (gap.reason, gap.samples, gap.to_us) == ("spool_full", 8, lost.to_us)
            assert page.next_after is None
        none = await reader.gaps("edge-2", START_US, lost.to_us, after=None, limit=10)
        assert none.gaps == ()
        samples = await reader.samples(span(), after=None, limit=10)
        assert powers(samples.samples) == [1.0]


async def test_what_is_held_of_a_spool_is_counted(autojump_clock: Clock) -> None:
    """Batch by batch; one that came after it had been declared is stored, not lost."""
    async with open_plant() as plant, plant.agent() as agent:
        for _ in range(3):
            await agent.sample()
            await agent.expect_ack()
        async with open_memory_history(plant.disk) as history:
            await history.declare(
                [
                    GapRecord(
                        tenant_id="default",
                        agent_id="edge-1",
                        spool_id="spool-1",
                        first_sequence=3,
                        last_sequence=9,
                        from_us=START_US,
                        to_us=START_US + 8 * SECOND,
                        samples=8,
                        reason="spool_full",
                        declared_us=START_US + 9 * SECOND,
                    )
                ]
            )
        reader = plant.headend.history
        [account] = await reader.spools("edge-1")
        assert (account.spool_id, account.stored, account.declared) == (
            "spool-1",
            ((1, 3),),
            ((4, 9),),
        )
        assert (account.stored_batches, account.stored_samples) == (3, 3)
        assert account.declared_samples == 7
        assert await reader.spools("edge-2") == ()


async def test_a_store_that_cannot_read_is_told() -> None:
    """In the store's own words."""
    async with open_past() as past:
        past.disk.broken = True
        reader = past.reader
        with pytest.raises(HistoryUnavailable, match="input/output error"):
            await reader.samples(span(), after=None, limit=1)
        with pytest.raises(HistoryUnavailable):
            await reader.complete_until("edge-1")
        with pytest.raises(HistoryUnavailable):
            await reader.gaps(None, 0, 1, after=None, limit=1)
