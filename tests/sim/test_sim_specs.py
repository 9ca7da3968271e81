"""The assets that the demo builds are assets that the model accepts."""

import pytest
from msgspec.structs import replace

from dercp.model.asset import Registration, RegistrationLimits, check_registration
from dercp.model.points import Kind, points_of
from sim.ev import EvPlant
from sim.options import SimulatedOptions
from sim.specs import default_spec, plant_for
from sim.storage import StoragePlant


def test_a_site_of_all_kinds_can_be_registered() -> None:
    """Nameplates, ids and points pass the model's own check."""
    assets = tuple(default_spec(kind, f"{kind}-1", f"The {kind}") for kind in Kind)
    registration = Registration(site_id="site-1", site_name="Site 1", assets=assets)
    check_registration(registration, RegistrationLimits())


@pytest.mark.parametrize("kind", Kind)
def test_an_asset_has_all_points_of_its_kind(kind: Kind) -> None:
    """In the order of the table."""
    names = [point.name for point in default_spec(kind, "a", "A").points]
    assert names == [point.name for point in points_of(kind)]


def test_storage_of_unstated_capacity_has_two_hours() -> None:
    """2 MW then hold 4 MWh."""
    asset = replace(default_spec(Kind.STORAGE, "a", "A"), energy_capacity_mwh=None)
    plant = plant_for(asset, SimulatedOptions(initial_soc_pct=80))
    assert isinstance(plant, StoragePlant)
    assert plant.energy_capacity_mwh == 4.0
    assert plant.initial_soc_pct == 80


def test_a_charging_site_has_more_connectors_than_its_connection_feeds() -> None:
    """0.6 MW, connectors of 0.15 MW, twice over: eight."""
    plant = plant_for(default_spec(Kind.EV, "a", "A"), SimulatedOptions())
    assert isinstance(plant, EvPlant)
    assert plant.connectors_total == 8
