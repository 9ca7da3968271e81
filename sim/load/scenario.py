"""What befalls a fleet, as a TOML file says it."""

from pathlib import Path
from typing import Annotated

import msgspec

from dercp.edge.config.toml_reader import ConfigError, Fault, convert, read_document
from sim.load.outages import Outage, Seconds, Share

__all__ = ["Devices", "DispatchStorm", "Mix", "Scenario", "Weather", "read_scenario"]

Weight = Annotated[float, msgspec.Meta(ge=0, le=1_000)]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class Mix(_Table, frozen=True):
    """How many of each kind there are, in proportion to each other."""

    storage: Weight = 1.0
    pv: Weight = 1.0
    wind: Weight = 1.0
    ev: Weight = 1.0

    def __post_init__(self) -> None:
        if not self.storage + self.pv + self.wind + self.ev:
            raise ValueError("expected at least one kind above 0")


class Weather(_Table, frozen=True):
    """Where in the week of weather the run begins, in hours after Monday 00:00."""

    start_hour: Annotated[float, msgspec.Meta(ge=0, lt=168)] = 10.0


class Devices(_Table, frozen=True):
    """What is wrong with the devices; see sim.options.SimulatedOptions."""

    latency_s: Seconds = 0.0
    fail_probability: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    outage_every_s: Seconds = 0.0
    outage_for_s: Seconds = 0.0
    local_every_s: Seconds = 0.0
    local_for_s: Seconds = 0.0


class DispatchStorm(_Table, frozen=True):
    """A share of the batteries is told a setpoint, as fast as the headend takes it."""

    at_s: Seconds
    share: Share = 1.0
    # Of the nameplate; positive discharges.
    setpoint_share: Annotated[float, msgspec.Meta(ge=-1, le=1)] = -0.5
    for_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 60.0


class Scenario(_Table, frozen=True):
    """All of a file; every table may be left out. Times count from when all were connected."""

    fleet: Mix = Mix()
    weather: Weather = Weather()
    devices: Devices = Devices()
    link_outages: list[Outage] = []
    dispatch_storms: list[DispatchStorm] = []


def read_scenario(path: Path) -> Scenario:
    """Read a scenario's file.

    Raises:
        dercp.edge.config.toml_reader.ConfigError: With all that is wrong in it.
    """
    faults: list[Fault] = []
    scenario = convert(read_document(path), Scenario, "", faults)
    if scenario is None:
        raise ConfigError(path, faults)
    return scenario
