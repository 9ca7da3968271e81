"""Who stands where: agents, their assets, and how each is simulated."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from dercp.edge.config.settings import Config, Headend, TlsFiles
from dercp.edge.spool.settings import SpoolSettings
from dercp.model.asset import AssetSpec, Registration
from dercp.model.points import Kind
from sim.adapter import SimulatedAdapter
from sim.fleet import asset_config
from sim.load.plan import Fleet, Plan, Target
from sim.load.scenario import Mix
from sim.options import SimulatedOptions
from sim.specs import default_spec

__all__ = ["Station", "asset_ids", "edge_configs", "kind_of", "stations"]

# In a fleet of so many each kind has its share to one in a hundred.
_PATTERN: Final = 100
_WORDS: Final = {Kind.STORAGE: "bess", Kind.PV: "pv", Kind.WIND: "wind", Kind.EV: "ev"}
# A memory spool of an hour; a disk one is as small, for there are many.
SPOOL_BYTES_MAX: Final = 32 * 1024 * 1024


class Station(msgspec.Struct, frozen=True):
    """One agent and what it speaks for."""

    agent_id: str
    site_number: int
    registration: Registration


def stations(fleet: Fleet) -> Iterator[Station]:
    """All agents of a fleet: one a site, or one an asset."""
    for site in range(fleet.first_site, fleet.first_site + fleet.sites):
        specs = [_spec(fleet, site, number) for number in range(fleet.assets_per_site)]
        if not fleet.single_asset_agents:
            yield Station(_site_id(fleet, site), site, _registration(fleet, site, tuple(specs)))
            continue
        for spec in specs:
            yield Station(spec.asset_id, site, _registration(fleet, site, (spec,)))


def edge_configs(plan: Plan, directory: Path | None) -> list[Config]:
    """What the edge agents of a plan run with; without a directory they keep nothing."""
    fleet, adapter, headend = plan.fleet, SimulatedAdapter(), _headend(plan.target)
    configs = []
    for station in stations(fleet):
        options = SimulatedOptions(
            seed=fleet.seed,
            site_seed=fleet.seed + station.site_number,
            start_hour=fleet.start_hour,
            **msgspec.structs.asdict(fleet.devices),
        )
        registration = station.registration
        configs.append(
            Config(
                agent_id=station.agent_id,
                data_dir=directory and directory / station.agent_id,
                headend=headend,
                site_id=registration.site_id,
                site_name=registration.site_name,
                assets=tuple(asset_config(each, adapter, options) for each in registration.assets),
                spool=SpoolSettings(bytes_max=SPOOL_BYTES_MAX),
            )
        )
    return configs


def asset_ids(fleet: Fleet, *kinds: Kind) -> list[str]:
    """The ids of all assets of these kinds; without any, of all."""
    return [
        _asset_id(fleet, site, number)
        for site in range(fleet.first_site, fleet.first_site + fleet.sites)
        for number in range(fleet.assets_per_site)
        if not kinds or _kind(fleet, site, number) in kinds
    ]


def kind_of(mix: Mix, number: int) -> Kind:
    """The kind of an asset by its number in the fleet; a mix is the same all along."""
    return _pattern(mix)[number % _PATTERN]


@cache
def _pattern(mix: Mix) -> tuple[Kind, ...]:
    """Each place goes to the kind that is furthest behind its share; ties in the mix's order."""
    weights = {kind: getattr(mix, kind.value) for kind in _WORDS}
    given = dict.fromkeys(weights, 0)
    whole = sum(weights.values())
    pattern = []
    for place in range(1, _PATTERN + 1):
        behind = {kind: weights[kind] / whole * place - given[kind] for kind in weights}
        kind = max(behind, key=behind.__getitem__)
        given[kind] += 1
        pattern.append(kind)
    return tuple(pattern)


def _spec(fleet: Fleet, site: int, number: int) -> AssetSpec:
    kind, asset_id = _kind(fleet, site, number), _asset_id(fleet, site, number)
    return default_spec(kind, asset_id, asset_id, sample_interval_s=fleet.interval_s)


def _kind(fleet: Fleet, site: int, number: int) -> Kind:
    return kind_of(fleet.mix, (site - 1) * fleet.assets_per_site + number)


def _asset_id(fleet: Fleet, site: int, number: int) -> str:
    return f"{_site_id(fleet, site)}-{_WORDS[_kind(fleet, site, number)]}-{number + 1:03d}"


def _site_id(fleet: Fleet, site: int) -> str:
    """Assets belong to their agent: a site with an agent for each is another one."""
    return f"{'solo' if fleet.single_asset_agents else 'sim'}-{site:05d}"


def _registration(fleet: Fleet, site: int, specs: tuple[AssetSpec, ...]) -> Registration:
    return Registration(
        site_id=_site_id(fleet, site), site_name=f"Simulated site {site}", assets=specs
    )


def _headend(target: Target) -> Headend:
    """As a configuration names it; the load opens its calls itself."""
    tls = None
    if target.ca_file is not None:
        files = (target.cert_file, target.key_file)
        cert, key = (None if each is None else Path(each) for each in files)
        tls = TlsFiles(Path(target.ca_file), cert, key)
    return Headend(target.host, target.port, tls)
