"""Gateways that send a batch a second each, and keep what is not acknowledged."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from dercp.link import ClientCall, open_call
from dercp.model.asset import AssetSpec, Registration, standard_point
from dercp.model.points import Kind
from dercp.wire import CONNECT_PATH, v1
from dercp.wire.envelope import decode_downlink, encode_uplink
from dercp.wire.payload import RowDraft, encode_payload
from dercp.wire.registration import encode_registration, registration_id

POINTS = ("active_power_mw", "reactive_power_mvar", "soc_pct", "setpoint_mw", "frequency_hz")
BEAT_EVERY_S = 5.0
LAST_WORD_WITHIN_S = 10.0


def now_us() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000


@dataclass
class Sent:
    """What the gateways know of their own batches, by the number of the gateway.

    Attributes:
        batches: The last sequence sent; they begin at 1.
        acknowledged: The sequences that the headend has acknowledged.
        slowest_s: The longest wait for an acknowledgement.
    """

    batches: dict[int, int] = field(default_factory=dict)
    acknowledged: dict[int, set[int]] = field(default_factory=dict)
    slowest_s: float = 0.0


def gateway_id(number: int) -> str:
    """What a gateway is called."""
    return f"gateway-{number:03d}"


def asset_id(gateway: int, number: int) -> str:
    """What one of its assets is called."""
    return f"bess-{gateway:03d}-{number:03d}"


class Gateway:
    """One connection that lasts, a row for each asset every second."""

    def __init__(self, number: int, assets: int, sent: Sent) -> None:
        self._number = number
        self._assets = assets
        self._sent = sent
        self._waiting: dict[int, float] = {}
        self._over = False
        self._answered = trio.Event()
        self._content = encode_registration(_registration(number, assets))
        sent.batches[number] = 0
        sent.acknowledged[number] = set()

    async def run(self, port: int, *, until_s: float, first_after_s: float) -> None:
        """Send until then (`trio.current_time`), and stay for the last acknowledgements."""
        await trio.sleep(first_after_s)
        async with open_call("127.0.0.1", port, CONNECT_PATH) as call:
            await self._hello(call)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hear, call)
                nursery.start_soon(self._beat, call)
                next_at = trio.current_time()
                while next_at < until_s:
                    await trio.sleep_until(next_at)
                    await self._send(call)
                    next_at += 1.0
                self._over = True
                with trio.move_on_after(LAST_WORD_WITHIN_S):
                    await self._answered.wait()
                nursery.cancel_scope.cancel()

    async def _hello(self, call: ClientCall) -> None:
        hello = v1.Hello(
            agent_id=gateway_id(self._number),
            software_version="steady load",
            spool_id="spool-1",
            registration=self._content,
            time_us=now_us(),
        )
        await call.send(encode_uplink(v1.Uplink(hello=hello)))
        answer = decode_downlink(await call.receive() or b"")
        assert answer.welcome is not None, answer

    async def _send(self, call: ClientCall) -> None:
        self._sent.batches[self._number] += 1
        sequence, taken_us = self._sent.batches[self._number], now_us()
        values = [1.0 + sequence % 100 / 100, 0.1, 50.0, 1.0, 50.0]
        rows = [RowDraft(index, taken_us, values) for index in range(self._assets)]
        batch = v1.TelemetryBatch(
            sequence=sequence,
            registration_id=registration_id(self._content),
            payload=encode_payload(taken_us, rows),
        )
        self._waiting[sequence] = trio.current_time()
        await call.send(encode_uplink(v1.Uplink(telemetry=batch)))

    async def _hear(self, call: ClientCall) -> None:
        while (content := await call.receive()) is not None:
            ack = decode_downlink(content).telemetry_ack
            for stretch in ack.ranges if ack is not None else ():
                for sequence in range(stretch.first, stretch.last + 1):
                    waited_s = trio.current_time() - self._waiting.pop(sequence)
                    self._sent.slowest_s = max(self._sent.slowest_s, waited_s)
                    self._sent.acknowledged[self._number].add(sequence)
            if self._over and not self._waiting:
                self._answered.set()
        raise AssertionError(f"{gateway_id(self._number)}: the headend ended the call")

    async def _beat(self, call: ClientCall) -> None:
        while True:
            await trio.sleep(BEAT_EVERY_S)
            await call.send(encode_uplink(v1.Uplink(heartbeat=v1.Heartbeat(time_us=now_us()))))


def _registration(gateway: int, assets: int) -> Registration:
    specs: Sequence[AssetSpec] = [
        AssetSpec(
            asset_id=asset_id(gateway, number),
            name="",
            kind=Kind.STORAGE,
            p_min_mw=-2.0,
            p_max_mw=2.0,
            sample_interval_s=1.0,
            points=tuple(standard_point(name) for name in POINTS),
        )
        for number in range(assets)
    ]
    return Registration(
        site_id=f"site-{gateway:03d}", site_name=f"Site {gateway}", assets=tuple(specs)
    )
