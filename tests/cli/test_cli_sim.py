"""`dercp sim` and what people type wrong."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dercp.cli import app
from dercp.cli.exits import Exit
from dercp.cli.sim_watch import RateWatch, RecoveryWatch
from dercp.cli.sim_workers import shares
from sim.load.plan import Fleet, Plan, Target
from sim.load.words import Counts


def sim(*options: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(app, ["sim", *options], env={"COLUMNS": "200"})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--chaos", "wild"), '--chaos: "wild" is none of calm, flaky, rough'),
        (("--spool", "tape"), '--spool: "tape" is none of memory, disk'),
        (("--tls-cert", "a.pem"), "--tls-cert and --tls-key go with --tls-ca"),
    ],
)
def test_words_that_nobody_knows(options: tuple[str, ...], sentence: str) -> None:
    """What is wrong, and what would be right."""
    done = sim(*options)
    assert done.exit_code == Exit.USAGE
    assert sentence in done.stderr


def test_a_wrong_scenario_is_told_with_its_path(tmp_path: Path) -> None:
    """The file, the key and what was expected."""
    path = tmp_path / "storm.toml"
    path.write_text("[[dispatch_storms]]\nat_s = 3\nshare = 3\n", encoding="utf-8")
    done = sim("--scenario", str(path))
    assert done.exit_code == Exit.CONFIG
    assert "dispatch_storms[0].share: expected float <= 1" in done.stderr


def test_a_headend_that_is_not_there() -> None:
    """Nothing is started, and the address is named."""
    done = sim("--api", "http://127.0.0.1:9", "--duration", "1")
    assert done.exit_code == Exit.UNAVAILABLE
    assert "no API of a headend answers at http://127.0.0.1:9" in done.stderr


@pytest.mark.parametrize(("processes", "parts"), [(1, [7]), (3, [3, 2, 2]), (20, [1] * 7)])
def test_processes_share_the_sites(processes: int, parts: list[int]) -> None:
    """All of them, each once; and together they start no faster than one would."""
    fleet = Fleet(
        first_site=1, sites=7, assets_per_site=1, rate_hz=1, single_asset_agents=False, seed=1
    )
    plan = Plan(target=Target(host="h", port=1), fleet=fleet, starts_per_s=100.0)
    found = list(shares(plan, processes))
    assert [each.fleet.sites for each in found] == parts
    sites = [each.fleet.first_site + n for each in found for n in range(each.fleet.sites)]
    assert sites == list(range(1, 8))
    assert sum(each.starts_per_s for each in found) == pytest.approx(plan.starts_per_s)


def test_rates_are_of_the_last_seconds() -> None:
    """Not of the whole run."""
    watch = RateWatch()
    assert watch.look(0, Counts(produced=0)) == (0, 0)
    assert watch.look(4, Counts(produced=400, waiting=100)) == (100, 75)
    assert watch.look(8, Counts(produced=400)) == (0, 25)


def test_how_long_agents_were_away() -> None:
    """From when the first was missed to when all were back; the last may not be back yet."""
    watch = RecoveryWatch()
    for at_s, up in ((1, 5), (2, 3), (3, 1), (4, 4), (5, 5), (6, 4)):
        watch.look(at_s, Counts(agents=5, up=up))
    first, last = watch.seen()
    assert (first.at_s, first.least_up, first.back_after_s) == (2, 1, 3)
    assert (last.at_s, last.least_up, last.back_after_s) == (6, 4, None)
