"""Whole plants in virtual time: a headend, ten agents, links and a store, all in trouble.

A seed that fails, fails again, to the message.
"""

import os
from collections import Counter

import pytest
from chaos_plan import ALL_TROUBLES, SMALL_BYTES, plan_of
from chaos_plant import live

SEEDS = int(os.environ.get("DERCP_CHAOS_SEEDS", "200"))
# In the plants alone, with the usual number of seeds; see also test_chaos_kills.
DEATHS_MIN = 200
AGAIN = 'DERCP_CHAOS_SEEDS={} pytest "tests/chaos/test_chaos_plants.py" -k "whatever[{}]"'


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_plant_accounts_for_every_sample_whatever(seed: int) -> None:
    """Each is stored once or declared; none is shown late as current, no dispatch applied late.

    What its plan says has come to pass: links cut, half-open and slow, agents and headend
    killed at their writes, a disk that is full, slow or away, an outbox over its limit.
    """
    plan = plan_of(seed)
    try:
        outcome = live(plan)
        outcome.check()
        assert outcome.deaths == plan.deaths()
        for site, spool in zip(plan.sites, outcome.verdict.spools, strict=True):
            assert spool.stored_samples > 0
            assert site.bytes_max != SMALL_BYTES or spool.declared_samples > 0
    except BaseException as error:
        error.add_note(f"again: {AGAIN.format(seed + 1, seed)}")
        raise


def test_the_seeds_hold_every_kind_of_trouble_and_hundreds_of_kills() -> None:
    """Plans are carried out in full, each by its own test; so they may be counted here."""
    plans = [plan_of(seed) for seed in range(max(SEEDS, 200))]
    troubles = Counter(each for plan in plans for each in plan.troubles())
    assert set(troubles) == ALL_TROUBLES, ALL_TROUBLES ^ set(troubles)
    assert min(troubles.values()) >= 20, troubles
    assert sum(plan.deaths() for plan in plans) >= DEATHS_MIN


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_is_the_same_life(seed: int) -> None:
    """By a hash over every frame, gap, dispatch, session, setpoint and link, and their times."""
    assert live(plan_of(seed)).trace == live(plan_of(seed)).trace
