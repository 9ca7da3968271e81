"""What people with SQL find in Postgres: wide rows, and partitions that come and go by day."""

import json
from collections.abc import Sequence

import pytest
import trio
from history_samples import EVER, SECOND, frame, numbers, read_all, small
from postgres_server import PostgresServer

from dercp.store import FrameRecord, RegistrationRecord, SampleRow
from dercp.store.postgres import open_postgres

DAY = 86_400 * SECOND
REGISTRATION = RegistrationRecord(registration_id=b"r" * 32, content=b"what", first_seen_us=1)


def rows_of(registration: RegistrationRecord, each: FrameRecord) -> Sequence[SampleRow] | None:
    """A row for each second; batches with an even number cannot be read."""
    assert registration == REGISTRATION
    if each.sequence % 2 == 0:
        return None
    return [
        SampleRow(
            site_id="alpha",
            asset_id="bess-1",
            source_time_us=each.first_time_us + 250_000,
            values={"active_power_mw": 1.5, "soc_pct": 0.1, "fan_rpm": 900.0},
            qualities={"soc_pct": "uncertain", "voltage_v": "bad"},
        )
    ]


class Tables:
    """A look at the tables from outside."""

    def __init__(self, server: PostgresServer, url: str) -> None:
        self._server = server
        self._database = url.rpartition("/")[2]

    def ask(self, query: str) -> list[str]:
        """The rows of a query, values separated by bars."""
        return self._server.sql(query, database=self._database).splitlines()

    def partitions(self, table: str) -> list[str]:
        """The days of the last century for which there is one."""
        return self.ask(
            "SELECT right(inhrelid::regclass::text, 8) FROM pg_inherits"  # noqa: S608  # ours
            f" WHERE inhparent = 'dercp.{table}'::regclass"
            " AND inhrelid::regclass::text LIKE '%_19%' ORDER BY 1"
        )


@pytest.fixture
def tables(postgres_server: PostgresServer, postgres_url: str) -> Tables:
    """Those of the test's database."""
    return Tables(postgres_server, postgres_url)


async def test_frames_become_wide_rows(postgres_url: str, tables: Tables) -> None:
    """A column for each point of the table, a map of the others, a map of what is not good."""
    async with open_postgres(postgres_url, rows_of=rows_of) as store:
        await store.registry.remember(REGISTRATION)
        await store.history.append([frame(1), frame(3), frame(3)])
        await store.history.append([frame(1), frame(5)])
        assert (store.server().rows, store.server().unreadable) == (3, 0)
    found = tables.ask(
        "SELECT tenant_id, site_id, asset_id, to_char(source_time, 'SS.US'),"
        " extract(epoch FROM ingest_time), active_power_mw, soc_pct, voltage_v, others, quality"
        " FROM dercp.samples ORDER BY source_time"
    )
    assert len(found) == 3
    *values, others, quality = found[1].split("|")
    assert values == [
        "default", "alpha", "bess-1", "03.250000", "3.000001", "1.5", "0.1", ""
    ]  # fmt: skip
    assert json.loads(others) == {"fan_rpm": 900.0}
    assert json.loads(quality) == {"soc_pct": "uncertain", "voltage_v": "bad"}


async def test_a_frame_that_cannot_be_read_is_kept_and_counted(
    postgres_url: str, tables: Tables
) -> None:
    """Because of what is in it, or because nobody knows its registration."""
    async with open_postgres(postgres_url, rows_of=rows_of) as store:
        await store.history.append([frame(1)])
        await store.registry.remember(REGISTRATION)
        await store.history.append([frame(2), frame(3)])
        assert await numbers(store.history) == [1, 2, 3]
        assert (store.server().rows, store.server().unreadable) == (1, 2)
    assert tables.ask("SELECT count(*) FROM dercp.samples") == ["1"]


def on_day(sequence: int, day: int) -> FrameRecord:
    """A frame that arrived at noon of a day of 1971."""
    return frame(sequence, ingest_time_us=(365 + day) * DAY + DAY // 2)


async def test_partitions_go_when_all_of_their_day_is_pruned(
    postgres_url: str, tables: Tables
) -> None:
    """Those still in part to be seen stay, and so does the newest."""
    async with open_postgres(postgres_url, limits=small(retained_s=86_400.0)) as store:
        for day in (1, 2, 3):
            await store.history.append([on_day(day * 10 + n, day) for n in range(3)])
        days = ["19710102", "19710103", "19710104"]
        assert set(tables.partitions("frame")) >= set(days)
        assert tables.partitions("frame") == tables.partitions("samples")
        before = await store.history.sequences("default", "alpha-gw")
        pruned = await store.history.prune((365 + 3) * DAY + DAY // 4)
        assert (pruned.frames, pruned.more) == (3, False)
        assert await numbers(store.history) == [20, 21, 22, 30, 31, 32]
        assert set(tables.partitions("samples")) & set(days) == set(days[1:])
        assert (await store.history.prune((365 + 9) * DAY)).frames == 6
        assert set(tables.partitions("frame")) & set(days) == {days[2]}
        assert await numbers(store.history) == []
        assert store.history.statistics().bytes == 0
        assert await store.history.sequences("default", "alpha-gw") == before


async def test_somebody_who_reads_keeps_a_partition_and_nothing_else(
    postgres_url: str, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pruning goes on without it; the partition goes the next time."""
    monkeypatch.setattr("dercp.store.postgres._days.DROP_WITHIN_MS", 50)
    async with open_postgres(postgres_url, limits=small(retained_s=1.0)) as store:
        await store.history.append([on_day(1, 21), on_day(2, 22)])
        async with trio.open_nursery() as nursery:
            read = "BEGIN; SELECT count(*) FROM dercp.frame; SELECT pg_sleep(0.8)"
            nursery.start_soon(trio.to_thread.run_sync, tables.ask, read)
            await trio.sleep(0.3)
            assert (await store.history.prune((365 + 22) * DAY)).frames == 1
            assert "19710122" in tables.partitions("frame")
            await store.history.append([on_day(3, 22), on_day(4, 23)])
        await store.history.prune((365 + 22) * DAY)
        assert "19710122" not in tables.partitions("frame")
        assert await numbers(store.history) == [2, 3, 4]


async def test_pages_go_from_day_to_day(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the log, whatever the page's length and however few days it looks into."""
    monkeypatch.setattr("dercp.store.postgres._pages.DAYS_PER_PAGE", 2)
    sequences = [*range(1, 8), *range(20, 30), 40, 50, 60]
    async with open_postgres(postgres_url) as store:
        for sequence in sequences:
            await store.history.append([on_day(sequence, 30 + sequence // 10)])
        for limit in (1, 3, 7, 1_000):
            found = await read_all(store.history, limit=limit)
            assert [each.sequence for each in found] == sequences


async def test_a_page_is_bounded_in_bytes(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with the frame that reached the bound; the next one goes on behind it."""
    monkeypatch.setattr("dercp.store.postgres._pages.PAGE_BYTES_MAX", 100_000)
    async with open_postgres(postgres_url) as store:
        await store.history.append([frame(n, size=40_000) for n in range(1, 8)])
        page = await store.history.frames("default", "alpha-gw", 0, EVER)
        assert [each.sequence for each in page.frames] == [1, 2, 3]
        assert [each.sequence for each in await read_all(store.history)] == list(range(1, 8))


async def test_a_clock_that_was_set_back_changes_no_order(
    postgres_url: str, tables: Tables
) -> None:
    """What arrives on a day before the newest is logged on the newest; its rows say the truth."""
    async with open_postgres(postgres_url, rows_of=rows_of) as store:
        await store.registry.remember(REGISTRATION)
        await store.history.append([on_day(1, 62), on_day(3, 61), on_day(5, 62)])
        assert await numbers(store.history) == [1, 3, 5]
    assert tables.ask("SELECT day FROM dercp.frame ORDER BY position") == ["1971-03-04"] * 3
    days = "SELECT (ingest_time AT TIME ZONE 'utc')::date FROM dercp.samples ORDER BY source_time"
    assert tables.ask(days) == ["1971-03-04", "1971-03-03", "1971-03-04"]


async def test_a_time_of_arrival_that_no_calendar_has_is_refused(postgres_url: str) -> None:
    """It is the frame's fault, not the server's: whoever sends it again gets the same answer."""
    async with open_postgres(postgres_url) as store:
        for time_us in (EVER, -EVER):
            with pytest.raises(ValueError, match="no calendar"):
                await store.history.append([frame(1, ingest_time_us=time_us)])
        await store.history.append([frame(1)])
        assert await numbers(store.history) == [1]


async def test_there_is_a_partition_for_tomorrow_before_it_comes(
    postgres_url: str, tables: Tables
) -> None:
    """Made at opening, and by pruning once a day."""
    ahead = "SELECT to_regclass('dercp.samples_' || to_char(now() AT TIME ZONE 'utc' + interval"
    assert tables.ask(f"{ahead} '2 days', 'YYYYMMDD')) IS NOT NULL") == ["t"]
    async with open_postgres(postgres_url) as store:
        await store.history.prune((365 + 90) * DAY)
    assert set(tables.partitions("frame")) >= {"19710401", "19710402", "19710403"}
