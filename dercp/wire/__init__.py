"""The wire between edge and headend: bytes on one side, the model's words on the other.

`v1` holds the messages of proto/dercp/v1 as betterproto2 writes them. Every decoder of
this package raises `WireError` for bytes it cannot use, and nothing else.

Where each noun lives:
    envelope: Uplink and Downlink, the messages of the stream.
    registration: what stands at a site, with its id.
    payload: the telemetry in a batch, and the schema that reads it.
    dispatch: a dispatch and what the edge says of it.
"""

from dercp.wire import v1
from dercp.wire.errors import WireError

__all__ = ["CONNECT_PATH", "WireError", "v1"]

CONNECT_PATH = "/dercp.v1.EdgeLink/Connect"
"""The one call of the wire contract, as HTTP/2 names it."""
