"""The headend's disk full or hanging for a while, and outboxes over their limit."""

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
from chaos_plant import Outcome, run_plant
from memory_store import MemoryDisk

from actors.testing import run_deterministic
from sim.link_faults import ScheduleLimits

SEEDS = 4
LIMITS = ScheduleLimits(lasts_s=180.0)
# A row takes about 50 bytes, a batch 200 more: some seconds of samples.
SMALL_BYTES = 8_000
LONG_FAULTS = ScheduleLimits(lasts_s=240.0, calm_s=(2.0, 10.0), fault_s=(60.0, 150.0))


async def full_for_a_while(disk: MemoryDisk) -> None:
    """No room for a minute, twice."""
    for _ in range(2):
        await trio.sleep(30.0)
        disk.full = True
        await trio.sleep(45.0)
        disk.full = False


async def hanging_for_a_while(disk: MemoryDisk) -> None:
    """Each write takes twenty seconds for a while: nothing is acknowledged in time."""
    await trio.sleep(40.0)
    disk.write_takes_s = 20.0
    await trio.sleep(60.0)
    disk.write_takes_s = 0.0


def lived(
    seed: int,
    limits: ScheduleLimits,
    disturb: Callable[[MemoryDisk], Awaitable[None]] | None = None,
    bytes_max: int = 32 * 2**20,
) -> Outcome:
    """What became of the plant of this seed."""
    run = partial(run_plant, seed, limits, bytes_max=bytes_max, disturb=disturb)
    return run_deterministic(seed, run)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_full_disk_loses_nothing(seed: int) -> None:
    """What the log does not take is not acknowledged, stays with the edges, and comes again."""
    outcome = lived(seed, LIMITS, full_for_a_while)
    outcome.check()
    assert all(spool.declared_samples == 0 for spool in outcome.verdict.spools)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_hanging_disk_loses_nothing(seed: int) -> None:
    """The edges wait for their acknowledgements, or send again."""
    outcome = lived(seed, LIMITS, hanging_for_a_while)
    outcome.check()
    assert all(spool.declared_samples == 0 for spool in outcome.verdict.spools)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_an_outbox_over_its_limit_declares_what_it_drops(seed: int) -> None:
    """Long faults and a small outbox: what is missing is declared, to the sample."""
    outcome = lived(seed, LONG_FAULTS, bytes_max=SMALL_BYTES)
    outcome.check()
    assert any(spool.declared_samples > 0 for spool in outcome.verdict.spools)
