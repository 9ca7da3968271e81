"""What a simulation keeps an eye on while it is measured."""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

from dercp.cli.exits import CommandError
from dercp.cli.sim_api import SimApi
from dercp.cli.sim_report import Recovery
from sim.load.fleet import asset_ids
from sim.load.latency import Latencies
from sim.load.plan import Fleet
from sim.load.words import Counts
from sim.seeded import seeded

# Few enough that the looking is not what is measured: a request costs about a millisecond.
LOOKS_PER_S: Final = 10.0
RATE_OVER_S: Final = 5.0
RECOVERIES_MAX: Final = 100


class AgeWatch:
    """How old samples are when they can first be read, of assets picked at random.

    The age is from the source time to when the headend put the sample where its readers
    look, both as the API tells them. It holds for two machines as far as their clocks agree.
    """

    def __init__(self, api: SimApi, fleet: Fleet) -> None:
        self.latencies = Latencies()
        self._api = api
        self._ids = asset_ids(fleet)
        self._draw = seeded(fleet.seed, "ages")

    async def run(self) -> None:
        """Until cancelled. What the headend cannot answer now is passed over."""
        seen: set[tuple[str, float]] = set()
        while True:
            asset_id = self._draw.choice(self._ids)
            try:
                sample = await self._api.latest(asset_id)
            except CommandError:
                sample = None
            if sample is not None:
                key = (asset_id, sample.source_time.timestamp())
                # The same again would count twice; the set is emptied before it grows large.
                if key not in seen:
                    self.latencies.note(sample.age_s)
                seen.add(key)
                if len(seen) > 10_000:
                    seen.clear()
            await trio.sleep(1 / LOOKS_PER_S)


class RateWatch:
    """Samples a second over the last few seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Counts]] = deque()

    def look(self, now_s: float, counts: Counts) -> tuple[float, float]:
        """Take in what is now: produced and acknowledged a second."""
        self._seen.append((now_s, counts))
        while now_s - self._seen[0][0] > RATE_OVER_S:
            self._seen.popleft()
        then_s, then = self._seen[0]
        if now_s <= then_s:
            return 0.0, 0.0
        lasted_s = now_s - then_s
        produced = counts.produced - then.produced
        acknowledged = counts.acknowledged - then.acknowledged
        return produced / lasted_s, acknowledged / lasted_s


class RecoveryWatch:
    """When agents lost their sessions, and when all had one again; to half a second."""

    def __init__(self) -> None:
        self._done: list[Recovery] = []
        self._down: tuple[float, int] | None = None

    def look(self, at_s: float, counts: Counts) -> None:
        """Take in what is now."""
        if counts.up < counts.agents:
            since_s, least = self._down or (at_s, counts.up)
            self._down = (since_s, min(least, counts.up))
        elif self._down is not None:
            self._end(round(at_s - self._down[0], 1))

    def seen(self) -> tuple[Recovery, ...]:
        """All of them."""
        if self._down is not None:
            self._end(None)
        return tuple(self._done)

    def _end(self, back_after_s: float | None) -> None:
        if self._down is not None and len(self._done) < RECOVERIES_MAX:
            at_s, least_up = self._down
            self._done.append(
                Recovery(at_s=round(at_s, 1), least_up=least_up, back_after_s=back_after_s)
            )
        self._down = None
