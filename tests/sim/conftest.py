"""Weather that the tests of the plants start from."""

import pytest

from sim.conditions import Conditions


@pytest.fixture(scope="session")
def noon() -> Conditions:
    """A plain summer noon; tests replace what they care about."""
    return Conditions(
        hour_of_day=12.0,
        irradiance_w_m2=800.0,
        air_temperature_c=25.0,
        wind_speed_m_s=6.0,
        wind_direction_deg=220.0,
        voltage_pu=1.0,
        frequency_pu=1.0,
    )
