"""The noise has the statistics it promises, and no memory of who asked."""

import itertools
import math
import statistics

import pytest

from sim.wander import Wander

TAU_S = 20.0
# 40,000 s of tau 20 s are worth about 1,000 independent values.
SECONDS = 40_000


@pytest.fixture(scope="module")
def path() -> list[float]:
    """One long walk, second by second."""
    wander = Wander(7, "test", tau_s=TAU_S)
    return [wander.at(second) for second in range(SECONDS)]


def test_its_mean_is_zero_and_its_variance_one(path: list[float]) -> None:
    """Within four standard errors of what so long a path can tell."""
    assert statistics.fmean(path) == pytest.approx(0, abs=4 * math.sqrt(2 * TAU_S / SECONDS))
    assert statistics.pvariance(path) == pytest.approx(1, abs=4 * math.sqrt(2 * TAU_S / SECONDS))


@pytest.mark.parametrize("lag_s", [1, 5, 20, 40])
def test_its_memory_fades_exponentially(path: list[float], lag_s: int) -> None:
    """The correlation after a lag is exp(-lag / tau)."""
    seen = statistics.correlation(path[:-lag_s], path[lag_s:])
    assert seen == pytest.approx(math.exp(-lag_s / TAU_S), abs=0.08)


def test_each_step_is_of_the_size_the_process_has(path: list[float]) -> None:
    """The variance of a one-second step is 2 (1 - exp(-1 / tau)): no jumps at block ends."""
    steps = [after - before for before, after in itertools.pairwise(path)]
    expected = 2 * (1 - math.exp(-1 / TAU_S))
    assert statistics.pvariance(steps) == pytest.approx(expected, rel=0.05)
    assert max(map(abs, steps)) < 6 * math.sqrt(expected)


@pytest.mark.parametrize("second", [0, 63, 64, 159, 161, 1000, 39_999])
def test_a_second_has_its_value_whatever_was_asked_before(path: list[float], second: int) -> None:
    """Jumping there gives what walking there gave, but for the forgotten 0.03 %."""
    fresh = Wander(7, "test", tau_s=TAU_S)
    assert fresh.at(second) == pytest.approx(path[second], abs=2e-3)
    fresh.at(second + 50_000)
    assert fresh.at(second) == pytest.approx(path[second], abs=2e-3)


def test_other_seeds_and_other_names_wander_elsewhere() -> None:
    """A seed or a name of its own is a path of its own."""
    ways = {Wander(seed, name, tau_s=TAU_S).at(0) for seed in (1, 2) for name in ("a", "b")}
    assert len(ways) == 4


def test_the_numbers_are_the_same_on_every_machine() -> None:
    """Neither hash seeds nor versions of Python move a value that a failing seed relies on."""
    assert Wander(1, "cloud", tau_s=120).at(100) == pytest.approx(0.44712351010189605)
