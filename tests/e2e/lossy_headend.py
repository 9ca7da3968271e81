"""A headend that acknowledges every batch and forgets each third: what audits are for."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio

from dercp.link import LinkBroken, ServerCall, serve_link
from dercp.wire import CONNECT_PATH
from dercp.wire.v1 import edge_link_pb2 as upb

FORGETS_EACH = 3


class LossyHeadend:
    """Just enough of one for `dercp sim`."""

    def __init__(self) -> None:
        self._kept: defaultdict[str, dict[int, int]] = defaultdict(dict)
        self._spools: dict[str, str] = {}

    async def talk(self, call: ServerCall) -> None:
        """One agent."""
        hello = upb.Uplink.FromString(await call.receive() or b"").hello
        self._spools[hello.agent_id] = hello.spool_id
        welcome = upb.Welcome(session_id="s", epoch=1, heartbeat_interval_ms=10_000)
        await call.send(upb.Downlink(welcome=welcome).SerializeToString())
        try:
            while (message := await call.receive()) is not None:
                uplink = upb.Uplink.FromString(message)
                if uplink.HasField("telemetry"):
                    await self._take(call, hello, uplink.telemetry)
        except LinkBroken:
            return

    async def _take(self, call: ServerCall, hello: upb.Hello, batch: upb.TelemetryBatch) -> None:
        if batch.sequence % FORGETS_EACH:
            payload = upb.TelemetryPayload.FromString(batch.payload)
            self._kept[hello.agent_id][batch.sequence] = len(payload.rows)
        held = [upb.SequenceRange(first=batch.sequence, last=batch.sequence)]
        ack = upb.TelemetryAck(spool_id=hello.spool_id, ranges=held)
        await call.send(upb.Downlink(telemetry_ack=ack).SerializeToString())

    async def answer(self, stream: trio.SocketStream) -> None:
        """One request for its API."""
        request = b""
        async with stream:
            while b"\r\n\r\n" not in request:
                request += await stream.receive_some()
            content = self._answer(request.split()[1].decode()).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
            await stream.send_all(head.encode() + content)

    def _answer(self, path: str) -> str:
        if path == "/metrics":
            return "process_cpu_seconds_total 1\nprocess_resident_memory_bytes 1e6\n"
        if path.endswith("/telemetry"):
            return '{"source_time": null, "ingest_time": null}'
        if path.endswith("/spools"):
            agent_id = path.split("/")[2]
            kept = self._kept[agent_id]
            spool = {
                "spool_id": self._spools[agent_id],
                "stored": [(number, number) for number in kept],
                "stored_batches": len(kept),
                "stored_samples": sum(kept.values()),
            }
            return json.dumps({"agent_id": agent_id, "spools": [spool]})
        return "{}"


@asynccontextmanager
async def open_lossy_headend() -> AsyncIterator[tuple[str, str]]:
    """Where its API and its gRPC are."""
    headend = LossyHeadend()
    async with trio.open_nursery() as nursery:
        (http,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, headend.answer, [http])
        grpc = await trio.open_tcp_listeners(0, host="127.0.0.1")
        serve = partial(serve_link, grpc, {CONNECT_PATH: headend.talk})
        server = await nursery.start(serve)
        port = http.socket.getsockname()[1]
        yield f"http://127.0.0.1:{port}", f"127.0.0.1:{server.port}"
        nursery.cancel_scope.cancel()
