"""Metrics and the tree of actors."""

from api_client import CheckedClient
from prometheus_client.parser import text_string_to_metric_families


async def test_metrics_are_prometheus_text(client: CheckedClient) -> None:
    """Totals as counters, the present as gauges."""
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }
    assert samples == {
        "dercp_ready": 1.0,
        "dercp_assets": 3.0,
        "dercp_assets_online": 2.0,
        "dercp_agents_connected": 1.0,
        "dercp_frames_rejected_total": 1.0,
        "dercp_samples_total": 1234.0,
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
