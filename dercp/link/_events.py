"""What a link server has to tell its operator."""

import enum
from collections.abc import Callable

import msgspec


class LinkEventKind(enum.StrEnum):
    """Why a connection or a call was not served to its end."""

    CONNECTION_REFUSED = "link_connection_refused"
    """More connections than `connections_max`, or handshakes than their budget."""
    HANDSHAKE_FAILED = "link_handshake_failed"
    """TLS was refused by one side, or the handshake took too long."""
    PROTOCOL_ERROR = "link_protocol_error"
    """The peer does not speak HTTP/2 as it should; its connection was ended."""
    FLOODED = "link_flooded"
    """More control frames than their budget; the connection was ended."""
    PEER_VANISHED = "link_peer_vanished"
    """No byte within the keepalive's time; the connection was cut."""
    PEER_TOO_SLOW = "link_peer_too_slow"
    """The peer does not read what it is sent; the connection was cut."""
    CALL_REFUSED = "link_call_refused"
    """A wrong path, wrong headers, too many calls, or a server about to stop."""
    CALL_FAILED = "link_call_failed"
    """A handler raised what it should not: a fault of ours."""


class LinkEvent(msgspec.Struct, frozen=True):
    """One thing an operator may want to know; counted by kind in the statistics."""

    kind: LinkEventKind
    peer: str
    reason: str
    error: Exception | None = None


EventSink = Callable[[LinkEvent], None]
"""Is told each event as it happens; must not raise and must not block."""


def ignore(_event: LinkEvent) -> None:
    """Leave the events to the counters."""
