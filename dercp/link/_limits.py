"""The bounds of a link."""

import msgspec


class LinkLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Every bound of a link, for either end.

    Attributes:
        message_bytes_max: A longer message ends its call with RESOURCE_EXHAUSTED,
            before it is buffered.
        header_bytes_max: Size of a call's decoded headers; more ends the connection.
        window_bytes: What a peer may send on one call before we have read it
            (HTTP/2 flow control), at least 65,535.
        connections_max: A connection beyond it is closed at once.
        calls_per_connection_max: Calls open at a time on one connection.
        handshakes_max: Handshakes (TLS and HTTP/2 settings) under way at a time.
        handshakes_per_s: Handshakes begun a second, in the long run.
        handshakes_burst: Handshakes begun at once after a quiet time.
        handshake_wait_s: How long a connection waits for its turn to shake hands;
            one that would wait longer is closed.
        handshake_within_s: A handshake which takes longer is cut.
        keepalive_s: A peer silent this long is sent a PING.
        keepalive_timeout_s: A peer which answers nothing this long is cut.
        read_spacing_s: While its clients send without pause a server reads this seldom, so
            that it reads from many at a time. Who sends after a quiet time is read at once.
        write_within_s: A peer which takes nothing of what we send this long is cut.
        send_buffer_bytes_max: Bytes of one connection waiting for its socket. Senders
            wait above it; twice as much (a peer which makes us answer and does not
            read) cuts the connection.
        close_within_s: How long a closing waits: for a handler to end whose peer is
            gone, for the last bytes to leave, for the peer to close its side.
        control_frames_per_s: Frames without payload (PING, SETTINGS, RST_STREAM, new
            calls, ...) a peer may send, beyond one for each frame with payload.
        control_frames_burst: How many of them at once.
    """

    message_bytes_max: int = 4 * 2**20
    header_bytes_max: int = 16 * 2**10
    window_bytes: int = 256 * 2**10
    connections_max: int = 20_000
    calls_per_connection_max: int = 2
    handshakes_max: int = 256
    handshakes_per_s: float = 200.0
    handshakes_burst: int = 200
    handshake_wait_s: float = 5.0
    handshake_within_s: float = 5.0
    keepalive_s: float = 10.0
    keepalive_timeout_s: float = 10.0
    read_spacing_s: float = 0.002
    write_within_s: float = 10.0
    send_buffer_bytes_max: int = 256 * 2**10
    close_within_s: float = 2.0
    control_frames_per_s: float = 50.0
    control_frames_burst: int = 500

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected more than 0, got {getattr(self, name)}")
        if not 65_535 <= self.window_bytes <= 2**28:
            raise ValueError(f"window_bytes: expected 65,535 to 2**28, got {self.window_bytes}")
        if self.message_bytes_max >= 2**32:
            raise ValueError(f"message_bytes_max: {self.message_bytes_max} does not fit in 32 bits")
