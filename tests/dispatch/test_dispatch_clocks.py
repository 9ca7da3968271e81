"""An edge whose clock is ten minutes off, and a headend that is not."""

from pathlib import Path

import pytest
import trio
from dispatch_verdict import RELEASE
from two_ends import headend_us, in_virtual_time, request, two_ends

from dercp.model.dispatch import DispatchReason, DispatchState, Source
from dercp.model.quality import Quality, Reason
from dercp.model.time import us_from_s

SEED = 1
TEN_MINUTES_S = 600.0


@pytest.mark.parametrize("off_s", [-TEN_MINUTES_S, TEN_MINUTES_S])
def test_with_a_clock_that_is_off_now_is_now_and_later_is_refused(
    tmp_path: Path, off_s: float
) -> None:
    """Typed; what begins at once is carried out to the second, by the headend's clock."""

    async def story() -> None:
        async with two_ends(tmp_path, clock_off_s=off_s) as ends:
            at_once = await ends.submit(request(1.0), "at once")
            later = await ends.submit(request(1.5, starts_in_s=60.0), "later")
            refused = await ends.wait_final(later.dispatch_id, 5.0)
            assert refused.state is DispatchState.REJECTED
            assert refused.timeline[-1].reason == DispatchReason.CLOCK_SUSPECT
            assert refused.timeline[-1].source is Source.EDGE
            done = await ends.wait_final(at_once.dispatch_id, 30.0)
            assert done.state is DispatchState.COMPLETED
            assert ends.device.went_through() == [RELEASE, 1.0, RELEASE]
            released_us = ends.device.memory[-1].at_us
            assert abs(released_us - done.request.until_us) < us_from_s(1.0)
            # Also by one that has to begin anew, with nobody to tell it the time.
            again = await ends.submit(request(0.5), "again")
            await trio.sleep(2.0)
            ends.headend.kill(60.0)
            ends.edge.kill(2.0)
            await trio.sleep(30.0)
            assert ends.device.went_through()[-2:] == [0.5, RELEASE]
            assert abs(ends.device.memory[-1].at_us - again.request.until_us) < us_from_s(1.0)

    in_virtual_time(SEED, story)


@pytest.mark.parametrize("off_s", [-TEN_MINUTES_S, TEN_MINUTES_S])
def test_what_is_stamped_by_a_clock_that_is_off_is_kept_and_says_so(
    tmp_path: Path, off_s: float
) -> None:
    """In the latest values and in the history."""

    async def story() -> None:
        async with two_ends(tmp_path, clock_off_s=off_s) as ends:
            await trio.sleep(30.0)
            assert ends.headend.plant is not None
            latest = ends.headend.plant.headend.reader.telemetry("bess-1")
            assert latest is not None
            (power,) = [each for each in latest.points if each.name == "active_power_mw"]
            assert power.value == 0.0
            assert power.quality is Quality.UNCERTAIN
            assert Reason.CLOCK_SUSPECT in power.reasons
            assert latest.source_time_us is not None
            assert abs(latest.source_time_us - headend_us() - us_from_s(off_s)) < us_from_s(10.0)
            # A row every 5 s, all of them stored.
            assert len(ends.headend.disk.frames) >= 6

    in_virtual_time(SEED, story)
