"""The wire between edge and headend: bytes on one side, the model's words on the other.

`v1` holds the messages of proto/dercp/v1 as betterproto2 writes them.
"""

from dercp.wire import v1

__all__ = ["v1"]
