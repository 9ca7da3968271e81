"""A headend's live stream for the commands: what it tells is set by the test."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, serve_websocket

from dercp.client import Update

T0_US = 1_795_442_400_250_000  # 2026-11-23T14:00:00.25Z
COLUMNS = ["asset_id", "source_time_us", "age_s", "stale", "active_power_mw", "soc_pct"]


def row(number: int, *, time_us: int | None = T0_US, stale: bool = False) -> list[Any]:
    """The latest of an asset; without a time none yet."""
    if time_us is None:
        return [f"bess-{number}", None, None, True]
    return [f"bess-{number}", time_us, 0.4, stale, 1.25, None]


def telemetry_data(*rows: Sequence[Any]) -> dict[str, Any]:
    """Rows in tables; all of one length have the same columns."""
    tables = [
        {
            "columns": COLUMNS[:length],
            "units": ["", "us", "s", "", "MW", "%"][:length],
            "rows": [each for each in rows if len(each) == length],
            "doubts": {
                each[0]: {"soc_pct": {"quality": "bad", "reasons": ["out_of_range"]}}
                for each in rows
                if len(each) == length == len(COLUMNS)
            },
        }
        for length in sorted({len(each) for each in rows})
    ]
    return {"time": "2026-11-23T14:00:00.65Z", "tables": tables}


def update(event: str, data: object = None) -> Update:
    """An event, as the client gives it."""
    return Update(event, msgspec.Raw(msgspec.json.encode(data or {})))


def telling(*rows: Sequence[Any]) -> Update:
    """An event with these rows."""
    return update("telemetry", telemetry_data(*rows))


@contextmanager
def streamed(*told: Update) -> Iterator[tuple[str, list[Any]]]:
    """A server that tells this to each who subscribes; its URL, and what it was asked."""
    asked: list[Any] = []
    urls: list[str] = []
    serving, stop = threading.Event(), trio.Event()
    tokens: list[trio.lowlevel.TrioToken] = []

    async def serve(request: WebSocketRequest) -> None:
        socket = await request.accept()
        try:
            asked.append(json.loads(await socket.get_message()))
            for each in told:
                data = json.loads(bytes(each.data))
                message = {"id": asked[-1]["id"], "event": each.event, "event_id": "e.1"}
                await socket.send_message(json.dumps(message | {"data": data}))
            await socket.get_message()
        except ConnectionClosed:
            pass

    async def main() -> None:
        tokens.append(trio.lowlevel.current_trio_token())
        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve_websocket, serve, "127.0.0.1", 0, None)
            urls.append(f"http://127.0.0.1:{server.port}")
            serving.set()
            await stop.wait()
            nursery.cancel_scope.cancel()

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    try:
        assert serving.wait(10)
        yield urls[0], asked
    finally:
        tokens[0].run_sync_soon(stop.set)
        thread.join()
