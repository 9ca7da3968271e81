"""Fleets of virtual sites: the configurations that edge agents run with."""

from collections.abc import Iterator
from itertools import count, islice

from msgspec.structs import replace

from dercp.edge.config.settings import AssetConfig, Config, Headend
from dercp.model.asset import AssetSpec
from dercp.model.bounds import Bounds
from dercp.model.guardrail import Guardrails
from dercp.model.points import Kind
from sim.adapter import SimulatedAdapter
from sim.options import SimulatedOptions
from sim.specs import default_spec

__all__ = ["asset_config", "demo_fleet"]

# The kinds in the order in which a site gets them, with the word of their ids and names.
_MIX = (
    (Kind.STORAGE, "bess", "Battery"),
    (Kind.PV, "pv", "Solar field"),
    (Kind.WIND, "wind", "Wind turbine"),
    (Kind.EV, "ev", "Charging site"),
)


def demo_fleet(
    headend: Headend, *, sites: int, assets_per_site: int, seed: int
) -> Iterator[Config]:
    """One agent per site: `demo-01` with `demo-01-bess-1`, `demo-01-pv-1` and so on.

    All sites have the season in common, and each its own clouds, gusts and vehicles.
    """
    adapter = SimulatedAdapter()
    for number in range(1, sites + 1):
        site_id = f"demo-{number:02d}"
        options = SimulatedOptions(seed=seed, site_seed=seed + number)
        yield Config(
            agent_id=site_id,
            data_dir=None,
            headend=headend,
            site_id=site_id,
            site_name=f"Demo site {number}",
            assets=tuple(
                asset_config(
                    default_spec(kind, f"{site_id}-{word}-{nth}", f"{name} {nth}"), adapter, options
                )
                for kind, word, name, nth in islice(_kinds(), assets_per_site)
            ),
        )


def _kinds() -> Iterator[tuple[Kind, str, str, int]]:
    for nth in count(1):
        for kind, word, name in _MIX:
            yield kind, word, name, nth


def asset_config(
    spec: AssetSpec, adapter: SimulatedAdapter, options: SimulatedOptions
) -> AssetConfig:
    """A simulated asset that is held to its nameplate and nothing else."""
    nameplate = Bounds(spec.p_min_mw, spec.p_max_mw)
    return AssetConfig(
        spec=replace(spec, fallback="release"),
        guardrails=Guardrails(nameplate=nameplate, limits=nameplate),
        adapter_name="simulated",
        adapter=adapter,
        options=options,
    )
