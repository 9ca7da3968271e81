"""Totals as Prometheus reads them."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from dercp.api.live.stream import LiveStream
from dercp.api.ports import Operations
from dercp.headend.views import DrainView, SpoolSums

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class HeadendCollector(Collector):
    """Reads the headend's own totals when they are scraped; nothing is counted twice."""

    def __init__(self, operations: Operations, live: LiveStream) -> None:
        self._operations = operations
        self._live = live

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """The totals, and the present state as gauges."""
        system = self._operations.system()
        yield GaugeMetricFamily("dercp_ready", "1 when the headend serves", system.ready)
        yield GaugeMetricFamily("dercp_assets", "Assets registered", system.assets)
        yield GaugeMetricFamily(
            "dercp_assets_online", "Assets whose agent is connected", system.assets_online
        )
        yield GaugeMetricFamily(
            "dercp_agents_connected", "Agents with a session", system.agents_connected
        )
        if system.drain is not None:
            yield from _drain_gauges(system.drain)
        yield from _spool_gauges(system.spools)
        yield GaugeMetricFamily(
            "dercp_stream_clients", "Clients that follow the live stream", self._live.clients
        )
        totals = dict(self._operations.counters())
        totals |= {f"stream_{name}": total for name, total in self._live.counts.items()}
        for name, total in sorted(totals.items()):
            yield CounterMetricFamily(f"dercp_{name}", name.replace("_", " "), total)


def _drain_gauges(drain: DrainView) -> Iterator[GaugeMetricFamily]:
    yield GaugeMetricFamily(
        "dercp_drain_waiting", "1 when the store takes no telemetry", drain.state == "waiting"
    )
    yield GaugeMetricFamily(
        "dercp_drain_lag_frames", "Batches in the log, not in the store", drain.lag_frames
    )
    yield GaugeMetricFamily("dercp_drain_lag_bytes", "Their size, roughly", drain.lag_bytes)
    yield GaugeMetricFamily("dercp_drain_lag_seconds", "Age of the oldest of them", drain.lag_s)
    yield GaugeMetricFamily(
        "dercp_drain_quarantined", "Batches that the store refused for good", drain.quarantined
    )


def _spool_gauges(spools: SpoolSums) -> Iterator[GaugeMetricFamily]:
    """Sums over all agents: a series for each would be as many as there are agents."""
    yield GaugeMetricFamily(
        "dercp_spool_batches", "Batches in the agents' spools by their last words", spools.batches
    )
    yield GaugeMetricFamily("dercp_spool_bytes", "Their size", spools.bytes)
    yield GaugeMetricFamily(
        "dercp_spool_oldest_age_seconds",
        "Age of the oldest sample in any of them",
        spools.oldest_age_s,
    )
    yield GaugeMetricFamily(
        "dercp_spool_dropped_samples",
        "Samples that they dropped and declared",
        spools.dropped_samples,
    )
    yield GaugeMetricFamily(
        "dercp_spools_in_trouble", "Agents whose spool is in trouble", spools.in_trouble
    )


def exposition(operations: Operations, live: LiveStream) -> bytes:
    """The totals as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(HeadendCollector(operations, live))
    # What the process costs: CPU seconds, resident memory, open files.
    ProcessCollector(registry=registry)
    return generate_latest(registry)
