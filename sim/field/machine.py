"""What stands behind a field protocol: a plant of the simulator, on a clock that begins with it."""

import math
from typing import Any

from dercp.model.asset import AssetSpec
from sim.conditions import SiteConditions
from sim.options import SimulatedOptions
from sim.running import Connection, RunningPlant
from sim.specs import plant_for

__all__ = ["machine_for"]


def machine_for(asset: AssetSpec, options: SimulatedOptions) -> RunningPlant[Any]:
    """A plant of the asset's nameplate; its time begins at 0.

    Raises:
        DeviceError: The nameplate leaves such a plant no power.
    """
    return RunningPlant(
        plant_for(asset, options),
        SiteConditions(options.site_seed, start_hour=options.start_hour),
        Connection(
            rating_mva=asset.nameplate_mw,
            nominal_voltage_v=options.nominal_voltage_v,
            nominal_frequency_hz=options.nominal_frequency_hz,
        ),
        started_s=0.0,
        ramp_mw_per_s=options.ramp_share_per_s * asset.nameplate_mw or math.inf,
    )
