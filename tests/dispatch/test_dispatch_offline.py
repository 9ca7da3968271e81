"""What waits for an end that is away: a stale setpoint never, a schedule on time."""

from pathlib import Path

import pytest
import trio
from dispatch_verdict import RELEASE, complaints
from two_ends import TwoEnds, headend_us, in_virtual_time, request, two_ends

from dercp.model.dispatch import AssetTarget, Dispatch, DispatchReason, DispatchState, Source
from dercp.model.schedule import Block, Schedule
from dercp.model.time import us_from_s

SEED = 1
HOUR_S = 3600.0
BLOCKS = 12
BLOCK_S = HOUR_S / BLOCKS
# Where two blocks were meant to touch; the model bridges up to 10 s.
GAP_S = 4.0
GAP_AFTER = 6
SECOND_US = us_from_s(1.0)


def test_a_stale_setpoint_that_waits_for_its_agent_is_never_applied(tmp_path: Path) -> None:
    """The agent comes back a second after deliver_by, and long before until."""

    async def story() -> None:
        async with two_ends(tmp_path) as ends:
            await ends.edge.cut()
            await trio.sleep(2.0)
            taken = await ends.submit(request(1.0, lasts_s=600.0, deliver_within_s=20.0), "one")
            assert taken.state is DispatchState.SUBMITTED
            await trio.sleep(21.0)
            ends.edge.cut_off = False
            await ends.wait_live()
            dispatch = await ends.wait_final(taken.dispatch_id, 700.0)
            assert dispatch.state is DispatchState.EXPIRED
            assert dispatch.timeline[-1].source is Source.HEADEND
            assert not dispatch.ever_sent
            assert ends.device.went_through() == [RELEASE]

    in_virtual_time(SEED, story)


def test_a_setpoint_that_the_link_holds_until_it_is_stale_is_never_applied(
    tmp_path: Path,
) -> None:
    """It left in time, arrives a second late, and the edge says so."""

    async def story() -> None:
        async with two_ends(tmp_path) as ends:
            ends.edge.held_up_s = 21.0
            taken = await ends.submit(request(1.0, lasts_s=600.0, deliver_within_s=20.0), "one")
            assert taken.state is DispatchState.SENT
            dispatch = await ends.wait_final(taken.dispatch_id, 700.0)
            assert dispatch.state is DispatchState.EXPIRED
            assert dispatch.timeline[-1].source is Source.EDGE
            assert ends.device.went_through() == [RELEASE]

    in_virtual_time(SEED, story)


async def sent_into_the_void(ends: TwoEnds) -> Dispatch:
    """A dispatch whose agent died with it in its hands and came back after deliver_by, ended."""
    ends.steps.plan(3, lambda: ends.edge.kill(30.0))
    ends.steps.counts = True
    taken = await ends.submit(request(1.0, lasts_s=600.0, deliver_within_s=20.0), "one")
    await trio.sleep(60.0)
    assert ends.steps.names[2] == "edge: dispatch has come"
    assert ends.edge.is_live()
    return await ends.wait_final(taken.dispatch_id, 800.0)


def test_what_was_sent_into_the_void_is_not_sent_again_when_it_is_stale(tmp_path: Path) -> None:
    """Nor carried out."""

    async def story() -> None:
        async with two_ends(tmp_path) as ends:
            assert (await sent_into_the_void(ends)).is_final
            assert ends.device.went_through() == [RELEASE]

    in_virtual_time(SEED, story)


def test_what_was_sent_into_the_void_stays_unknown(tmp_path: Path) -> None:
    """A journal that has nothing of it proves nothing: it may be another one than took it."""

    async def story() -> None:
        async with two_ends(tmp_path) as ends:
            void = await sent_into_the_void(ends)
            assert (void.state, void.timeline[-1].reason) == ("unknown", "no_answer")

    in_virtual_time(SEED, story)


def hour(start_us: int) -> Schedule:
    """Twelve blocks of five minutes, each with a setpoint of its own; and one gap of seconds."""
    blocks = []
    for number in range(BLOCKS):
        from_us = start_us + us_from_s(number * BLOCK_S)
        to_us = from_us + us_from_s(BLOCK_S - (GAP_S if number == GAP_AFTER else 0.0))
        blocks.append(Block(from_us, to_us, round(0.1 + 0.1 * number, 1)))
    return Schedule(
        schedule_id="",
        target=AssetTarget("bess-1"),
        blocks=tuple(blocks),
        deliver_by_us=headend_us() + us_from_s(30.0),
    )


async def handed_over(ends: TwoEnds, schedule: Schedule) -> list[Dispatch]:
    """All blocks of a schedule, once the edge has them."""
    first = await ends.insist(
        lambda plant: plant.headend.desk.submit_schedule(schedule, key="k", fingerprint="body")
    )
    await trio.sleep(5.0)
    blocks = list(ends.headend.disk.dispatches.values())
    assert {each.request.schedule_id for each in blocks} == {first.request.schedule_id}
    assert {each.state for each in blocks} == {DispatchState.ACKED}
    return blocks


@pytest.mark.parametrize("edge_dies", [0.0, 20.0])
def test_an_hour_of_blocks_runs_to_the_second_with_the_headend_gone(
    tmp_path: Path, edge_dies: float
) -> None:
    """And is known when it is back; also when the agent was killed and started in between."""

    async def story() -> None:
        async with two_ends(tmp_path) as ends:
            start_us = headend_us() + us_from_s(60.0)
            schedule = hour(start_us)
            taken = await handed_over(ends, schedule)
            ends.headend.kill(1.5 * HOUR_S)
            if edge_dies:
                await trio.sleep(0.5 * HOUR_S)
                ends.edge.kill(edge_dies)
            while ends.headend.plant is None:  # noqa: ASYNC110 - a headend tells nobody
                await trio.sleep(10.0)
            told_us: dict[float | str, int] = {}
            for told in ends.device.memory:
                told_us.setdefault(told.what, told.at_us)
            setpoints_mw = [block.setpoint_mw for block in schedule.blocks]
            assert ends.device.went_through() == [RELEASE, *setpoints_mw, RELEASE]
            for block in schedule.blocks:
                assert 0 <= told_us[block.setpoint_mw] - block.start_us < SECOND_US
            (released,) = ends.device.memory[-1:]
            assert 0 <= released.at_us - schedule.blocks[-1].until_us < SECOND_US
            await ends.wait_live()
            await trio.sleep(10.0)
            for each in taken:
                dispatch = ends.dispatch(each.dispatch_id)
                assert dispatch.state is DispatchState.COMPLETED
                assert dispatch.outcome is not None
                assert list(complaints(dispatch, ends.device.memory)) == []
            assert ends.complaints() == []

    in_virtual_time(SEED, story)


@pytest.mark.parametrize("away_s", [600.0, 2.5 * HOUR_S])
def test_a_last_word_that_a_dying_headend_did_not_write_is_said_again(
    tmp_path: Path, away_s: float
) -> None:
    """However long it is away: what was unknown is resolved by the edge's journal."""

    async def story() -> None:
        async with two_ends(tmp_path) as ends:
            taken = await ends.submit(request(1.0), "one")
            await trio.sleep(9.0)
            assert ends.dispatch(taken.dispatch_id).state is DispatchState.FOLLOWING

            def die() -> None:
                ends.edge.on_said = lambda: None
                ends.headend.kill(away_s)

            ends.edge.on_said = die
            dispatch = await ends.wait_final(taken.dispatch_id, away_s + 200.0)
            await trio.sleep(200.0)
            stories = [
                entry.reason or entry.state for entry in ends.dispatch(taken.dispatch_id).timeline
            ]
            assert dispatch.is_final
            assert stories[-2:] == [DispatchReason.NO_END_HEARD, DispatchState.COMPLETED]

    in_virtual_time(SEED, story)
