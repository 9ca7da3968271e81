"""Metrics and the tree of actors."""

from api_client import CheckedClient
from api_fakes import FakeHeadend
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from dercp.headend.views import DrainState, DrainView


async def test_metrics_are_prometheus_text(client: CheckedClient) -> None:
    """Totals as counters, the present as gauges."""
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }
    assert samples["process_cpu_seconds_total"] > 0
    assert samples["process_resident_memory_bytes"] > 1_000_000
    ours = {name: value for name, value in samples.items() if name.startswith("dercp_")}
    assert ours == {
        "dercp_ready": 1.0,
        "dercp_assets": 3.0,
        "dercp_assets_online": 2.0,
        "dercp_agents_connected": 1.0,
        "dercp_frames_rejected_total": 1.0,
        "dercp_samples_total": 1234.0,
        "dercp_spool_batches": 19.0,
        "dercp_spool_bytes": 5_400.0,
        "dercp_spool_dropped_samples": 3.0,
        "dercp_spool_oldest_age_seconds": 12.5,
        "dercp_spools_in_trouble": 1.0,
        "dercp_stream_clients": 0.0,
        "dercp_stream_opened_total": 0.0,
        "dercp_stream_refused_total": 0.0,
        "dercp_stream_resumed_total": 0.0,
        "dercp_stream_reset_total": 0.0,
        "dercp_stream_lagged_total": 0.0,
        "dercp_stream_cut_total": 0.0,
    }


async def test_the_tree_is_told(client: CheckedClient) -> None:
    """Supervisors with their children, actors with their mailboxes."""
    root = (await client.get("/system/actors")).json
    assert root["kind"] == "supervisor"
    assert root["mailbox"] is None
    [desk] = root["children"]
    assert desk["path"] == "/headend/desk"
    assert desk["restarts"] == 1
    assert desk["mailbox"]["waiting"] == 1


async def test_a_headend_whose_store_is_away_is_ready_and_says_so(
    client: CheckedClient, headend: FakeHeadend
) -> None:
    """What is live is served; an operator and an alarm see the rest."""
    drain = DrainView(
        state=DrainState.WAITING,
        position=40,
        lag_frames=60,
        lag_bytes=60_000,
        lag_s=12.5,
        waiting_since_us=1,
        last_error="Postgres at db/dercp does not answer",
        quarantined=0,
    )
    state = headend.operations.state
    headend.operations.state = replace(state, degraded_because="the store is away", drain=drain)
    ready = (await client.get("/readyz")).json
    assert ready["ready"] is True
    assert ready["degraded_because"] == "the store is away"
    assert (ready["drain"]["state"], ready["drain"]["lag_frames"]) == ("waiting", 60)
    metrics = (await client.get("/metrics")).content.decode()
    assert "dercp_drain_waiting 1.0" in metrics
    assert "dercp_drain_lag_seconds 12.5" in metrics
