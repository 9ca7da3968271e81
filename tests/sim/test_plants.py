"""What holds for every plant, whatever weather, setpoint and pace."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dercp.model.points import Kind, point_named, points_of
from sim.conditions import Conditions
from sim.options import SimulatedOptions
from sim.plant import Plant
from sim.specs import default_spec, plant_for

# Points that come from the connection and the controller, not from the plant.
ELSEWHERE = {
    "active_power_mw",
    "reactive_power_mvar",
    "voltage_v",
    "frequency_hz",
    "setpoint_mw",
    "fault_code",
    "energy_exported_mwh",
    "energy_imported_mwh",
}

weathers = st.builds(
    Conditions,
    hour_of_day=st.floats(0, 24, exclude_max=True),
    irradiance_w_m2=st.floats(0, 1400),
    air_temperature_c=st.floats(-20, 45),
    wind_speed_m_s=st.floats(0, 30),
    wind_direction_deg=st.floats(0, 360, exclude_max=True),
    voltage_pu=st.floats(0.9, 1.1),
    frequency_pu=st.floats(0.99, 1.01),
)
# How long, in which weather, towards which setpoint (as a share of the nameplate).
legs = st.lists(
    st.tuples(st.floats(0.01, 900), weathers, st.floats(-1.5, 1.5)), min_size=1, max_size=40
)
kinds = pytest.mark.parametrize("kind", Kind)


def plant_of(kind: Kind) -> Plant[Any]:
    """A plant of default size."""
    plant: Plant[Any] = plant_for(default_spec(kind, "plant-1", "Plant 1"), SimulatedOptions())
    return plant


def rating_mw(plant: Plant[Any]) -> float:
    """What setpoints are shares of."""
    return max(plant.p_max_mw, -plant.p_min_mw)


@kinds
@given(legs=legs)
def test_the_counters_are_the_integral_of_the_power(
    kind: Kind, legs: list[tuple[float, Conditions, float]]
) -> None:
    """Exported and imported energy are what the shown power brought, and nothing else."""
    plant = plant_of(kind)
    state = plant.start(legs[0][1])
    exported = imported = 0.0
    for elapsed_s, weather, share in legs:
        state = plant.step(state, elapsed_s, weather, share * rating_mw(plant))
        energy = state.active_power_mw * elapsed_s / 3600
        exported += max(0.0, energy)
        imported += max(0.0, -energy)
        assert state.energy_exported_mwh == pytest.approx(exported, abs=1e-9)
        assert state.energy_imported_mwh == pytest.approx(imported, abs=1e-9)


@kinds
@given(legs=legs)
def test_power_stays_within_nameplate_and_availability(
    kind: Kind, legs: list[tuple[float, Conditions, float]]
) -> None:
    """No weather and no setpoint leads a plant beyond what it said it could do."""
    plant = plant_of(kind)
    state = plant.start(legs[0][1])
    for elapsed_s, weather, share in legs:
        state = plant.step(state, elapsed_s, weather, share * rating_mw(plant))
        values = plant.values(state, weather)
        low, high = values["available_min_mw"], values["available_max_mw"]
        assert low is not None
        assert high is not None
        assert plant.p_min_mw <= state.active_power_mw <= plant.p_max_mw
        assert plant.p_min_mw <= low <= high <= plant.p_max_mw
        if kind is not Kind.STORAGE:  # its limits look ahead: less charge allows less power
            assert low - 1e-9 <= state.active_power_mw <= high + 1e-9


@kinds
@given(legs=legs)
def test_every_value_is_within_its_physical_range(
    kind: Kind, legs: list[tuple[float, Conditions, float]]
) -> None:
    """A plant has the points of its kind, all of them plausible; only a mean may be unknown."""
    plant = plant_of(kind)
    state = plant.start(legs[0][1])
    for elapsed_s, weather, share in legs:
        state = plant.step(state, elapsed_s, weather, share * rating_mw(plant))
    values = plant.values(state, legs[-1][1])
    assert set(values) == {point.name for point in points_of(kind)} - ELSEWHERE
    for name, value in values.items():
        if value is None:
            assert name == "vehicle_soc_pct"
        else:
            assert point_named(name).low <= value <= point_named(name).high, name


@kinds
@given(legs=legs)
def test_the_same_calls_give_the_same_states(
    kind: Kind, legs: list[tuple[float, Conditions, float]]
) -> None:
    """Nothing is hidden: no clock, no generator, no memory outside of the state."""

    def run() -> list[Any]:
        plant = plant_of(kind)
        states = [plant.start(legs[0][1])]
        for elapsed_s, weather, share in legs:
            states.append(plant.step(states[-1], elapsed_s, weather, share * rating_mw(plant)))
        return states

    assert run() == run()


@kinds
def test_at_rest_a_plant_keeps_its_power(kind: Kind, noon: Conditions) -> None:
    """It starts as one that has run in this weather for a while: the first second is no event."""
    plant = plant_of(kind)
    state = plant.start(noon)
    after = plant.step(state, 1.0, noon, plant.own_setpoint_mw)
    assert after.active_power_mw == pytest.approx(state.active_power_mw, rel=0.01)
