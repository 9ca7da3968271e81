"""The link between edge and headend: gRPC calls over Trio, as bytes.

HTTP/2 and gRPC are grpclib's and h2's; sockets, TLS, tasks, bounds and ends are ours, and
no asyncio is needed. A server is `serve_link`, a client is `open_call`; both give a `Call`
which receives and sends messages. What the messages mean is the business of `dercp.wire`.
"""

from grpclib.const import Status

from ._acceptor import CallHandler
from ._call import Call, CallStatistics, ClientCall, ServerCall
from ._client import open_call, open_call_over
from ._errors import LinkBroken, LinkError, LinkRefused, LinkUnreachable, MessageTooLarge
from ._events import EventSink, LinkEvent, LinkEventKind
from ._limits import LinkLimits
from ._peer import Peer
from ._server import LinkServer, LinkStatistics, serve_link
from .tls import TlsFileError, client_tls, server_tls

__all__ = [
    "Call",
    "CallHandler",
    "CallStatistics",
    "ClientCall",
    "EventSink",
    "LinkBroken",
    "LinkError",
    "LinkEvent",
    "LinkEventKind",
    "LinkLimits",
    "LinkRefused",
    "LinkServer",
    "LinkStatistics",
    "LinkUnreachable",
    "MessageTooLarge",
    "Peer",
    "ServerCall",
    "Status",
    "TlsFileError",
    "client_tls",
    "open_call",
    "open_call_over",
    "serve_link",
    "server_tls",
]
