"""What an asset's `[assets.options]` may say to the `simulated` adapter."""

from typing import Annotated

import msgspec

__all__ = ["SimulatedOptions"]

_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
_Seconds = Annotated[float, msgspec.Meta(ge=0)]


class SimulatedOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A simulated device; every option has a default.

    Attributes:
        seed: Of chance at the device (vehicles, faults), together with its asset id.
        site_seed: Of weather and grid. Devices of one site seed and start hour share them.
        start_hour: Where in the week the simulation begins, in hours after Monday 00:00.
        initial_soc_pct: Storage: the state of charge to begin with.
        nominal_voltage_v: Between phases, at the point of connection.
        nominal_frequency_hz: 50 or 60.
        latency_s: How long each exchange with the device takes.
        fail_probability: The chance of each exchange to fail.
        fail_every: Every so manieth exchange fails; 0 is never.
        outage_every_s: How often the device goes away; 0 is never.
        outage_for_s: For how long it then stays away.
        local_every_s: How often somebody turns its switch to local; 0 is never.
        local_for_s: For how long it then refuses setpoints; the custom point
            `remote_control` is 0 meanwhile, else 1.
        ramp_share_per_s: How fast it moves towards a setpoint, in nameplates a second; 0 is
            as fast as its plant can.
    """

    seed: int = 0
    site_seed: int = 0
    start_hour: Annotated[float, msgspec.Meta(ge=0, lt=168)] = 10.0
    initial_soc_pct: _Percent = 50.0
    nominal_voltage_v: Annotated[float, msgspec.Meta(gt=0)] = 13_800.0
    nominal_frequency_hz: Annotated[float, msgspec.Meta(ge=45, le=65)] = 60.0
    latency_s: _Seconds = 0.0
    fail_probability: _Share = 0.0
    fail_every: Annotated[int, msgspec.Meta(ge=0)] = 0
    outage_every_s: _Seconds = 0.0
    outage_for_s: _Seconds = 0.0
    local_every_s: _Seconds = 0.0
    local_for_s: _Seconds = 0.0
    ramp_share_per_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
