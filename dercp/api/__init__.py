"""The REST facade of the headend.

What is public:
    create_app: the application over the ports of a headend.
    open_live_stream: what it tells live; runs beside it.
    serve_api: serves it on Trio until told to stop.
    ApiSettings, TlsFiles: how much they take on, and the server's certificate.
    FleetReader, HistoryReader, ChangeFeed, DispatchDesk, Portfolios, Operations: what a
        headend must offer (ports).

Where to look:
    table: every operation; routes: what an operation is made of.
    fleet, history, dispatches, schedules, portfolios, operations, pages: the handlers.
    resources, asset_resources, history_resources, dispatch_resources, plan_resources,
        record_resources: what is answered in JSON.
    queries, history_queries, bodies, dispatch_bodies, idempotency, preconditions: what is asked.
    refusals: what the desk says no to.
    live: the live stream, /stream and /ws.
    problems: every refusal; openapi: the description; serving: the server.
"""

from dercp.api.app import create_app
from dercp.api.live.stream import LiveStream, open_live_stream
from dercp.api.ports import (
    ChangeFeed,
    DispatchDesk,
    FleetReader,
    HistoryReader,
    Operations,
    Portfolios,
)
from dercp.api.serving import serve_api
from dercp.api.settings import ApiSettings, TlsFiles

__all__ = [
    "ApiSettings",
    "ChangeFeed",
    "DispatchDesk",
    "FleetReader",
    "HistoryReader",
    "LiveStream",
    "Operations",
    "Portfolios",
    "TlsFiles",
    "create_app",
    "open_live_stream",
    "serve_api",
]
