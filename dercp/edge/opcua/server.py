"""asyncua's server with bounds: no client may take more of this process than its share."""

import asyncio  # noqa: TID251  # it runs in asyncio's world, as work of a bridge
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from asyncua import Server, ua
from asyncua.crypto.cert_gen import (
    dump_private_key_as_pem,
    generate_private_key,
    generate_self_signed_app_certificate,
)
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from dercp.edge.config.settings import OpcUaConfig, OpcUaFiles
from dercp.edge.opcua.access import Doorkeeper
from dercp.edge.opcua.guard import GuardedListener
from dercp.edge.opcua.trust import TrustList, certificate_in, der

__all__ = ["BoundedServer", "new_server", "stop_server"]

CONNECTIONS_MAX: Final = 50
SUBSCRIPTIONS_MAX: Final = 100
UNACKNOWLEDGED_MAX: Final = 50
QUEUE_MAX: Final = 100
REQUESTS_WAITING_MAX: Final = 50
HELLO_WITHIN_S: Final = 10.0
# What a client may leave unread.
UNREAD_BYTES_MAX: Final = 8_000_000
# Renewing it means trusting it anew in each SCADA.
CERTIFICATE_DAYS: Final = 3650


class BoundedServer(Server):  # type: ignore[misc]  # asyncua has no types for it
    """A server that listens with the bounds above, to those who may come in."""

    def __init__(self, config: OpcUaConfig, doorkeeper: Doorkeeper) -> None:
        super().__init__(user_manager=doorkeeper)
        self.bserver: GuardedListener | None = None
        self._config = config
        limits = self.iserver
        limits.max_connections = CONNECTIONS_MAX
        limits.max_subscriptions = SUBSCRIPTIONS_MAX
        limits.max_unacked_messages_per_subscription = UNACKNOWLEDGED_MAX
        limits.max_monitored_item_queue_size = QUEUE_MAX
        limits.max_pending_messages_per_connection = REQUESTS_WAITING_MAX
        limits.max_pending_activation_seconds = HELLO_WITHIN_S
        limits.allow_remote_admin = False

    @property
    def port(self) -> int:
        """Where it listens."""
        return 0 if self.bserver is None else int(self.bserver.port)

    @property
    def sessions(self) -> int:
        """How many clients have come in."""
        return sum(each.is_activated() for each in self.iserver._external_sessions.values())  # noqa: SLF001  # asyncua does not tell otherwise

    @property
    def subscriptions(self) -> int:
        """How many subscriptions they have."""
        return len(self.iserver.subscription_service.subscriptions)

    async def start(self) -> None:
        """Listen."""
        config = self._config
        await self._setup_server_nodes()
        self._have_passwords_encrypted()
        await self.iserver.start()
        trust = None if config.files is None else TrustList(config.files.trust_dir)
        listener = GuardedListener(
            self.iserver, config.host, config.port, self.limits, trust, plain=config.no_auth
        )
        listener.set_policies(self._policies)
        await listener.start()
        self.bserver = listener

    def _have_passwords_encrypted(self) -> None:
        """Inside of the encrypted channel, too; some clients send none without."""
        for endpoint in self.iserver.endpoints:
            for token in endpoint.UserIdentityTokens:
                if token.TokenType == ua.UserTokenType.UserName:
                    token.SecurityPolicyUri = endpoint.SecurityPolicyUri

    def cut_slow_clients(self) -> int:
        """Cut those who ask and do not read the answers; how many there were."""
        slow = [
            transport
            for transport in self.iserver.asyncio_transports
            if transport.get_write_buffer_size() > UNREAD_BYTES_MAX
        ]
        for transport in slow:
            transport.abort()
        return len(slow)


async def new_server(config: OpcUaConfig, agent_id: str, version: str) -> BoundedServer:
    """A server that knows who may come in, and has no nodes yet."""
    doorkeeper = Doorkeeper(config)
    server = BoundedServer(config, doorkeeper)
    await server.init()
    uri = f"urn:dercp:edge:{agent_id}"
    await server.set_application_uri(uri)
    server.set_server_name(f"dercp edge {agent_id}")
    server.set_endpoint(f"opc.tcp://{_in_url(config.host)}:{config.port}/")
    await server.set_build_info(uri, "dercp", "dercp edge", version, "", datetime.now(UTC))
    server.set_identity_tokens(doorkeeper.tokens)
    policies = [ua.SecurityPolicyType.NoSecurity] if config.no_auth else []
    if config.files is not None:
        policies.append(ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt)
        certificate, key = await asyncio.to_thread(_own_certificate, config.files, uri)
        await server.load_certificate(certificate, "der")
        await server.load_private_key(key, format="pem")
    server.set_security_policy(policies)
    return server


async def stop_server(server: BoundedServer) -> None:
    """Part with all clients. asyncua's clock, which sleeps a second, is not waited for."""
    clock, server.iserver.time_task = server.iserver.time_task, None
    if clock is not None:
        clock.cancel()
        await asyncio.wait([clock])
    await server.stop()


def _own_certificate(files: OpcUaFiles, uri: str) -> tuple[bytes, bytes]:
    """The server's certificate (DER) and key (PEM)."""
    if not files.cert_file.is_file():
        _make_certificate(files, uri)
    return der(certificate_in(files.cert_file)), files.key_file.read_bytes()


def _make_certificate(files: OpcUaFiles, uri: str) -> None:
    """One that is signed by itself."""
    key = generate_private_key()
    names = [x509.UniformResourceIdentifier(uri), x509.DNSName(socket.gethostname())]
    certificate = generate_self_signed_app_certificate(
        key,
        uri,
        {"commonName": "dercp edge"},
        names,
        extended=[ExtendedKeyUsageOID.SERVER_AUTH],
        days=CERTIFICATE_DAYS,
    )
    _write_secret(files.key_file, dump_private_key_as_pem(key))
    files.cert_file.write_bytes(der(certificate))


def _write_secret(file: Path, content: bytes) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        opened.write(content)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
