"""A battery keeps its books, its window and its setpoint."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dercp.model.points import OperatingState
from sim.conditions import Conditions
from sim.storage import StoragePlant, StorageState

BATTERY = StoragePlant(p_min_mw=-2.0, p_max_mw=2.0, energy_capacity_mwh=4.0)
WAY = math.sqrt(BATTERY.round_trip_efficiency)

paces = st.floats(0.01, 900)
setpoints = st.floats(-3, 3)


def soc_pct(plant: StoragePlant, state: StorageState, noon: Conditions) -> float:
    """The state of charge, which a battery always knows."""
    soc = plant.values(state, noon)["soc_pct"]
    assert soc is not None
    return soc


def run(plant: StoragePlant, noon: Conditions, setpoint_mw: float, *, seconds: int) -> StorageState:
    """The state after so many seconds of this."""
    state = plant.start(noon)
    for _ in range(seconds):
        state = plant.step(state, 1.0, noon, setpoint_mw)
    return state


@given(initial_pct=st.floats(0, 100), legs=st.lists(st.tuples(paces, setpoints), max_size=50))
def test_energy_is_conserved(
    noon: Conditions, initial_pct: float, legs: list[tuple[float, float]]
) -> None:
    """The cells gain what was imported less its loss, and give what was exported plus its loss."""
    plant = replace(BATTERY, initial_soc_pct=initial_pct)
    state = plant.start(noon)
    held = state.energy_mwh
    for elapsed_s, setpoint in legs:
        before = state
        state = plant.step(state, elapsed_s, noon, setpoint)
        drawn = (state.energy_exported_mwh - before.energy_exported_mwh) / WAY
        gained = (state.energy_imported_mwh - before.energy_imported_mwh) * WAY
        held = max(0.0, held + gained - drawn - plant.standby_mw * elapsed_s / 3600)
        assert state.energy_mwh == pytest.approx(held, abs=1e-9)


@given(initial_pct=st.floats(5, 95), legs=st.lists(st.tuples(paces, setpoints), max_size=50))
def test_power_never_leads_out_of_the_window(
    noon: Conditions, initial_pct: float, legs: list[tuple[float, float]]
) -> None:
    """Only standby loss may take the state of charge below the window."""
    plant = replace(BATTERY, initial_soc_pct=initial_pct, standby_mw=0.0)
    state = plant.start(noon)
    for elapsed_s, setpoint in legs:
        state = plant.step(state, elapsed_s, noon, setpoint)
        assert 5 - 1e-9 <= soc_pct(plant, state, noon) <= 95 + 1e-9


@given(setpoint=st.floats(-2, 2), before=st.floats(-2, 2))
def test_it_follows_within_a_second(noon: Conditions, setpoint: float, before: float) -> None:
    """From any power to any other, the full swing takes one second."""
    state = run(BATTERY, noon, before, seconds=2)
    for _ in range(4):
        state = BATTERY.step(state, 0.25, noon, setpoint)
    assert state.active_power_mw == pytest.approx(setpoint, abs=0.02 * 2.0)


def test_it_ramps_on_the_way(noon: Conditions) -> None:
    """A tenth of a second brings a fifth of the rating, not the setpoint."""
    state = BATTERY.step(BATTERY.start(noon), 0.1, noon, 2.0)
    assert state.active_power_mw == pytest.approx(0.4)


def test_a_round_trip_returns_88_percent(noon: Conditions) -> None:
    """Out and in again at the same state of charge: what came out is 0.88 of what went in."""
    plant = replace(BATTERY, standby_mw=0.0)
    state = run(plant, noon, -1.0, seconds=1800)
    while state.energy_mwh > 2.0:
        state = plant.step(state, 1.0, noon, 1.0)
    assert state.energy_exported_mwh / state.energy_imported_mwh == pytest.approx(0.88, rel=2e-3)


def test_near_empty_the_power_tapers_and_ends(noon: Conditions) -> None:
    """At 7.5 % half of the power is left, at 5 % none, and it says so beforehand."""
    half_way = replace(BATTERY, initial_soc_pct=7.5)
    assert half_way.start(noon).available_max_mw == pytest.approx(1.0)
    empty = run(replace(BATTERY, initial_soc_pct=6.0), noon, 2.0, seconds=4000)
    assert empty.active_power_mw == pytest.approx(0, abs=0.01)
    assert empty.available_min_mw == -2.0
    assert soc_pct(BATTERY, empty, noon) == pytest.approx(5, abs=0.1)


def test_a_full_battery_still_gives(noon: Conditions) -> None:
    """At 100 % it takes nothing and discharges at full power."""
    full = replace(BATTERY, initial_soc_pct=100.0)
    assert run(full, noon, -2.0, seconds=10).active_power_mw == 0
    assert run(full, noon, 2.0, seconds=10).active_power_mw == 2.0


def test_idle_cells_lose_a_little(noon: Conditions) -> None:
    """A day of waiting costs standby power times 24 h; the meter does not see it."""
    state = BATTERY.start(noon)
    for _ in range(24 * 4):
        state = BATTERY.step(state, 900.0, noon, 0.0)
    assert state.energy_mwh == pytest.approx(2.0 - 24 * BATTERY.standby_mw)
    assert state.energy_exported_mwh == state.energy_imported_mwh == 0
    assert BATTERY.values(state, noon)["operating_state"] == OperatingState.STANDBY


def test_losses_warm_the_cells_and_rest_cools_them(noon: Conditions) -> None:
    """Half an hour at full power shows on the thermometer, a night later it is gone."""
    warm = run(BATTERY, noon, 2.0, seconds=1800)
    assert 28 < warm.temperature_c < 37
    for _ in range(12 * 4):
        warm = BATTERY.step(warm, 900.0, noon, 0.0)
    assert warm.temperature_c == pytest.approx(25, abs=0.1)
