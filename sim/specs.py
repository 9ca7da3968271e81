"""Assets as the simulator builds them: nameplates for a demo, and the plant for a nameplate."""

from typing import assert_never

from adapters import DeviceError
from dercp.model.asset import AssetSpec, standard_point
from dercp.model.points import Kind, points_of
from sim.ev import EvPlant
from sim.options import SimulatedOptions
from sim.pv import PvPlant
from sim.storage import StoragePlant
from sim.wind import WindPlant

__all__ = ["default_spec", "plant_for"]

# p_min_mw, p_max_mw, energy_capacity_mwh
_NAMEPLATES: dict[Kind, tuple[float, float, float | None]] = {
    Kind.STORAGE: (-2.0, 2.0, 4.0),
    Kind.PV: (0.0, 3.0, None),
    Kind.WIND: (0.0, 4.0, None),
    Kind.EV: (-0.6, 0.0, None),
}
_STORAGE_HOURS = 2.0
_CONNECTOR_MW = 0.15
# Chargers are built for more vehicles than the connection feeds at full power.
_CONNECTORS_PER_FEED = 2.0


def default_spec(
    kind: Kind, asset_id: str, name: str, *, sample_interval_s: float = 1.0
) -> AssetSpec:
    """An asset of usual size with all points of its kind."""
    p_min, p_max, energy = _NAMEPLATES[kind]
    return AssetSpec(
        asset_id=asset_id,
        name=name,
        kind=kind,
        p_min_mw=p_min,
        p_max_mw=p_max,
        energy_capacity_mwh=energy,
        sample_interval_s=sample_interval_s,
        points=tuple(standard_point(point.name) for point in points_of(kind)),
    )


def plant_for(
    asset: AssetSpec, options: SimulatedOptions
) -> StoragePlant | PvPlant | WindPlant | EvPlant:
    """The plant of an asset's nameplate.

    Storage of unstated capacity gets two hours of its power; a charging site as many
    connectors as its connection could feed twice over.

    Raises:
        DeviceError: The nameplate leaves such a plant no power.
    """
    match asset.kind:
        case Kind.STORAGE:
            power = _some(asset, asset.nameplate_mw, "p_min_mw below 0 or p_max_mw above 0")
            return StoragePlant(
                p_min_mw=asset.p_min_mw,
                p_max_mw=asset.p_max_mw,
                energy_capacity_mwh=asset.energy_capacity_mwh or _STORAGE_HOURS * power,
                initial_soc_pct=options.initial_soc_pct,
            )
        case Kind.PV:
            return PvPlant(p_max_mw=_some(asset, asset.p_max_mw, "p_max_mw above 0"))
        case Kind.WIND:
            return WindPlant(p_max_mw=_some(asset, asset.p_max_mw, "p_max_mw above 0"))
        case Kind.EV:
            power = _some(asset, -asset.p_min_mw, "p_min_mw below 0")
            return EvPlant(
                p_min_mw=asset.p_min_mw,
                seed=f"{options.seed}/{asset.asset_id}",
                connector_mw=_CONNECTOR_MW,
                connectors_total=max(1, round(_CONNECTORS_PER_FEED * power / _CONNECTOR_MW)),
            )
        case _:
            assert_never(asset.kind)


def _some(asset: AssetSpec, power_mw: float, expected: str) -> float:
    if power_mw > 0:
        return power_mw
    raise DeviceError(f"{asset.asset_id}: a simulated {asset.kind} asset needs {expected}")
