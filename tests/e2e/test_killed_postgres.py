"""Postgres killed under load: nothing is lost, the latest is served, and it is caught up with."""

from pathlib import Path

from outage import Plan, run_outage
from postgres_server import PostgresServer

# 1,000 samples a second; `python benchmarks/postgres_outage.py` is the full form.
PLAN = Plan(gateways=20, assets_each=50, before_s=3.0, away_s=4.0, after_s=2.0)


async def test_a_killed_postgres_costs_nothing_but_time(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """Every acknowledged batch is there once; history and dispatch say to come again."""
    outcome = await run_outage(postgres_server, tmp_path, PLAN)
    audit, seen = outcome.audit, outcome.seen
    assert (audit.lost, audit.twice, audit.unanswered) == (0, 0, 0)
    assert audit.stored == audit.acknowledged == audit.projected
    assert outcome.lag_samples_max >= 2_000
    assert outcome.catch_up_rate_best >= 5 * 1_000
    assert (outcome.latest_failures, outcome.latest_age_s_max < 3.0) == (0, True)
    assert (seen.history_status, seen.dispatch_status) == (503, 503)
    assert "Postgres" in seen.degraded_because
