"""Both real state machines over a channel that does what channels do, and worse.

Messages are lost, repeated, delayed beyond all deadlines and delivered in any order, also
those of sessions long gone; either end dies before or after any of its writes and comes back
with what was durable; the edge's clock is off by anything.
"""

import os
from itertools import count
from typing import TypeAlias, assert_never

import msgspec
import trio
from dispatch_verdict import complaints, left_a_final_state
from hypothesis import given, note, settings
from hypothesis import strategies as st
from lossy_pair import ASSET_ID, Pair, headend_us
from trio.testing import MockClock

from dercp.model.dispatch import (
    GRACE_S,
    AssetTarget,
    DispatchRequest,
    DispatchState,
    Source,
)
from dercp.model.time import us_from_s

EXAMPLES = int(os.environ.get("DERCP_DISPATCH_EXAMPLES", "600"))
STEPS_MIN, STEPS_MAX = 20, 60


class Post(msgspec.Struct, frozen=True):
    """An operator hands in a dispatch."""

    start_in_s: float
    lasts_s: float
    deliver_within_s: float
    priority: int


class CancelOne(msgspec.Struct, frozen=True):
    """An operator lets one end early."""

    which: int


class Pass(msgspec.Struct, frozen=True):
    """Nothing arrives for a while."""

    seconds: float


class Flow(msgspec.Struct, frozen=True):
    """Everything arrives, in order."""


class Deliver(msgspec.Struct, frozen=True):
    """One message arrives; `again` if it is to arrive once more some time."""

    upward: bool
    which: int
    again: bool


class Lose(msgspec.Struct, frozen=True):
    """One message never arrives."""

    upward: bool
    which: int


class Connect(msgspec.Struct, frozen=True):
    """A session begins; a former one may be believed in still."""

    there_s: float
    back_s: float


class Notice(msgspec.Struct, frozen=True):
    """One end notices that the link is gone."""

    end: Source


class Kill(msgspec.Struct, frozen=True):
    """One end dies, at the n-th place from now where it makes a difference; 0 = now."""

    end: Source
    at: int


class Start(msgspec.Struct, frozen=True):
    """One end comes back, if it is dead."""

    end: Source


class Refuse(msgspec.Struct, frozen=True):
    """The device refuses what it is told next."""

    times: int


Step: TypeAlias = (
    Post | CancelOne | Pass | Flow | Deliver | Lose | Connect | Notice | Kill | Start | Refuse
)

WHICH = st.integers(0, 7)
ENDS = st.sampled_from([Source.EDGE, Source.HEADEND])
POSTS = st.builds(
    Post,
    start_in_s=st.sampled_from([0.0, 0.0, 0.0, 4.0, 20.0]),
    lasts_s=st.sampled_from([2.0, 10.0, 60.0]),
    deliver_within_s=st.sampled_from([1.0, 5.0, 40.0]),
    priority=st.sampled_from([0, 0, 0, 1]),
)
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(Pass, seconds=st.sampled_from([0.0, 0.1, 1.0, 3.0, 8.0, 30.0, 70.0])),
    POSTS,
    POSTS,
    st.just(Flow()),
    st.just(Flow()),
    st.builds(Deliver, st.booleans(), WHICH, st.booleans()),
    st.builds(Lose, st.booleans(), WHICH),
    st.builds(
        Connect, there_s=st.sampled_from([0.0, 0.2, 3.0]), back_s=st.sampled_from([0.0, 0.2, 3.0])
    ),
    st.builds(Notice, ENDS),
    st.builds(Kill, ENDS, at=st.integers(0, 9)),
    st.builds(Start, ENDS),
    st.builds(CancelOne, WHICH),
    st.builds(Refuse, st.integers(1, 2)),
)
CLOCKS_OFF_S = st.sampled_from([0.0, 1.5, -1.5, 600.0, -600.0, -3e7, 3e7])


class Story:
    """One life of a pair."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._setpoints_mw = count(1)
        self._round_trips_s = [0.0]

    async def live(self, steps: list[Step]) -> None:
        """Let it all happen, then heal, and look at what it has come to."""
        pair = self._pair
        await pair.start_edge()
        await pair.connect(0.0, 0.0)
        for step in steps:
            await self._take(step)
            self._look()
        await self._heal()
        early_us = us_from_s(max(self._round_trips_s)) + 10
        for dispatch in pair.ledger.values():
            note(
                f"{dispatch.dispatch_id}: {[(e.state.value, e.reason) for e in dispatch.timeline]}"
            )
            assert list(complaints(dispatch, pair.device.memory, early_us)) == []
            assert pair.taken_us.get(dispatch.dispatch_id, 0) < dispatch.request.deliver_by_us
            if not pair.edge_faults:
                assert dispatch.state is not DispatchState.FAILED
        assert pair.edge is not None
        assert pair.edge.keeper.book.in_force is None
        assert not pair.edge.keeper.owes_fallback

    async def _take(self, step: Step) -> None:  # noqa: C901, PLR0912 - one case for each step
        pair = self._pair
        match step:
            case Post():
                self._post(step)
            case CancelOne(which):
                if pair.ledger:
                    pair.cancel(sorted(pair.ledger)[which % len(pair.ledger)])
            case Pass(seconds):
                await pair.pass_time(seconds)
            case Flow():
                await pair.flow()
            case Deliver(upward, which, again):
                if upward and pair.up:
                    pair.deliver_up(which % len(pair.up), again=again)
                elif not upward and pair.down:
                    await pair.deliver_down(which % len(pair.down), again=again)
            case Lose(upward, which):
                if under_way := (pair.up if upward else pair.down):
                    del under_way[which % len(under_way)]
            case Connect(there_s, back_s):
                self._round_trips_s.append(there_s + back_s)
                await pair.connect(there_s, back_s)
            case Notice(end):
                pair.lose_link(end)
            case Kill(end, at):
                self._kill(end, at)
            case Start(end):
                await self._start(end)
            case Refuse(times):
                pair.device.refusals = times
                pair.edge_faults += 1
            case _:
                assert_never(step)

    def _post(self, step: Post) -> None:
        # All setpoints differ, and are within the nameplate.
        setpoint_mw = round(0.01 * next(self._setpoints_mw), 2)
        start_us = headend_us() + us_from_s(step.start_in_s)
        until_us = start_us + us_from_s(step.lasts_s)
        self._pair.post(
            DispatchRequest(
                target=AssetTarget(ASSET_ID),
                setpoint_mw=setpoint_mw,
                start_us=start_us,
                until_us=until_us,
                deliver_by_us=min(until_us, headend_us() + us_from_s(step.deliver_within_s)),
                priority=step.priority,
            )
        )

    def _kill(self, end: Source, at: int) -> None:
        pair = self._pair
        if end is Source.EDGE:
            if at:
                pair.edge_fuse.left = at
            elif pair.edge is not None:
                pair.kill_edge()
        elif at:
            pair.headend_fuse.left = at
        else:
            pair.kill_headend()

    async def _start(self, end: Source) -> None:
        if end is Source.EDGE:
            await self._pair.start_edge()
        else:
            self._pair.start_headend()

    def _look(self) -> None:
        """What holds at any time."""
        for dispatch in self._pair.ledger.values():
            assert not left_a_final_state(dispatch)
            ends_us = dispatch.request.until_us + us_from_s(GRACE_S)
            # A headend that has just come back has not looked at the time yet.
            if self._pair.headend_lives and headend_us() > ends_us + us_from_s(1.0):
                self._pair.look_at_time()
                assert self._pair.ledger[dispatch.dispatch_id].is_final or self._has_died()

    def _has_died(self) -> bool:
        """Whether the headend is dead, perhaps since a moment ago."""
        return not self._pair.headend_lives

    async def _heal(self) -> None:
        """Both ends live, the device obeys, the link holds, and all deadlines pass."""
        pair = self._pair
        pair.edge_fuse.left = pair.headend_fuse.left = -1
        pair.device.refusals = 0
        for _ in range(2):
            await pair.start_edge()
            pair.start_headend()
            await pair.connect(0.0, 0.0)
            await pair.flow()
            await pair.pass_time(80.0 + GRACE_S + 1.0)
            await pair.flow()


@settings(max_examples=EXAMPLES)
@given(st.lists(STEPS, min_size=STEPS_MIN, max_size=STEPS_MAX), CLOCKS_OFF_S)
def test_whatever_the_channel_does_the_two_ends_agree(
    steps: list[Step], clock_off_s: float
) -> None:
    """No end is left, nothing done late or twice, and the headend says what the device did."""

    async def live() -> None:
        await Story(Pair(clock, clock_off_s)).live(steps)

    clock = MockClock()
    trio.run(live, clock=clock)
