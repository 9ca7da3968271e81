"""What the nodes show: the assets as they are, in status codes and times of OPC UA."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import trio
from asyncua import ua

from dercp.edge.asset.device import AssetMemory
from dercp.edge.asset.lease import Lease
from dercp.edge.local_desk import LocalDesk, LocalTarget, Result
from dercp.edge.opcua.codes import data_value, moment, quality_code
from dercp.edge.opcua.nodes import AssetNodes, SiteNodes
from dercp.edge.site.keeper import SiteKeeper
from dercp.model.dispatch import AssetTarget, ShareState
from dercp.model.quality import Quality, Reason, judge
from dercp.model.reading import Reading
from dercp.model.time import Clock, format_rfc3339, us_from_s

__all__ = ["Showing", "Update"]

_Codes = ua.StatusCodes
_Types = ua.VariantType
_GOOD: Final = int(_Codes.Good)
_SHARE_CODES: Final = {
    ShareState.PLANNED: int(_Codes.UncertainInitialValue),
    ShareState.APPLIED: _GOOD,
    ShareState.FAILED: int(_Codes.BadNotConnected),
    ShareState.EXCLUDED: _GOOD,
    ShareState.ENDED: _GOOD,
}
_FAULT_CODES_MAX: Final = 2**32 - 1


class Update(NamedTuple):
    """A node and what it shows from now on."""

    node: ua.NodeId
    value: ua.DataValue


class _Fact(NamedTuple):
    """A value but for its times; shown anew when it changes."""

    value: float | bool | str | datetime | None
    variant: ua.VariantType
    code: int = _GOOD


class Showing:
    """Finds what has changed since it last looked.

    A reading is shown once for each poll of the device, whatever came between two looks; so
    that of each node there is one update at most.
    """

    def __init__(
        self,
        memories: Mapping[str, AssetMemory],
        desk: LocalDesk,
        site: SiteKeeper,
        nodes: tuple[SiteNodes, Mapping[str, AssetNodes]],
        clock: Clock,
    ) -> None:
        self._memories = memories
        self._desk = desk
        self._site = site
        self._site_nodes, self._nodes = nodes
        self._clock = clock
        self._shown: dict[ua.NodeId, _Fact] = {}
        # By asset: the readings that are shown, and whether they count as stale.
        self._readings: dict[str, tuple[Sequence[Reading], bool, bool]] = {}

    def updates(self) -> Iterator[Update]:
        """All that is new."""
        now_us, now_s = self._clock(), trio.current_time()
        now = moment(now_us)
        shares = {} if self._site.sharing is None else self._site.sharing.parts
        for asset_id, nodes in self._nodes.items():
            memory = self._memories[asset_id]
            yield from self._telemetry(memory, nodes, now, now_s)
            facts = self._status(memory, nodes)
            facts |= self._control(AssetTarget(asset_id), nodes.setpoint, nodes, now_us, now_s)
            part = shares.get(asset_id)
            facts[nodes.allocation] = (
                _Fact(math.nan, _Types.Double)
                if part is None
                else _Fact(part.share.setpoint_mw, _Types.Double, _SHARE_CODES[part.share.state])
            )
            yield from self._changed(facts, now)
        site = self._site_nodes
        yield from self._changed(
            self._control(self._desk.site, site.dispatch, site, now_us, now_s), now
        )

    def _changed(self, facts: Mapping[ua.NodeId, _Fact], now: datetime) -> Iterator[Update]:
        for node, fact in facts.items():
            if not _same(self._shown.get(node), fact):
                self._shown[node] = fact
                yield Update(node, data_value(fact.value, fact.variant, fact.code, now, now))

    def _telemetry(
        self, memory: AssetMemory, nodes: AssetNodes, now: datetime, now_s: float
    ) -> Iterator[Update]:
        asset_id, readings = memory.spec.asset_id, memory.readings
        stale = bool(readings) and memory.live(now_s).stale
        lost = _is_lost(memory)
        shown = self._readings.get(asset_id)
        if shown is not None and shown[0] is readings and shown[1:] == (stale, lost):
            return
        self._readings[asset_id] = (readings, stale, lost)
        source = now
        if readings and memory.source_time_us is not None:
            source = moment(memory.source_time_us)
        known = {reading.point: reading for reading in readings}
        missing = int(_Codes.BadNotConnected if lost else _Codes.BadWaitingForInitialData)
        if readings:
            missing = int(_Codes.BadNotSupported)
        for node, point in zip(nodes.points, memory.spec.points, strict=True):
            reading = known.get(point.name)
            if reading is None:
                yield Update(node, data_value(None, _Types.Double, missing, source, now))
                continue
            value, quality, reasons = judge(reading.value, point.low, point.high)
            quality, reasons = max(quality, reading.quality), reasons | reading.reasons
            if stale:
                quality, reasons = max(quality, Quality.UNCERTAIN), reasons | Reason.STALE
            code = quality_code(quality, reasons)
            yield Update(node, data_value(value, _Types.Double, code, source, now))

    def _status(self, memory: AssetMemory, nodes: AssetNodes) -> dict[ua.NodeId, _Fact]:
        seen_us = memory.source_time_us
        fault = next((each for each in memory.readings if each.point == "fault_code"), None)
        facts = {
            nodes.online: _Fact(memory.is_connected, _Types.Boolean),
            nodes.fault_code: _fault_code(fault),
        }
        if seen_us is not None:
            facts[nodes.last_seen] = _Fact(moment(seen_us), _Types.DateTime)
        return facts

    def _control(
        self,
        target: LocalTarget,
        setpoint: ua.NodeId,
        nodes: AssetNodes | SiteNodes,
        now_us: int,
        now_s: float,
    ) -> dict[ua.NodeId, _Fact]:
        lease = self._desk.holder(target)
        return {
            setpoint: _Fact(math.nan if lease is None else lease.setpoint_mw, _Types.Double),
            nodes.authority: _Fact("" if lease is None else lease.authority.value, _Types.String),
            nodes.held_until: _until(lease, self._shown.get(nodes.held_until), now_us, now_s),
            nodes.last_result: _Fact(_result(self._desk.results.get(target)), _Types.String),
            nodes.release: _Fact(value=False, variant=_Types.Boolean),
        }


def _is_lost(memory: AssetMemory) -> bool:
    """Whether it is out of reach; one that is opened for the first time is not."""
    connection = memory.connection
    if memory.is_connected or connection is None:
        return False
    return memory.source_time_us is not None or not connection.is_opening


def _fault_code(fault: Reading | None) -> _Fact:
    if fault is None or fault.value is None or not 0 <= fault.value <= _FAULT_CODES_MAX:
        return _Fact(None, _Types.UInt32, int(_Codes.BadNotSupported))
    return _Fact(int(fault.value), _Types.UInt32, quality_code(fault.quality, fault.reasons))


def _until(lease: Lease | None, shown: _Fact | None, now_us: int, now_s: float) -> _Fact:
    """When the lease ends, by this machine's clock; a little trembling of that is no news."""
    if lease is None:
        return _Fact(None, _Types.DateTime, int(_Codes.BadNoData))
    until = moment(now_us + us_from_s(lease.until_s - now_s)).replace(microsecond=0)
    before = None if shown is None else shown.value
    if isinstance(before, datetime) and abs((until - before).total_seconds()) <= 1.0:
        until = before
    return _Fact(until, _Types.DateTime)


def _result(result: Result | None) -> str:
    """The last word on what was asked here, for a person to read."""
    if result is None:
        return ""
    word, request = result.word, result.request
    when = format_rfc3339(word.source_time_us or request.start_us)
    why = ": ".join(each for each in (word.reason, word.detail) if each)
    asked = f"{when} {request.requested_by} {request.setpoint_mw:g} MW {word.state}"
    return f"{asked} ({why})" if why else asked


def _same(shown: _Fact | None, fact: _Fact) -> bool:
    if shown is None:
        return False
    both_nan = shown.value != shown.value and fact.value != fact.value  # so NaN is told
    return shown == fact or (both_nan and shown.code == fact.code)
