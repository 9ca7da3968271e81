"""Closes what asyncua 2.1 leaves open to a client that has not come in yet.

Read in its source, and held by tests:

- It asks for a trusted certificate only when a session is created, and then looks at the one
  that the request shows, not at the one that the channel was opened with: whoever shows none,
  or somebody else's, comes in. Here the channel's is looked at.
- It takes sessions over channels without security where no such endpoint is offered.
- A session can be taken over from another channel by its number, which counts up, and stays
  taken over when the signature turns out wrong. Here it cannot: a client whose connection broke
  creates a new session, as all of them do when the old one is not known.
- Before a session is active, a channel without security may read.
- Anybody may register servers without end.
- A message is kept until it is whole, however long.
"""

import asyncio  # noqa: TID251  # it runs in asyncio's world, as work of a bridge
from typing import Any, Final

from asyncua import ua
from asyncua.common.connection import TransportLimits
from asyncua.common.utils import Buffer
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.internal_server import InternalServer
from asyncua.server.uaprocessor import UaProcessor

from dercp.edge.opcua.trust import TrustList

__all__ = ["GuardedListener"]

# A write of 10,000 nodes has about 600 KB.
REQUEST_BYTES_MAX: Final = 2_000_000

_Ids = ua.ObjectIds
_CREATE: Final = ua.NodeId(_Ids.CreateSessionRequest_Encoding_DefaultBinary)
_ACTIVATE: Final = ua.NodeId(_Ids.ActivateSessionRequest_Encoding_DefaultBinary)
# Of the others, what needs no session that is active.
_ENTRANCE: Final = frozenset(
    {
        _ACTIVATE,
        ua.NodeId(_Ids.CloseSessionRequest_Encoding_DefaultBinary),
        ua.NodeId(_Ids.GetEndpointsRequest_Encoding_DefaultBinary),
        ua.NodeId(_Ids.FindServersRequest_Encoding_DefaultBinary),
        ua.NodeId(_Ids.CloseSecureChannelRequest_Encoding_DefaultBinary),
    }
)
_REFUSED: Final = frozenset(
    {
        ua.NodeId(_Ids.RegisterServerRequest_Encoding_DefaultBinary),
        ua.NodeId(_Ids.RegisterServer2Request_Encoding_DefaultBinary),
    }
)


class _GuardedProcessor(UaProcessor):  # type: ignore[misc]  # asyncua has no types for it
    """Answers the requests of one connection."""

    def __init__(
        self,
        server: InternalServer,
        transport: asyncio.Transport,
        limits: TransportLimits,
        trust: TrustList | None,
        *,
        plain: bool,
    ) -> None:
        super().__init__(server, transport, limits)
        self._trust = trust
        self._plain = plain

    async def _process_message(
        self, typeid: ua.NodeId, requesthdr: ua.RequestHeader, seqhdr: Any, body: Buffer
    ) -> bool:
        if typeid in _REFUSED:
            raise ua.uaerrors.BadServiceUnsupported
        if typeid == _CREATE:
            self._check_channel()
        elif typeid not in _ENTRANCE and (self.session is None or not self.session.is_activated()):
            raise ua.uaerrors.BadSessionNotActivated
        elif self.session is None and typeid == _ACTIVATE:
            raise ua.uaerrors.BadSessionIdInvalid
        going_on: bool = await super()._process_message(typeid, requesthdr, seqhdr, body)
        return going_on

    def _check_channel(self) -> None:
        certificate = self._connection.security_policy.peer_certificate
        if not certificate and not self._plain:
            raise ua.uaerrors.BadSecurityPolicyRejected
        if certificate and (self._trust is None or not self._trust.has(certificate)):
            raise ua.uaerrors.BadCertificateUntrusted


class _GuardedProtocol(OPCUAProtocol):  # type: ignore[misc]  # as above
    """One connection."""

    def __init__(self, listener: "GuardedListener") -> None:
        super().__init__(
            iserver=listener.iserver,
            policies=listener._policies,  # noqa: SLF001  # its maker
            clients=listener.clients,
            closing_tasks=listener.closing_tasks,
            limits=listener.limits,
        )
        self.processor: UaProcessor | None
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncua's own processor is replaced before the first message."""
        super().connection_made(transport)
        if self.processor is not None:
            self.processor = self._listener.new_processor(transport)

    def data_received(self, data: bytes) -> None:
        """Take in what came, or cut the connection."""
        if len(self._buffer) + len(data) > REQUEST_BYTES_MAX and self.transport is not None:
            self.transport.abort()
        else:
            super().data_received(data)


class GuardedListener(BinaryServer):  # type: ignore[misc]  # as above
    """Listens for asyncua. `plain`: channels without security may lead to a session."""

    def __init__(
        self,
        server: InternalServer,
        host: str,
        port: int,
        limits: TransportLimits,
        trust: TrustList | None,
        *,
        plain: bool,
    ) -> None:
        super().__init__(server, host, port, limits)
        self._trust = trust
        self._plain = plain

    def new_processor(self, transport: Any) -> UaProcessor:
        """Who answers the requests of a connection."""
        processor = _GuardedProcessor(
            self.iserver, transport, self.limits, self._trust, plain=self._plain
        )
        processor.set_policies(self._policies)
        return processor

    def _make_protocol(self) -> OPCUAProtocol:
        return _GuardedProtocol(self)
