"""The historian's contract: half-open ranges, pages that stay put, gaps, sequences."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from history_samples import EVER, SECOND, frame, gap, numbers, read_all, small

from dercp.model.completeness import Stretch
from dercp.store import PAGE_MAX, GapRecord, History, SpoolSequences

OpenLog = Callable[..., AbstractAsyncContextManager[History]]


async def test_a_range_is_half_open(open_log: OpenLog) -> None:
    """A frame is in it with any source time that is: at its beginning yes, at its end no."""
    async with open_log() as history:
        await history.append([frame(n) for n in range(1, 6)])

        async def found(from_us: int, to_us: int) -> list[int]:
            frames = await read_all(history, range_us=(from_us, to_us))
            return [each.sequence for each in frames]

        assert await found(2 * SECOND, 4 * SECOND) == [2, 3]
        assert await found(2 * SECOND - 1, 4 * SECOND + 1) == [1, 2, 3, 4]
        assert await found(3 * SECOND - 1, 3 * SECOND) == [2]
        assert await found(3 * SECOND, 3 * SECOND) == []
        assert await found(3 * SECOND + 5, 3 * SECOND + 5) == []
        assert await found(4 * SECOND, 2 * SECOND) == []
        assert await found(6 * SECOND, EVER) == []
        assert await found(0, SECOND) == []


async def test_late_frames_are_found_by_their_time_and_come_in_the_order_of_the_log(
    open_log: OpenLog,
) -> None:
    """The backlog lies behind the live frames; who wants time order sorts what is found."""
    async with open_log() as history:
        await history.append([frame(9), frame(2), frame(10), frame(3)])
        late = await read_all(history, range_us=(0, 5 * SECOND))
        assert [each.sequence for each in late] == [2, 3]
        assert await numbers(history) == [9, 2, 10, 3]


async def test_pages_stay_put_while_frames_come_and_go(open_log: OpenLog) -> None:
    """Each frame that is there from beginning to end is shown once."""
    async with open_log(small(retained_s=100.0)) as history:
        await history.append([frame(n) for n in range(1, 21)])
        seen, after = [], None
        for step in range(40):
            page = await history.frames("default", "alpha-gw", 0, EVER, after, 3)
            seen += [each.sequence for each in page.frames]
            await history.append([frame(100 + step), frame(1 + step, agent="beta-gw")])
            await history.prune((100 + 1 + 2 * step) * SECOND)
            after = page.next_after
            if after is None:
                break
        # Ageing out overtakes the reader, who goes on behind it.
        assert seen == sorted(set(seen))
        assert set(seen) >= {*range(1, 4), *range(15, 21)}


async def test_a_page_says_whether_more_follow(open_log: OpenLog) -> None:
    """None at the end; a limit outside its bounds is refused."""
    async with open_log() as history:
        await history.append([frame(n) for n in range(1, 8)])
        page = await history.frames("default", "alpha-gw", 0, EVER, None, 7)
        assert len(page.frames) == 7
        assert page.next_after is None
        assert [each.sequence for each in await read_all(history, limit=2)] == list(range(1, 8))
        for limit in (0, PAGE_MAX + 1):
            with pytest.raises(ValueError, match="limit"):
                await history.frames("default", "alpha-gw", 0, EVER, None, limit)
            with pytest.raises(ValueError, match="limit"):
                await history.gaps("default", None, 0, EVER, None, limit)


async def all_gaps(history: History, agent: str | None = None) -> list[GapRecord]:
    """Every gap of the default tenant, a page of two at a time."""
    found: list[GapRecord] = []
    after = None
    while True:
        page = await history.gaps("default", agent, 0, EVER, after, 2)
        found += page.gaps
        after = page.next_after
        if after is None:
            return found


async def test_gaps_that_touch_are_one(open_log: OpenLog) -> None:
    """Of one spool and one reason; their samples are added, their times joined."""
    others = [
        gap(8, 9, reason="corrupt"),
        gap(8, 9, spool_id="spool-2"),
        gap(8, 9, agent="beta-gw"),
    ]
    async with open_log() as history:
        await history.declare([gap(5, 7), *others])
        await history.declare([gap(10, 12)])
        assert await all_gaps(history) == [gap(5, 7), *others, gap(10, 12)]
        await history.declare([gap(8, 9, declared_us=7)])
        assert await all_gaps(history) == [gap(5, 12, declared_us=7), *others]
        assert await all_gaps(history, "beta-gw") == others[2:]
    async with open_log() as history:
        assert await all_gaps(history) == [gap(5, 12, declared_us=7), *others]
        assert (await history.gaps("other", None, 0, EVER)).gaps == ()


async def test_a_gap_declared_again_is_counted_once(open_log: OpenLog) -> None:
    """As it was, as a part, or grown since: its acknowledgement was lost."""
    async with open_log() as history:
        await history.declare([gap(5, 7), gap(5, 7), gap(6, 6)])
        assert await all_gaps(history) == [gap(5, 7)]
        await history.declare([gap(4, 9)])
        await history.declare([gap(5, 7)])
        assert await all_gaps(history) == [gap(4, 9)]


async def test_gaps_are_found_by_time(open_log: OpenLog) -> None:
    """Those that overlap the half-open range."""
    async with open_log() as history:
        await history.declare([gap(2, 3), gap(6, 7)])
        for from_us, to_us, found in [
            (0, 2 * SECOND, []),
            (0, 2 * SECOND + 1, [gap(2, 3)]),
            (4 * SECOND - 1, 6 * SECOND, [gap(2, 3)]),
            (4 * SECOND, 6 * SECOND, []),
            (3 * SECOND, 3 * SECOND, []),
            (3 * SECOND, EVER, [gap(2, 3), gap(6, 7)]),
        ]:
            page = await history.gaps("default", "alpha-gw", from_us, to_us)
            assert page.gaps == tuple(found)


async def test_a_gap_that_was_filled_is_none(open_log: OpenLog) -> None:
    """Whether the frames came before the declaration or after it."""
    async with open_log() as history:
        await history.append([frame(1), frame(2)])
        await history.declare([gap(1, 2), gap(4, 5)])
        assert await all_gaps(history) == [gap(4, 5)]
        await history.append([frame(5)])
        assert await all_gaps(history) == [gap(4, 5)]
        await history.append([frame(4)])
        assert await all_gaps(history) == []
    async with open_log() as history:
        (spool,) = await history.sequences("default", "alpha-gw")
        assert [(each.first, each.last) for each in spool.stored] == [(1, 2), (4, 5)]
        assert spool.declared == ()


async def test_sequences_say_what_is_stored_and_what_is_declared(open_log: OpenLog) -> None:
    """As few stretches as there can be, nothing in both, spools in the order first seen."""
    expected = (
        SpoolSequences(
            spool_id="spool-9",
            stored=(
                Stretch(1, 3, SECOND, 4 * SECOND - 1),
                Stretch(5, 5, 5 * SECOND, 6 * SECOND - 1),
                Stretch(9, 9, 9 * SECOND, 10 * SECOND - 1),
            ),
            declared=(
                Stretch(4, 4, 4 * SECOND, 5 * SECOND),
                Stretch(6, 7, 6 * SECOND - 1, 8 * SECOND - 1),
            ),
        ),
        SpoolSequences(spool_id="spool-1", stored=(), declared=(Stretch(1, 1, 1, 1),)),
    )
    async with open_log() as history:
        await history.append([frame(n, spool_id="spool-9") for n in (1, 9, 3, 5)])
        await history.declare(
            [gap(4, 7, spool_id="spool-9"), gap(1, 1, from_us=1, to_us=1)],
        )
        await history.append([frame(2, spool_id="spool-9"), frame(1, agent="beta-gw")])
        assert await history.sequences("default", "alpha-gw") == expected
        assert await history.sequences("other", "alpha-gw") == ()
    async with open_log() as history:
        assert await history.sequences("default", "alpha-gw") == expected
