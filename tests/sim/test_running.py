"""A plant at work keeps to its clock, its setpoint and its timer."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.conditions import SiteConditions
from sim.running import Connection, RunningPlant, instants
from sim.storage import StoragePlant, StorageState

CONNECTION = Connection(rating_mva=2.0, nominal_voltage_v=13_800, nominal_frequency_hz=60)


def battery(started_s: float = 0.0) -> RunningPlant[StorageState]:
    """A battery of 2 MW and 4 MWh."""
    plant = StoragePlant(p_min_mw=-2.0, p_max_mw=2.0, energy_capacity_mwh=4.0)
    site = SiteConditions(1, start_hour=10)
    return RunningPlant(plant, site, CONNECTION, started_s=started_s)


def value(plant: RunningPlant[StorageState], point: str, at_s: float) -> float | None:
    """A point at a time."""
    plant.advance(at_s)
    return plant.values()[point]


def test_it_starts_without_a_setpoint() -> None:
    """Unknown, not zero: none is in force."""
    assert battery().values()["setpoint_mw"] is None


def test_a_setpoint_is_clamped_to_the_nameplate_and_followed() -> None:
    """What is in force is what the device can take, and so says the read-back."""
    plant = battery()
    assert plant.set(5.0, 1.0) == 2.0
    assert value(plant, "setpoint_mw", 1.0) == 2.0
    assert value(plant, "active_power_mw", 3.0) == 2.0
    assert plant.set(-5.0, 4.0) == -2.0


def test_released_it_goes_back_to_itself() -> None:
    """A battery left to itself waits."""
    plant = battery()
    plant.set(1.0, 1.0)
    plant.release(10.0)
    assert value(plant, "setpoint_mw", 12.0) is None
    assert value(plant, "active_power_mw", 12.0) == 0


def test_an_armed_setpoint_takes_over_in_time() -> None:
    """Not before, not after, even when nobody asked in between: the counters know when."""
    plant = battery()
    plant.set(1.0, 0.0)
    plant.advance(10.0)
    before = value(plant, "energy_exported_mwh", 10.0)
    plant.arm_revert(0.0, 60.0, 10.0)
    assert value(plant, "setpoint_mw", 69.9) == 1.0
    assert value(plant, "setpoint_mw", 1000.0) == 0.0
    exported = value(plant, "energy_exported_mwh", 1000.0)
    assert before is not None
    assert exported == pytest.approx(before + 60 / 3600, rel=1e-6)


def test_arming_or_writing_again_puts_the_timer_off() -> None:
    """Each renewal gives the whole time anew; release takes the timer away."""
    plant = battery()
    plant.set(1.0, 0.0)
    plant.arm_revert(-5.0, 30.0, 0.0)
    plant.set(1.5, 20.0)
    assert value(plant, "setpoint_mw", 49.0) == 1.5
    plant.arm_revert(-5.0, 30.0, 49.0)
    assert value(plant, "setpoint_mw", 78.0) == 1.5
    assert value(plant, "setpoint_mw", 80.0) == -2.0
    plant.arm_revert(0.0, 30.0, 80.0)
    plant.release(90.0)
    assert value(plant, "setpoint_mw", 500.0) is None


def test_time_does_not_run_backwards() -> None:
    """An earlier time than the last changes nothing."""
    plant = battery()
    plant.set(1.0, 5.0)
    plant.advance(10.0)
    before = plant.values()
    plant.advance(7.0)
    assert plant.values() == before


def test_an_hour_without_a_question_costs_an_hour_of_energy() -> None:
    """A device that nobody polled worked on: 2 MW for the 0.8 h that the charge allowed."""
    asked, alone = battery(), battery()
    for plant in (asked, alone):
        plant.set(2.0, 0.0)
    for minute in range(60):
        asked.advance(60.0 * minute)
    exported = value(alone, "energy_exported_mwh", 3600.0)
    assert exported == pytest.approx(value(asked, "energy_exported_mwh", 3600.0), rel=0.01)


def test_export_lifts_the_voltage_and_draws_reactive_power() -> None:
    """One per cent at full export, answered by absorbing."""
    conditions = SiteConditions(1, start_hour=10).at(0)
    idle, full = CONNECTION.values(0.0, conditions), CONNECTION.values(2.0, conditions)
    assert idle["voltage_v"] is not None
    assert full["voltage_v"] == pytest.approx(idle["voltage_v"] + 138)
    assert idle["reactive_power_mvar"] is not None
    assert full["reactive_power_mvar"] == pytest.approx(idle["reactive_power_mvar"] - 0.1)


@given(began=st.floats(0, 1e6), gap=st.floats(0, 1e6))
def test_the_way_to_the_present_is_walked_in_bounded_steps(began: float, gap: float) -> None:
    """Upwards, to the end, at most 902 of them, none beyond a slice while the way is short."""
    end = began + gap
    stops = [began, *instants(began, end)]
    assert stops[-1] == end
    assert stops == sorted(set(stops))
    assert len(stops) <= 903
    if gap < 900:
        assert all(there - here <= 5 for here, there in itertools.pairwise(stops))


def test_devices_polled_at_different_times_stop_at_the_same_ones() -> None:
    """So that they ask their site for the same conditions."""
    assert list(instants(0.0, 12.0)) == [5.0, 10.0, 12.0]
    assert list(instants(3.0, 13.5)) == [5.0, 10.0, 13.5]
    assert list(instants(3.0, 4.0)) == [4.0]
    assert list(instants(4.0, 4.0)) == []
