"""Gathers the rows of all assets into frames: one per round of polls, not one per device."""

import math
from typing import Final

import trio

from actors import Actor, Context
from dercp.edge.spool.outbox import Draft, Outbox
from dercp.wire.envelope import CONTROL_BYTES_MAX
from dercp.wire.payload import RowDraft, encode_payload

__all__ = ["Collector", "FrameLimits"]

# Waits for devices that answer a little later; a tenth of a second nobody sees.
LINGER_S: Final = 0.1
ROWS_MAX: Final = 2000
# Small enough that a dispatch update behind it waits little on a slow line.
FRAME_BYTES_MAX: Final = 256 * 1024
BATCH: Final = 256


class FrameLimits:
    """How large a frame may be: by our own bound, or by the headend's when that is less."""

    def __init__(self) -> None:
        self.bytes_max = FRAME_BYTES_MAX

    def learn(self, message_bytes_max: int) -> None:
        """What a Welcome said; 0 says nothing. The envelope around a frame is small."""
        if message_bytes_max:
            fits = message_bytes_max - min(CONTROL_BYTES_MAX, message_bytes_max // 2)
            self.bytes_max = min(FRAME_BYTES_MAX, fits)


class Collector(Actor[RowDraft]):
    """Takes rows from the devices and puts frames into the outbox.

    Characteristics:
        Flushes: when all assets have reported, when a frame is full, and at the latest
            `LINGER_S` after the first row.
        Survives a crash: what is in the outbox; not the rows of the frame being gathered.
    """

    def __init__(
        self, outbox: Outbox, registration_id: bytes, assets: int, limits: FrameLimits
    ) -> None:
        self._outbox = outbox
        self._registration_id = registration_id
        self._assets = assets
        self._limits = limits
        self._rows: list[RowDraft] = []
        self._reported: set[int] = set()
        self._bytes = 0
        self._flush_at_s = math.inf

    async def run(self, context: Context[RowDraft]) -> None:
        """Gather until told to end, then flush."""
        while True:
            batch = None
            with trio.move_on_at(self._flush_at_s):
                batch = await context.receive_batch(BATCH)
            if batch is None:
                await self._flush()
                continue
            if not batch:
                break
            for envelope in batch:
                await self._add(envelope.body)
        await self._flush()

    async def _add(self, row: RowDraft) -> None:
        size = _bytes_at_most(row)
        if self._rows and self._bytes + size > self._limits.bytes_max:
            await self._flush()
        if not self._rows:
            self._flush_at_s = trio.current_time() + LINGER_S
        self._rows.append(row)
        self._reported.add(row.asset_index)
        self._bytes += size
        if len(self._reported) == self._assets or len(self._rows) >= ROWS_MAX:
            await self._flush()

    async def _flush(self) -> None:
        rows, self._rows = self._rows, []
        self._reported.clear()
        self._bytes = 0
        self._flush_at_s = math.inf
        if not rows:
            return
        from_us = min(row.source_time_us for row in rows)
        await self._outbox.put(
            Draft(
                registration_id=self._registration_id,
                payload=encode_payload(from_us, rows),
                from_us=from_us,
                to_us=max(row.source_time_us for row in rows),
                samples=len(rows),
            )
        )


def _bytes_at_most(row: RowDraft) -> int:
    """An upper bound of the row's share of a payload; see TelemetryPayload in the .proto."""
    return 32 + 8 * len(row.values) + 12 * len(row.qualities)
