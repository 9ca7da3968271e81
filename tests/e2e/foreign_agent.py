"""An edge agent written from the .proto alone, with grpcio: it knows nothing of dercp's code.

Run as `python foreign_agent.py HOST:PORT`, with the folder of the generated
`edge_link_pb2.py` on the import path. It registers one battery, streams a sample
every 0.2 s, and does as it is told: a dispatch is acknowledged, applied, and then measured.
"""

import hashlib
import queue
import sys
import threading
import time
from collections.abc import Iterator

import edge_link_pb2 as wire
import grpc

AGENT_ID = "foreign"
ASSET_ID = "foreign-bess"
POINTS = (wire.POINT_ACTIVE_POWER_MW, wire.POINT_SOC_PCT)


def now_us() -> int:
    """Unix time in microseconds."""
    return time.time_ns() // 1000


def registration() -> bytes:
    """What stands here."""
    asset = wire.AssetRegistration(
        asset_id=ASSET_ID,
        name="Foreign battery",
        kind=wire.ASSET_KIND_STORAGE,
        p_min_mw=-1.0,
        p_max_mw=1.0,
        energy_capacity_mwh=2.0,
        sample_interval_ms=200,
        points=[wire.PointRegistration(point=point) for point in POINTS],
    )
    site = wire.Registration(site_id="foreign-site", site_name="Elsewhere", assets=[asset])
    return site.SerializeToString()


class Agent:
    """One call, from Hello to the end of the stream."""

    def __init__(self) -> None:
        self.power_mw = 0.0
        self.outgoing: queue.Queue[wire.Uplink] = queue.Queue(maxsize=100)
        self.pause = threading.Event()
        self.registration = registration()

    def uplinks(self) -> Iterator[wire.Uplink]:
        """Everything that is said."""
        yield wire.Uplink(
            hello=wire.Hello(
                agent_id=AGENT_ID,
                software_version="foreign 1",
                spool_id="foreign-spool",
                registration=self.registration,
                time_us=now_us(),
            )
        )
        while True:
            yield self.outgoing.get()

    def stream(self) -> None:
        """Say a sample every 0.2 s."""
        registration_id = hashlib.sha256(self.registration).digest()[:16]
        for sequence in range(1, 1_000):
            row = wire.AssetRow(asset_index=0, values=[self.power_mw, 50.0])
            payload = wire.TelemetryPayload(base_time_us=now_us(), rows=[row])
            self.outgoing.put(
                wire.Uplink(
                    telemetry=wire.TelemetryBatch(
                        sequence=sequence,
                        registration_id=registration_id,
                        payload=payload.SerializeToString(),
                    )
                )
            )
            self.pause.wait(0.2)

    def obey(self, order: wire.Dispatch) -> None:
        """Acknowledge, apply."""
        self.power_mw = order.setpoint_mw
        for state in (wire.DISPATCH_STATE_ACKED, wire.DISPATCH_STATE_APPLIED):
            update = wire.DispatchUpdate(
                dispatch_id=order.dispatch_id,
                revision=order.revision,
                state=state,
                time_us=now_us(),
            )
            if state == wire.DISPATCH_STATE_APPLIED:
                update.readback_mw = order.setpoint_mw
            self.outgoing.put(wire.Uplink(dispatch_update=update))


def main(address: str) -> None:
    """Talk until the headend ends the call."""
    agent = Agent()
    with grpc.insecure_channel(address) as channel:
        connect = channel.stream_stream(
            "/dercp.v1.EdgeLink/Connect",
            request_serializer=wire.Uplink.SerializeToString,
            response_deserializer=wire.Downlink.FromString,
        )
        for downlink in connect(agent.uplinks()):
            kind = downlink.WhichOneof("kind")
            if kind == "welcome":
                threading.Thread(target=agent.stream, daemon=True).start()
            elif kind == "dispatch":
                agent.obey(downlink.dispatch)


if __name__ == "__main__":
    main(sys.argv[1])
