"""What a host application knows of one Sparkplug edge node: a state machine without I/O.

Messages go in; out come requests to be born again. Between birth and death the node reports
by exception: a metric that is not mentioned is as it was. So everything hangs on having heard
all of its messages, which the sequence number tells. After a gap what was not said since is
doubtful until the node is born again (Sparkplug 3.0, sections 5 and 6).
"""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from adapters.mqtt.sparkplug_payload import Metric, Payload, PayloadError, Value, decode
from adapters.mqtt.sparkplug_values import WrongTypeError, typed_value

__all__ = ["EdgeNode", "Held", "Kind", "NodeStatistics", "Oddity", "Standing"]

# A node that is asked too often does nothing but give birth.
REBIRTH_EVERY_S: Final = 10.0
REBIRTH_EVERY_S_MAX: Final = 160.0
DEVICES_MAX: Final = 1_000
METRICS_MAX: Final = 50_000
_SEQUENCES: Final = 256
_BD_SEQ: Final = "bdSeq"
_GOOD: Final = 192


class Kind(StrEnum):
    """The messages of an edge node, as their topics name them."""

    NODE_BIRTH = "NBIRTH"
    NODE_DATA = "NDATA"
    NODE_DEATH = "NDEATH"
    DEVICE_BIRTH = "DBIRTH"
    DEVICE_DATA = "DDATA"
    DEVICE_DEATH = "DDEATH"


_OF_NODE: Final = frozenset({Kind.NODE_BIRTH, Kind.NODE_DATA, Kind.NODE_DEATH})


class Standing(StrEnum):
    """How far what is held of a device, or of the node itself, can be believed."""

    UNKNOWN = "unknown"
    """No birth was heard yet."""
    ALIVE = "alive"
    DEAD = "dead"


class Oddity(StrEnum):
    """What was refused, or out of order, and is counted."""

    MALFORMED = "malformed"
    RETAINED = "retained"
    MISADDRESSED = "misaddressed"
    TOO_MANY = "too_many"
    NOT_BORN = "not_born"
    GAP = "gap"
    OLD_DEATH = "old_death"
    UNKNOWN_METRIC = "unknown_metric"
    WRONG_TYPE = "wrong_type"
    HISTORICAL = "historical"


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """The newest known of one metric. A metric that is said again is another object.

    Attributes:
        value: None when the node says that it does not know it, or not in the metric's type.
        quality: By the Sparkplug property (192 good, 500 stale).
        is_doubtful: Messages were missed since.
    """

    value: Value
    datatype: int
    alias: int | None
    heard_at_s: float
    quality: int = _GOOD
    is_doubtful: bool = False


class NodeStatistics(msgspec.Struct, frozen=True):
    """How it went since the node was first looked at."""

    messages: int
    births: int
    rebirths_asked: int
    oddities: Mapping[Oddity, int]


class _Part:
    """The node itself, or one of its devices."""

    def __init__(self) -> None:
        self.standing = Standing.UNKNOWN
        self.metrics: dict[str, Held] = {}
        self.names: dict[int, str] = {}
        self.heard_at_s: float | None = None


class EdgeNode:
    """One edge node and its devices.

    Characteristics:
        Bounds: `DEVICES_MAX` devices and `METRICS_MAX` metrics; a birth beyond them is refused.
        Requests: at most one each `REBIRTH_EVERY_S`; one that is not answered doubles that.

    Attributes:
        oddities: How often what was odd.
    """

    def __init__(self) -> None:
        self._node = _Part()
        self._devices: dict[str, _Part] = {}
        self._bd_seq: Value = None
        self._sequence = 0
        self._is_incomplete = True
        self._ask_from_s = 0.0
        self._ask_every_s = REBIRTH_EVERY_S
        self._messages = 0
        self._births = 0
        self._asked = 0
        self.oddities: Counter[Oddity] = Counter()

    # ------------------------------------------------------------- what is known

    def standing(self, device: str | None) -> Standing:
        """How it stands with a device; None is the node itself."""
        part = self._part(device)
        return Standing.UNKNOWN if part is None else part.standing

    def held(self, device: str | None, name: str) -> Held | None:
        """The newest known of a metric; it stays when its device dies."""
        part = self._part(device)
        return None if part is None else part.metrics.get(name)

    def heard_at_s(self, device: str | None) -> float | None:
        """When a live message of this device came; None = never."""
        part = self._part(device)
        return None if part is None else part.heard_at_s

    def statistics(self) -> NodeStatistics:
        """The counters."""
        return NodeStatistics(
            self._messages, self._births, self._asked, dict(sorted(self.oddities.items()))
        )

    # ---------------------------------------------------------- what comes and goes

    def receive(self, kind: Kind, device: str | None, data: bytes, now_s: float) -> None:
        """Take a message of the node into account; `device` as in its topic."""
        self._messages += 1
        if (device is None) != (kind in _OF_NODE):
            self._count(Oddity.MISADDRESSED)
            return
        try:
            payload = decode(data)
        except PayloadError:
            # Whatever it said is missed; the sequence number of the next one will tell as well.
            self._count(Oddity.MALFORMED)
            self._doubt()
            return
        match kind:
            case Kind.NODE_BIRTH:
                self._node_birth(payload, now_s)
            case Kind.NODE_DEATH:
                self._node_death(payload)
            case Kind.NODE_DATA | Kind.DEVICE_BIRTH | Kind.DEVICE_DATA | Kind.DEVICE_DEATH:
                self._continue(kind, device, payload, now_s)

    def refuse_retained(self) -> None:
        """A message that the broker kept is of no known age; Sparkplug knows none."""
        self._messages += 1
        self._count(Oddity.RETAINED)

    def take_request(self, now_s: float) -> bool:
        """Whether the node should be asked now to be born again; that counts as asked."""
        if not self._is_incomplete or now_s < self._ask_from_s:
            return False
        self._asked += 1
        self._ask_from_s = now_s + self._ask_every_s
        self._ask_every_s = min(2 * self._ask_every_s, REBIRTH_EVERY_S_MAX)
        return True

    # ------------------------------------------------------------------ the messages

    def _node_birth(self, payload: Payload, now_s: float) -> None:
        if payload.seq is None or not 0 <= payload.seq < _SEQUENCES:
            self._count(Oddity.MALFORMED)
            self._doubt()
            return
        for part in self._devices.values():
            part.standing = Standing.DEAD
        if not self._be_born(self._node, payload, now_s):
            self._doubt()
            return
        self._births += 1
        born = self._node.metrics.get(_BD_SEQ)
        self._bd_seq = None if born is None else born.value
        self._sequence = payload.seq
        self._is_incomplete = False
        self._ask_every_s = REBIRTH_EVERY_S

    def _node_death(self, payload: Payload) -> None:
        """The broker publishes it for a node that is gone; one of an earlier session comes late."""
        of = next((metric.value for metric in payload.metrics if metric.name == _BD_SEQ), None)
        if of is not None and self._bd_seq is not None and of != self._bd_seq:
            self._count(Oddity.OLD_DEATH)
            return
        for part in (self._node, *self._devices.values()):
            part.standing = Standing.DEAD
        # It comes back with a birth of its own accord.
        self._is_incomplete = False

    def _continue(self, kind: Kind, device: str | None, payload: Payload, now_s: float) -> None:
        """A message that carries the sequence on."""
        if self._node.standing is not Standing.ALIVE:
            self._count(Oddity.NOT_BORN)
            self._is_incomplete = True
            return
        expected = (self._sequence + 1) % _SEQUENCES
        if payload.seq != expected:
            self._count(Oddity.GAP)
            self._doubt()
        if payload.seq is not None:
            self._sequence = payload.seq % _SEQUENCES
        if kind is Kind.DEVICE_BIRTH and device is not None:
            self._device_birth(device, payload, now_s)
            return
        part = self._part(device)
        if part is None or part.standing is not Standing.ALIVE:
            if kind is not Kind.DEVICE_DEATH:
                self._count(Oddity.NOT_BORN)
                self._is_incomplete = True
        elif kind is Kind.DEVICE_DEATH:
            part.standing = Standing.DEAD
        else:
            self._data(part, payload, now_s)

    def _device_birth(self, device: str, payload: Payload, now_s: float) -> None:
        if device not in self._devices and len(self._devices) >= DEVICES_MAX:
            self._count(Oddity.TOO_MANY)
            return
        self._be_born(self._devices.setdefault(device, _Part()), payload, now_s)

    def _be_born(self, part: _Part, payload: Payload, now_s: float) -> bool:
        """All metrics of a part anew, with their names, aliases and types."""
        others = sum(len(p.metrics) for p in (self._node, *self._devices.values()) if p is not part)
        if others + len(payload.metrics) > METRICS_MAX:
            self._count(Oddity.TOO_MANY)
            part.standing = Standing.DEAD
            return False
        part.metrics, part.names = {}, {}
        for metric in payload.metrics:
            if not metric.name or metric.datatype is None:
                self._count(Oddity.UNKNOWN_METRIC)
                continue
            if metric.alias is not None:
                part.names[metric.alias] = metric.name
            part.metrics[metric.name] = self._held(metric, metric.datatype, metric.alias, now_s)
        part.standing = Standing.ALIVE
        part.heard_at_s = now_s
        return True

    def _data(self, part: _Part, payload: Payload, now_s: float) -> None:
        for metric in payload.metrics:
            name = metric.name or part.names.get(-1 if metric.alias is None else metric.alias, "")
            born = part.metrics.get(name)
            if born is None:
                self._count(Oddity.UNKNOWN_METRIC)
                self._is_incomplete = True
            elif metric.is_historical:
                self._count(Oddity.HISTORICAL)
            else:
                part.heard_at_s = now_s
                part.metrics[name] = self._held(metric, born.datatype, born.alias, now_s)

    def _held(self, metric: Metric, datatype: int, alias: int | None, now_s: float) -> Held:
        try:
            value = typed_value(metric, datatype)
        except WrongTypeError:
            self._count(Oddity.WRONG_TYPE)
            value = None
        return Held(
            value=value,
            datatype=datatype,
            alias=alias,
            heard_at_s=now_s,
            quality=_GOOD if metric.quality is None else metric.quality,
        )

    def _doubt(self) -> None:
        """Something was missed: what is held may have changed unheard."""
        if self._node.standing is not Standing.DEAD:
            self._is_incomplete = True
        for part in (self._node, *self._devices.values()):
            part.metrics = {
                name: msgspec.structs.replace(held, is_doubtful=True)
                for name, held in part.metrics.items()
            }

    def _part(self, device: str | None) -> _Part | None:
        return self._node if device is None else self._devices.get(device)

    def _count(self, oddity: Oddity) -> None:
        self.oddities[oddity] += 1
