"""What the tests of the OPC UA surface share: an agent that has one, and clients."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import trio
from asyncua import Client, ua
from asyncua.crypto.cert_gen import (
    dump_private_key_as_pem,
    generate_private_key,
    generate_self_signed_app_certificate,
)
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.crypto.uacrypto import CertProperties
from asyncua.server.address_space import AttributeValue, NodeData
from asyncua.server.internal_server import InternalServer
from asyncua.server.standard_address_space import standard_address_space
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from edge_plant import PaperHeadend
from msgspec.structs import replace

from adapters._bridge import Bridge, open_bridge
from dercp.edge.agent import Agent, run_agent
from dercp.edge.config.settings import Config, OpcUaConfig

T = TypeVar("T")

_STANDARD: dict[ua.NodeId, NodeData] = {}


async def _load_standard(server: InternalServer, _file: object = None) -> None:
    """The standard nodes, which take asyncua a second to make, are made once for all tests."""
    if not _STANDARD:
        standard_address_space.fill_address_space(server.node_mgt_service)
        _STANDARD.update(server.aspace._nodes)
    server.aspace._nodes = {key: _copied(each) for key, each in _STANDARD.items()}


def _copied(data: NodeData) -> NodeData:
    copy = NodeData(data.nodeid)
    copy.attributes = {key: AttributeValue(each.value) for key, each in data.attributes.items()}
    copy.references = list(data.references)
    return copy


OPEN = OpcUaConfig(host="127.0.0.1", port=0, no_auth=True)


class Plant:
    """A running agent and the way to its surface."""

    def __init__(self, agent: Agent, headend: PaperHeadend, bridge: Bridge) -> None:
        self.agent = agent
        self.headend = headend
        self.bridge = bridge

    @property
    def url(self) -> str:
        """Where the surface listens."""
        status = self.agent.status().opcua
        assert status is not None
        return f"opc.tcp://127.0.0.1:{status.port}/"

    async def client(self, work: Callable[[Client], Awaitable[T]], **who: Any) -> T:
        """Do this as a client; `who` goes to `new_client`."""

        async def connected() -> T:
            async with await new_client(self.url, **who) as client:
                return await work(client)

        with trio.fail_after(20):
            return await self.bridge.run(connected)

    async def write(self, path: str, value: Any, **who: Any) -> str:
        """The name of the status code of a write."""
        variant = value if isinstance(value, ua.Variant) else ua.Variant(value)

        async def work(client: Client) -> str:
            write = ua.WriteValue()
            write.NodeId = node(path)
            write.AttributeId = ua.AttributeIds.Value
            write.Value = ua.DataValue(variant)
            params = ua.WriteParameters(NodesToWrite=[write])
            [code] = await client.uaclient.write(params)
            return str(code.name)

        return await self.client(work, **who)

    async def read(self, path: str, **who: Any) -> ua.DataValue:
        """What a node shows."""

        async def work(client: Client) -> ua.DataValue:
            return await client.get_node(node(path)).read_data_value(raise_on_bad_status=False)

        return await self.client(work, **who)

    async def wait_until(self, true: Callable[[], bool]) -> None:
        """Wait for it, in real time."""
        with trio.fail_after(10):
            while not true():  # noqa: ASYNC110  # what is waited for rings no bell
                await trio.sleep(0.02)


def node(path: str) -> ua.NodeId:
    """A node of ours."""
    return ua.NodeId(path, 2)


@asynccontextmanager
async def open_surface(
    config: Config, opcua: OpcUaConfig = OPEN, headend: PaperHeadend | None = None
) -> AsyncIterator[Plant]:
    """An agent with a surface that listens."""
    headend = headend or PaperHeadend()
    config = replace(config, opcua=opcua)
    InternalServer.load_standard_address_space = _load_standard
    run = partial(run_agent, config, clock=lambda: time.time_ns() // 1000, dial=headend.dial)
    async with trio.open_nursery() as nursery, open_bridge("client") as bridge:
        agent: Agent = await nursery.start(run)
        plant = Plant(agent, headend, bridge)
        await plant.wait_until(lambda: agent.status().opcua is not None)
        yield plant
        nursery.cancel_scope.cancel()


async def new_client(
    url: str,
    *,
    certificate: tuple[Path, Path] | None = None,
    server: Path | None = None,
    user: str = "",
    password: str = "",
    uri: str = "urn:test:scada",
) -> Client:
    """A client, not connected."""
    client = Client(url, timeout=8)
    client.application_uri = uri
    if certificate is not None:
        assert server is not None
        await client.set_security(
            SecurityPolicyBasic256Sha256,
            CertProperties(read(certificate[0]), "der"),
            CertProperties(read(certificate[1]), "pem"),
            server_certificate=CertProperties(read(server), "der"),
            mode=ua.MessageSecurityMode.SignAndEncrypt,
        )
    if user:
        client.set_user(user)
        client.set_password(password)
    return client


def read(file: Path) -> bytes:
    """A small file; nobody waits meanwhile."""
    return file.read_bytes()


def make_certificate(folder: Path, name: str, uri: str = "urn:test:scada") -> tuple[Path, Path]:
    """A certificate of an application, signed by itself, and its key."""
    key = generate_private_key()
    certificate = generate_self_signed_app_certificate(
        key,
        uri,
        {"commonName": name},
        [x509.UniformResourceIdentifier(uri), x509.DNSName("localhost")],
        extended=[ExtendedKeyUsageOID.CLIENT_AUTH],
    )
    files = folder / f"{name}.der", folder / f"{name}.pem"
    files[0].write_bytes(certificate.public_bytes(Encoding.DER))
    files[1].write_bytes(dump_private_key_as_pem(key))
    return files
