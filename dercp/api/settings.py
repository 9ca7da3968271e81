"""How much the API takes on, and how long it waits."""

from pathlib import Path

import msgspec


class TlsFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server's certificate chain and its key are, both PEM."""

    certificate: Path
    key: Path


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of the API; the values here suit a headend of 10,000 assets."""

    # Of the application.
    requests_max: int = 200
    # The token of a plan takes some 40 bytes for each asset.
    body_bytes_max: int = 1024 * 1024
    body_within_s: float = 10.0
    answer_within_s: float = 10.0
    # For a peer to fetch one answer.
    fetched_within_s: float = 60.0
    # For one that is as long as what was asked for: NDJSON, CSV.
    streamed_within_s: float = 600.0

    # Of the live stream.
    streams_max: int = 200
    # How often telemetry is looked at while somebody follows; at least 0.2.
    stream_tick_s: float = 1.0
    # Without any other event.
    stream_heartbeat_s: float = 15.0
    # What happened lately, kept for those who come back.
    stream_items_kept_max: int = 20_000
    stream_bytes_kept_max: int = 16 * 1024 * 1024
    # Of one WebSocket.
    subscriptions_max: int = 8
    socket_faults_max: int = 10
    socket_message_bytes_max: int = 64 * 1024

    # Of the server.
    connections_max: int = 1000
    backlog: int = 256
    header_bytes_max: int = 16 * 1024
    handshake_within_s: float = 10.0
    # For the next request of a connection, and for the head of any.
    idle_s: float = 15.0
    # For a peer to take up one piece of an answer.
    write_within_s: float = 20.0
    # For running requests to end, once told to stop.
    stop_within_s: float = 3.0
