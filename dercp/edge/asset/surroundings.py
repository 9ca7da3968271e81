"""What is known of an asset beside its setpoint: its state of charge, and who controls it."""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from dercp.edge.config.settings import RemoteControl
from dercp.model.guardrail import Condition, Control
from dercp.model.latest import STALE_INTERVALS
from dercp.model.quality import Quality
from dercp.model.reading import Reading

__all__ = ["Surroundings"]

# A value that fails to come now and then must not stop a battery.
HOLDS_S_MIN: Final = 5.0


class _Seen(msgspec.Struct, frozen=True):
    value: float
    until_s: float


class Surroundings:
    """Collects what the guardrails ask for. Times are monotonic seconds.

    A value stands for three sample intervals (5 s at least); after that it is not known.

    Attributes:
        locked: Why the people at the site have locked the asset; None = they have not.
    """

    def __init__(self, remote: RemoteControl | None, interval_s: float) -> None:
        self.locked: str | None = None
        self._remote = remote
        self._holds_s = max(HOLDS_S_MIN, STALE_INTERVALS * interval_s)
        self._points = {"active_power_mw", "setpoint_mw", "soc_pct"}
        if remote is not None:
            self._points.add(remote.point)
        self._seen: dict[str, _Seen] = {}

    def observe(self, readings: Sequence[Reading], now_s: float) -> None:
        """A poll has been answered."""
        for reading in readings:
            value = reading.value
            if reading.point not in self._points or reading.quality is Quality.BAD:
                continue
            if value is not None and math.isfinite(value):
                self._seen[reading.point] = _Seen(value, now_s + self._holds_s)

    def forget(self) -> None:
        """The device was lost: nothing is known of it."""
        self._seen.clear()

    def value(self, point: str, now_s: float) -> float | None:
        """A point of the asset; None if it is not known."""
        seen = self._seen.get(point)
        return None if seen is None or seen.until_s < now_s else seen.value

    def condition(self, now_s: float) -> Condition:
        """What the guardrails judge by."""
        return Condition(
            soc_pct=self.value("soc_pct", now_s),
            control=self._control(now_s),
            locked_out=self.locked is not None,
        )

    def power_mw(self, now_s: float) -> float | None:
        """The setpoint that the device says is in force, or else what it gives."""
        setpoint_mw = self.value("setpoint_mw", now_s)
        return self.value("active_power_mw", now_s) if setpoint_mw is None else setpoint_mw

    def _control(self, now_s: float) -> Control:
        """Local until it is known to be remote again; remote for as long as that is known."""
        seen = None if self._remote is None else self._seen.get(self._remote.point)
        if seen is None or self._remote is None:
            return Control.NOT_KNOWN
        if seen.value != self._remote.value:
            return Control.LOCAL
        return Control.REMOTE if now_s <= seen.until_s else Control.NOT_KNOWN
