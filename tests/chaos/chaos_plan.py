"""What a seed does to a plant, and when. Pure: a plan can be counted without being lived."""

from collections.abc import Sequence
from enum import StrEnum
from random import Random
from typing import Final

import msgspec

from sim.link_faults import BlackHole, Cut, Delay, Fault, Reset, ScheduleLimits, Throttle, schedule
from sim.seeded import seeded

AGENTS: Final = 10
# All troubles are over by then.
LASTS_S: Final = 50.0
# A few batches: what a small outbox holds.
SMALL_BYTES: Final = 1_000
LARGE_BYTES: Final = 32 * 2**20
LINKS: Final = ScheduleLimits(
    lasts_s=LASTS_S,
    calm_s=(2.0, 20.0),
    fault_s=(0.2, 40.0),
    delay_s_max=2.0,
    bytes_per_s=(500.0, 50_000.0),
)


class StoreTrouble(StrEnum):
    """What befalls the headend's disk."""

    NONE = "none"
    # Every write is refused.
    FULL = "full"
    # Telemetry is refused, dispatches are written.
    LOG_FULL = "log_full"
    # Each write takes many seconds.
    SLOW = "slow"
    # Nothing works: the headend ends, and is started again until it stays.
    AWAY = "away"


class Death(StrEnum):
    """How an end of the link dies."""

    # kill -9: what was written is there, whether synced or not.
    KILLED = "killed"
    # What was synced is there, and of the rest what chance says.
    POWER_CUT = "power_cut"


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """A death at the `writes`-th write to the disk after `at_s`; it comes back `down_s` later."""

    at_s: float
    writes: int
    how: Death
    down_s: float


class SitePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What befalls one agent and its link."""

    name: str
    asset_ids: tuple[str, ...]
    faults: tuple[Fault, ...]
    bytes_max: int = LARGE_BYTES
    # It has a spool on a disk only if it is killed; without, a kill takes what waits along.
    kills: tuple[Kill, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What befalls a plant."""

    seed: int
    sites: tuple[SitePlan, ...]
    kills: tuple[Kill, ...]
    store: StoreTrouble
    store_from_s: float
    store_to_s: float

    def troubles(self) -> set[str]:
        """The kinds of everything that befalls it."""
        kinds = {f"store {self.store}"}
        kinds |= {f"link {type(each).__name__}" for site in self.sites for each in site.faults}
        kinds |= {f"headend {each.how}" for each in self.kills}
        kinds |= {f"agent {each.how}" for site in self.sites for each in site.kills}
        if any(site.bytes_max == SMALL_BYTES for site in self.sites):
            kinds.add("spool over its limit")
        return kinds

    def deaths(self) -> int:
        """How often an agent or the headend dies."""
        return len(self.kills) + sum(len(site.kills) for site in self.sites)


ALL_TROUBLES: Final = frozenset(
    {
        *(f"store {each}" for each in StoreTrouble),
        *(f"link {each.__name__}" for each in (Cut, Reset, BlackHole, Delay, Throttle)),
        # Its store is a fake that has no page cache: what is written is synced.
        f"headend {Death.KILLED}",
        *(f"agent {each}" for each in Death),
        "spool over its limit",
    }
)


def plan_of(seed: int) -> Plan:
    """The plan of a seed: one agent or two die, and the headend in two plants of three.

    One outbox is too small for a link that is cut for long, and each link has faults of
    its own.
    """
    draw = seeded(seed, "plan")
    names = [f"edge-{number}" for number in range(AGENTS)]
    mortal = draw.sample(names[1:], draw.choice((1, 2)))
    from_s = draw.uniform(5.0, 20.0)
    return Plan(
        seed=seed,
        sites=tuple(_site(draw, seed, name, mortal) for name in names),
        kills=_kills(draw, [Death.KILLED]) if draw.random() < 2 / 3 else (),
        store=draw.choice(tuple(StoreTrouble)),
        store_from_s=from_s,
        store_to_s=from_s + draw.uniform(15.0, 30.0),
    )


def _site(draw: Random, seed: int, name: str, mortal: Sequence[str]) -> SitePlan:
    if name == "edge-0":
        long_cut = Cut(from_s=8.0, to_s=draw.uniform(45.0, LASTS_S))
        return SitePlan(
            name=name, asset_ids=_assets(name), faults=(long_cut,), bytes_max=SMALL_BYTES
        )
    return SitePlan(
        name=name,
        asset_ids=_assets(name),
        faults=schedule(seed, name, LINKS),
        kills=_kills(draw, tuple(Death)) if name in mortal else (),
    )


def _assets(name: str) -> tuple[str, ...]:
    """Two, where the name ends so; one at the others."""
    return (f"{name}-a", f"{name}-b") if name.endswith("5") else (f"{name}-a",)


def _kills(draw: Random, how: Sequence[Death]) -> tuple[Kill, ...]:
    return (
        Kill(
            at_s=draw.uniform(1.0, LASTS_S - 10.0),
            writes=draw.randint(1, 12),
            how=draw.choice(how),
            down_s=draw.uniform(0.0, 15.0),
        ),
    )
