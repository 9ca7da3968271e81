"""Totals as Prometheus reads them."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from dercp.api.live.stream import LiveStream
from dercp.api.ports import Operations

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
        yield GaugeMetricFamily(
            "dercp_stream_clients", "Clients that follow the live stream", self._live.clients
        )
        totals = dict(self._operations.counters())
        totals |= {f"stream_{name}": total for name, total in self._live.counts.items()}
        for name, total in sorted(totals.items()):
            yield CounterMetricFamily(f"dercp_{name}", name.replace("_", " "), total)


def exposition(operations: Operations, live: LiveStream) -> bytes:
    """The totals as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(HeadendCollector(operations, live))
    return generate_latest(registry)
