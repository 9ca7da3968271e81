"""Pace and intake: the small pure parts."""

import math

from hypothesis import assume, given
from hypothesis import strategies as st

from dercp.edge.asset.intake import admit
from dercp.edge.asset.lease import Lease
from dercp.edge.asset.pace import Pace
from dercp.model.dispatch import AssetTarget, DispatchRequest, ExpiredAtEdge, Rejected
from dercp.wire.dispatch import Order

NOW_US = 1_800_000_000_000_000


# ---------------------------------------------------------------------- pace


def test_polls_keep_to_their_ticks_and_count_what_they_miss() -> None:
    """A poll of 2.5 intervals misses two ticks and does not move the others."""
    pace = Pace(100.0, 1.0)
    pace = pace.polled(100.2)
    assert (pace.next_s, pace.missed) == (101.0, 0)
    pace = pace.polled(103.5)
    assert (pace.next_s, pace.missed) == (104.0, 2)


@given(
    interval_s=st.floats(0.01, 3600),
    origin_s=st.floats(0, 1e6),
    delays=st.lists(st.floats(0, 10), max_size=50),
)
def test_ticks_never_drift_and_never_come_twice(
    interval_s: float, origin_s: float, delays: list[float]
) -> None:
    """The next tick is always ahead, on the grid, and every tick is polled or missed."""
    pace = Pace(origin_s, interval_s)
    for polls, delay in enumerate(delays, start=1):
        now_s = pace.next_s + delay * interval_s
        pace = pace.polled(now_s)
        assert pace.next_s > now_s or math.isclose(pace.next_s, now_s)
        assert pace.next_s == origin_s + pace.tick * interval_s
        assert pace.tick == polls + pace.missed


# -------------------------------------------------------------------- intake


def order(
    *,
    setpoint_mw: float = 1.0,
    start_in_s: float = 0,
    until_in_s: float = 60,
    deliver_within_s: float = 30,
) -> Order:
    """A dispatch for a minute from now."""
    return Order(
        dispatch_id="d-1",
        revision=2,
        request=DispatchRequest(
            target=AssetTarget("bess-1"),
            setpoint_mw=setpoint_mw,
            start_us=NOW_US + round(start_in_s * 1e6),
            until_us=NOW_US + round(until_in_s * 1e6),
            deliver_by_us=NOW_US + round(deliver_within_s * 1e6),
            priority=7,
        ),
    )


def admitted(asked: Order, *, late_s: float = 0.0, clock_off_s: float = 0.0) -> object:
    """At 1000 s of monotonic time."""
    return admit(
        asked,
        now_us=NOW_US + round(late_s * 1e6),
        now_s=1000.0,
        clock_off_s=clock_off_s,
        clock_off_s_max=2.0,
    )


def test_an_order_in_time_becomes_a_lease_in_monotonic_time() -> None:
    """From here on no clock matters."""
    expected = Lease(
        dispatch_id="d-1", revision=2, setpoint_mw=1.0, start_s=1000, until_s=1060, priority=7
    )
    assert admitted(order()) == expected


def test_an_order_for_later_starts_later() -> None:
    """And one for earlier starts now."""
    later = admitted(order(start_in_s=10))
    assert isinstance(later, Lease)
    assert later.start_s == 1010
    sooner = admitted(order(start_in_s=-10), late_s=5)
    assert isinstance(sooner, Lease)
    assert (sooner.start_s, sooner.until_s) == (1000, 1055)


def test_an_order_after_deliver_by_or_until_has_expired() -> None:
    """A stale command is never obeyed, not by a microsecond."""
    assert isinstance(admitted(order(deliver_within_s=30), late_s=29.9), Lease)
    assert admitted(order(deliver_within_s=30), late_s=31.5) == ExpiredAtEdge(
        detail="it came 1.5 s too late"
    )
    assert isinstance(admitted(order(deliver_within_s=90), late_s=60), ExpiredAtEdge)


def test_a_window_that_nobody_can_mean_is_rejected() -> None:
    """Backwards, or for days."""
    assert isinstance(admitted(order(start_in_s=70)), Rejected)
    assert isinstance(admitted(order(until_in_s=50 * 3600)), Rejected)


def test_with_a_clock_that_is_off_nothing_is_taken_for_later() -> None:
    """After a restart without a headend it would begin by that clock; what begins now may."""
    turned_away = admitted(order(start_in_s=10), clock_off_s=-2.1)
    assert isinstance(turned_away, Rejected)
    assert turned_away.reason == "clock_suspect"
    assert turned_away.detail.startswith("the clock at the site is -2.1 s off the headend's")
    assert isinstance(admitted(order(start_in_s=10), clock_off_s=1.9), Lease)
    assert isinstance(admitted(order(start_in_s=5), clock_off_s=600), Lease)


@given(
    setpoint_mw=st.floats(),
    start_in_s=st.floats(-1e6, 1e6),
    until_in_s=st.floats(-1e6, 1e6),
    late_s=st.floats(0, 1e6),
)
def test_a_lease_always_ends_after_it_starts_and_within_two_days(
    setpoint_mw: float, start_in_s: float, until_in_s: float, late_s: float
) -> None:
    """Whatever is asked."""
    assume(math.isfinite(setpoint_mw))
    asked = order(setpoint_mw=setpoint_mw, start_in_s=start_in_s, until_in_s=until_in_s)
    lease = admitted(asked, late_s=late_s)
    if isinstance(lease, Lease):
        assert 1000 <= lease.start_s < lease.until_s <= 1000 + 49 * 3600
