"""Vehicles come, charge as fast as they are let, and go."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dercp.model.points import OperatingState
from sim.conditions import Conditions
from sim.ev import _VISITS_BY_HOUR, EvPlant, EvState, Session, fair_shares, visitor, wait_before

SITE = EvPlant(p_min_mw=-0.6, seed="test")


def run(
    weather: Conditions, setpoint_mw: float, *, minutes: int, plant: EvPlant = SITE
) -> list[EvState]:
    """All states of so many minutes, in steps of ten seconds."""
    states = [plant.start(weather)]
    for _ in range(minutes * 6):
        states.append(plant.step(states[-1], 10.0, weather, setpoint_mw))
    return states


@given(demands=st.lists(st.floats(0, 0.3), max_size=20), limit=st.floats(0, 2))
def test_shares_are_fair(demands: list[float], limit: float) -> None:
    """All of the limit is used, nobody gets more than asked, nobody is envied."""
    shares = fair_shares(demands, limit)
    assert sum(shares) == pytest.approx(min(limit, sum(demands)))
    assert all(share <= demand + 1e-12 for share, demand in zip(shares, demands, strict=True))
    unmet = [s for s, d in zip(shares, demands, strict=True) if s < d - 1e-9]
    assert all(share >= max(shares) - 1e-9 for share in unmet)


def test_a_small_demand_is_met_first() -> None:
    """0.6 MW over 0.1, 0.3 and 0.4 MW: the small one whole, the others 0.25 each."""
    assert fair_shares([0.4, 0.1, 0.3], 0.6) == pytest.approx([0.25, 0.1, 0.25])


def test_the_cap_holds_within_seconds_and_is_used(noon: Conditions) -> None:
    """Two seconds after the order no more than the cap is taken; waiting vehicles use it all."""
    state = SITE.start(noon)
    assert -state.active_power_mw > 0.3
    for _ in range(2):
        state = SITE.step(state, 1.0, noon, -0.2)
    assert state.active_power_mw == pytest.approx(-0.2)
    assert SITE.values(state, noon)["operating_state"] == OperatingState.THROTTLED
    assert SITE.values(state, noon)["available_min_mw"] == pytest.approx(-state.demand_mw)


def test_a_cap_of_zero_stops_charging(noon: Conditions) -> None:
    """Vehicles stay, energy does not flow."""
    last = run(noon, 0.0, minutes=2)[-1]
    assert last.active_power_mw == 0
    assert last.sessions


@given(setpoint=st.floats(-0.6, 0))
def test_the_vehicles_get_what_the_meter_counts_less_the_loss(
    noon: Conditions, setpoint: float
) -> None:
    """Imported energy is what the sessions were given; batteries keep 92 % of it."""
    closed = replace(SITE, visits_per_connector_day=0.0)
    states = run(noon, setpoint, minutes=3, plant=closed)
    first, last = states[0], states[-1]
    delivered = sum(session.delivered_mwh for session in last.sessions)
    assert len(last.sessions) == len(first.sessions)
    assert last.energy_imported_mwh == pytest.approx(delivered)
    stored = [
        (after.soc_pct - before.soc_pct) / 100 * before.battery_mwh
        for before, after in zip(first.sessions, last.sessions, strict=True)
    ]
    assert sum(stored) == pytest.approx(0.92 * delivered)


def test_a_vehicle_leaves_when_it_has_what_it_came_for(noon: Conditions) -> None:
    """Nobody passes the target; the connector is free again."""
    closed = replace(SITE, visits_per_connector_day=0.0)
    states = run(noon, -0.6, minutes=180, plant=closed)
    for state in states:
        assert all(session.soc_pct <= session.target_soc_pct for session in state.sessions)
    assert states[-1].sessions == ()
    values = closed.values(states[-1], noon)
    assert values["connectors_occupied"] == 0
    assert values["vehicle_soc_pct"] is None
    assert values["operating_state"] == OperatingState.STANDBY


def test_a_driver_does_not_wait_for_ever(noon: Conditions) -> None:
    """After three hours without energy even a patient one leaves."""
    closed = replace(SITE, visits_per_connector_day=0.0)
    assert run(noon, 0.0, minutes=178, plant=closed)[-1].sessions
    assert run(noon, 0.0, minutes=182, plant=closed)[-1].sessions == ()


def test_a_full_battery_charges_slowly() -> None:
    """Full rating below the knee, 15 % of it at the top, never more than the connector."""
    session = Session(battery_mwh=0.08, rating_mw=0.1, target_soc_pct=100, soc_pct=30)
    assert session.demand_mw(0.15) == 0.1
    assert session.demand_mw(0.05) == 0.05
    assert replace(session, soc_pct=100).demand_mw(0.15) == pytest.approx(0.015)


def test_visitors_come_as_a_poisson_process(noon: Conditions) -> None:
    """A day brings as many as the rate says; the waits between them are exponential."""
    state = SITE.start(noon)
    began = state.visits
    days = 30
    for step in range(days * 24 * 60):
        hour = replace(noon, hour_of_day=step / 60 % 24)
        state = SITE.step(state, 60.0, hour, -0.6)
    expected = days * 12 * 8
    assert state.visits - began == pytest.approx(expected, abs=4 * expected**0.5)
    assert sum(_VISITS_BY_HOUR) == pytest.approx(1)
    waits = [wait_before("test", number) for number in range(5000)]
    assert statistics.fmean(waits) == pytest.approx(1, abs=0.06)
    assert statistics.pstdev(waits) == pytest.approx(1, abs=0.1)


def test_more_come_by_day_than_by_night(noon: Conditions) -> None:
    """Three in the morning is quiet."""
    night = replace(noon, hour_of_day=3.0)
    by_night = run(night, -0.6, minutes=600)[-1].visits
    assert by_night < run(noon, -0.6, minutes=600)[-1].visits / 3


def test_no_more_vehicles_than_connectors(noon: Conditions) -> None:
    """Who finds none free drives on, and is still a visitor."""
    busy = replace(SITE, visits_per_connector_day=500.0)
    states = run(noon, -0.05, minutes=30, plant=busy)
    assert max(len(state.sessions) for state in states) == 8
    assert states[-1].visits > 100


def test_a_visitor_is_known_by_number() -> None:
    """The same seed and number are the same vehicle; another site has other visitors."""
    assert visitor("a", 5) == visitor("a", 5)
    assert visitor("a", 5) != visitor("b", 5)
