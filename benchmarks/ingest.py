"""What a frame of telemetry costs the headend between the socket and the log.

    python benchmarks/ingest.py [--short]

A frame of 300 assets with ten values each, as a gateway sends it, taken the way that a
session takes it: envelope, payload, a place for each row, the record for the log. Beside
it, in the same run, google.protobuf (upb) that parses the same bytes and looks at nothing.
CPU time of this process, best of a few rounds: noise on a shared machine only ever adds.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import cast

import trio
from codec import NOON_US, POINTS, rows_of, site

from dercp.headend.agents.facts import SessionFacts
from dercp.headend.agents.intake import Intake, schema_of
from dercp.headend.fleet.roster import Roster
from dercp.headend.history.ingest import IngestFront
from dercp.headend.messages import IngestMessage, SessionRef
from dercp.headend.settings import HeadendSettings
from dercp.store.ports import Registry
from dercp.wire import v1
from dercp.wire.envelope import decode_uplink, encode_uplink
from dercp.wire.payload import encode_payload
from dercp.wire.registration import encode_registration, registration_id
from dercp.wire.v1 import edge_link_pb2

ASSETS = 300


class Nowhere:
    """An ingest front behind which nothing is."""

    def hand_in(self, message: IngestMessage) -> None:
        """Forget it."""


class Gateway:
    """The intake of a session with a gateway, and the frames that the gateway sends."""

    def __init__(self, assets: int) -> None:
        settings, registration = HeadendSettings(), site(assets)
        roster = Roster(sessions_remembered_max=1)
        agent, _ = roster.enter("gateway", registration)
        facts = SessionFacts(peer="bench", connected_us=NOON_US)
        facts.agent_id = "gateway"
        facts.admit(1, agent.asset_ids)
        self._now_us = NOON_US + 1_000_000
        self._intake = Intake(
            facts,
            roster,
            cast("Registry", None),
            cast("IngestFront", Nowhere()),
            settings=settings,
            clock=lambda: self._now_us,
            bulk_decoding=trio.CapacityLimiter(1),
        )
        content = encode_registration(registration)
        self._id = registration_id(content)
        self._intake.open(
            cast("SessionRef", None),
            v1.Hello(agent_id="gateway", spool_id="spool"),
            registration,
            (self._id, schema_of(registration, settings)),
            tuple(roster.twins[asset_id] for asset_id in agent.asset_ids),
        )
        self._sequences = count(1)
        self._drafts = rows_of(assets)

    def frame(self) -> bytes:
        """The next frame, a second after the one before."""
        sequence = next(self._sequences)
        base_us = NOON_US + sequence * 1_000_000
        drafts = [
            draft.__class__(draft.asset_index, base_us, draft.values) for draft in self._drafts
        ]
        batch = v1.TelemetryBatch(
            sequence=sequence, registration_id=self._id, payload=encode_payload(base_us, drafts)
        )
        self._now_us = base_us + 50_000
        return encode_uplink(v1.Uplink(telemetry=batch))

    async def take(self, frame: bytes) -> None:
        """What a session does with it."""
        uplink = decode_uplink(frame)
        assert uplink.telemetry is not None
        await self._intake.take_batch(uplink.telemetry, 0.0)


def cpu_us(task: Callable[[], object], repeat: int) -> float:
    """CPU time of one call, in µs."""
    began_s = time.process_time()
    for _ in range(repeat):
        task()
    return (time.process_time() - began_s) / repeat * 1e6


def drive(gateway: Gateway, frames: list[bytes]) -> None:
    """Take the frames; nothing in there waits."""
    for frame in frames:
        try:
            gateway.take(frame).send(None)
        except StopIteration:
            continue


def main() -> None:
    """Print both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a second or two, to see it run")
    rounds, frames_per_round = (3, 20) if parser.parse_args().short else (15, 100)
    gateway = Gateway(ASSETS)
    payload = encode_payload(NOON_US, rows_of(ASSETS))
    ours, parse = float("inf"), float("inf")
    for _ in range(rounds):
        frames = [gateway.frame() for _ in range(frames_per_round)]
        ours = min(ours, cpu_us(partial(drive, gateway, frames), 1) / frames_per_round)
        parse = min(parse, cpu_us(partial(edge_link_pb2.TelemetryPayload.FromString, payload), 100))
    print(f"{ASSETS} assets of {len(POINTS)} points, {len(payload)} bytes a frame")
    print(f"headend      {ours:8.1f} µs a frame {ours / ASSETS:7.3f} µs a sample")
    print(f"upb parse    {parse:8.1f} µs a frame {parse / ASSETS:7.3f} µs a sample")
    print(f"ratio        {ours / parse:8.2f}")


if __name__ == "__main__":
    main()
