"""Whole plants behind faulty links, in virtual time: a seed that fails, fails again."""

import os

import pytest
from chaos_plant import Outcome, run_plant

from actors.testing import run_deterministic
from sim.link_faults import ScheduleLimits

SEEDS = int(os.environ.get("DERCP_CHAOS_SEEDS", "40"))
LIMITS = ScheduleLimits(lasts_s=120.0)


def lived(seed: int, limits: ScheduleLimits = LIMITS) -> Outcome:
    """What became of the plant of this seed."""

    async def live() -> Outcome:
        return await run_plant(seed, limits)

    return run_deterministic(seed, live)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_plant_behind_faulty_links_loses_nothing(seed: int) -> None:
    """Every sample is stored once; none is shown late as current, no dispatch applied late."""
    outcome = lived(seed)
    outcome.check()
    assert all(spool.stored_samples > 0 for spool in outcome.verdict.spools)
