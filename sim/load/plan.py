"""All that one process of the load must know; it travels as JSON."""

from typing import Final, Literal

import msgspec

from sim.load.outages import Outage
from sim.load.scenario import Devices, Mix

__all__ = ["SPOOLS", "Fleet", "Plan", "SpoolKind", "Target"]

STARTS_PER_S_MAX: Final = 150.0
ASSETS_PER_S_MAX: Final = 5_000.0

SpoolKind = Literal["memory", "disk"]
SPOOLS: tuple[SpoolKind, ...] = ("memory", "disk")


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The headend, and the files for TLS: all agents show one certificate."""

    host: str
    port: int
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """Sites from number `first_site` on, and what stands there."""

    first_site: int
    sites: int
    assets_per_site: int
    rate_hz: float
    single_asset_agents: bool
    seed: int
    mix: Mix = Mix()
    start_hour: float = 10.0
    devices: Devices = Devices()

    @property
    def assets(self) -> int:
        """On all sites."""
        return self.sites * self.assets_per_site

    @property
    def agents(self) -> int:
        """On all sites."""
        return self.assets if self.single_asset_agents else self.sites

    @property
    def starts_per_s(self) -> float:
        """How many agents it is fair to start in a second: a headend takes in their assets."""
        return min(STARTS_PER_S_MAX, ASSETS_PER_S_MAX * self.agents / self.assets)

    @property
    def interval_s(self) -> float:
        """Between two samples of an asset."""
        return 1 / self.rate_hz


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is to do.

    Attributes:
        target: Whom to call.
        fleet: Its share.
        pre_encoded: Frames prepared ahead, and no edge agents.
        spool: Of the edge agents; those of pre-encoded frames are always in memory.
        chaos: The name of a profile of bad links; "" = the links are good.
        lasts_s: Faults of the links are over by then; infinite runs have a day of them.
        outages: Of links.
        starts_per_s: How many agents are started in a second; of a share, its part.
    """

    target: Target
    fleet: Fleet
    starts_per_s: float
    pre_encoded: bool = False
    spool: SpoolKind = "memory"
    chaos: str = ""
    lasts_s: float = 86_400.0
    outages: tuple[Outage, ...] = ()
