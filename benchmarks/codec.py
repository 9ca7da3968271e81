"""The wire's codecs beside the libraries they stand on, as ratios of one run.

    python benchmarks/codec.py [--short]

Payloads: frames of 100 and 300 rows of ten values, beside google.protobuf (upb) that parses the
bytes and looks at nothing, and that looks at the three fields of a row which decode checks.
Envelopes: beside betterproto2's own parser and writer. Each figure is the best of a few rounds,
because noise on a shared machine only ever adds.
"""

import argparse
import timeit
from collections.abc import Callable
from functools import partial

from dercp.model.asset import AssetSpec, Registration, RegistrationLimits, standard_point
from dercp.model.points import Kind, points_of
from dercp.wire import v1
from dercp.wire.envelope import decode_downlink, decode_uplink, encode_downlink, encode_uplink
from dercp.wire.payload import PayloadSchema, RowDraft, encode_payload
from dercp.wire.registration import decode_registration, encode_registration
from dercp.wire.v1 import edge_link_pb2

NOON_US = 1_790_000_000_000_000
POINTS = tuple(standard_point(point.name) for point in points_of(Kind.STORAGE)[:10])


class Bench:
    """Times tasks beside their peers, in turns, and prints what it found."""

    def __init__(self, *, rounds: int, round_s: float) -> None:
        self._rounds = rounds
        self._round_s = round_s

    def report(
        self,
        name: str,
        task: Callable[[], object],
        peer_name: str,
        peer: Callable[[], object],
        per: int = 1,
    ) -> None:
        """Print the time of a task, divided by `per`, beside its peer's."""
        rounds = [(self._round_us(task), self._round_us(peer)) for _ in range(self._rounds)]
        ours = min(ours for ours, _ in rounds) / per
        theirs = min(theirs for _, theirs in rounds) / per
        print(f"{name:<34} {ours:8.3f} µs   {ours / theirs:6.2f} x {peer_name} ({theirs:.3f} µs)")

    def _round_us(self, task: Callable[[], object]) -> float:
        timer = timeit.Timer(task)
        count = max(1, int(self._round_s / timer.timeit(1)))
        return timer.timeit(count) / count * 1e6


def site(assets: int) -> Registration:
    """A site of batteries with ten points each."""
    return Registration(
        site_id="site",
        site_name="Site",
        assets=tuple(
            AssetSpec(
                asset_id=f"battery-{index}",
                name="Battery",
                kind=Kind.STORAGE,
                p_min_mw=-1,
                p_max_mw=1,
                points=POINTS,
            )
            for index in range(assets)
        ),
    )


def rows_of(assets: int) -> list[RowDraft]:
    """A row of each asset."""
    values = [0.1 * index for index in range(len(POINTS))]
    return [RowDraft(index, NOON_US + index, values) for index in range(assets)]


def payloads(bench: Bench, assets: int) -> None:
    """One frame: all of it, then what a reader pays for one row."""
    schema, drafts = PayloadSchema(site(assets)), rows_of(assets)
    payload = encode_payload(NOON_US, drafts)
    frame = schema.decode(payload)
    row = frame.rows[0]
    parsed = edge_link_pb2.TelemetryPayload.FromString(payload)

    def parse() -> object:
        return edge_link_pb2.TelemetryPayload.FromString(payload)

    def walk() -> None:
        for content in edge_link_pb2.TelemetryPayload.FromString(payload).rows:
            _ = content.asset_index, content.time_offset_us, len(content.values)

    def copy_values() -> object:
        return row.content.values[:]

    print(f"\nframe of {assets} rows, {len(payload)} bytes; per row")
    bench.report("decode", lambda: schema.decode(payload), "upb parse", parse, assets)
    bench.report("decode", lambda: schema.decode(payload), "upb parse and walk", walk, assets)
    bench.report(
        "encode",
        lambda: encode_payload(NOON_US, drafts),
        "upb serialize",
        parsed.SerializeToString,
        assets,
    )
    bench.report("readings", lambda: schema.readings(row), "upb values[:]", copy_values)
    bench.report("oddities", lambda: schema.oddities(frame), "upb parse", parse, assets)
    readings = schema.readings(row)
    bench.report("draft", lambda: schema.draft(0, NOON_US, readings), "upb values[:]", copy_values)


def envelopes(bench: Bench) -> None:
    """The two messages that every frame costs, and a heartbeat."""
    batch = v1.Uplink(
        telemetry=v1.TelemetryBatch(
            sequence=1_000_000,
            registration_id=bytes(16),
            payload=encode_payload(NOON_US, rows_of(300)),
        )
    )
    beat = v1.Uplink(heartbeat=v1.Heartbeat(time_us=NOON_US))
    ack = v1.Downlink(
        telemetry_ack=v1.TelemetryAck(
            spool_id="spool", ranges=[v1.SequenceRange(first=1_000_000, last=1_000_001)]
        )
    )
    print("\nenvelopes; per message")
    peer = "betterproto2"
    for name, uplink in (("telemetry of 300 rows", batch), ("heartbeat", beat)):
        encoded = encode_uplink(uplink)
        bench.report(
            f"decode {name}",
            partial(decode_uplink, encoded),
            peer,
            partial(v1.Uplink.parse, encoded),
        )
        bench.report(f"encode {name}", partial(encode_uplink, uplink), peer, partial(bytes, uplink))
    encoded = encode_downlink(ack)
    bench.report(
        "decode acknowledgement",
        lambda: decode_downlink(encoded),
        peer,
        lambda: v1.Downlink.parse(encoded),
    )
    bench.report("encode acknowledgement", lambda: encode_downlink(ack), peer, lambda: bytes(ack))


def registrations(bench: Bench) -> None:
    """A site, as a Hello carries it."""
    registration, limits = site(300), RegistrationLimits()
    content = encode_registration(registration)
    print(f"\nregistration of 300 assets, {len(content)} bytes; per asset")
    bench.report(
        "decode and check",
        lambda: decode_registration(content, limits),
        "upb parse",
        lambda: edge_link_pb2.Registration.FromString(content),
        300,
    )


def main() -> None:
    """Run them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a second or two, to see it run")
    short = parser.parse_args().short
    bench = Bench(rounds=3 if short else 9, round_s=0.005 if short else 0.1)
    for assets in (100, 300):
        payloads(bench, assets)
    envelopes(bench)
    registrations(bench)


if __name__ == "__main__":
    main()
