"""Who may come in to the OPC UA surface, and who may not. In real time."""

import asyncio  # noqa: TID251  # what the clients do
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import trio
from asyncua import Client, ua
from edge_plant import FakeDevice, asset_config, config
from opcua_plant import Plant, make_certificate, new_client, node, open_surface, read

from dercp.edge.config.settings import OpcUaConfig, OpcUaFiles, OpcUaUser
from dercp.edge.opcua.passwords import hash_password, is_password
from dercp.edge.opcua.server import UNREAD_BYTES_MAX
from dercp.model.bounds import Bounds
from dercp.model.quality import Quality, Reason
from dercp.model.reading import Reading

SETPOINT = "Assets/bess-1/Controls/SetpointMW"
POWER = "Assets/bess-1/Telemetry/active_power_mw"
ANNA: dict[str, Any] = {"user": "anna", "password": "correct horse"}
GUEST: dict[str, Any] = {"user": "guest", "password": "guest"}


@pytest.fixture
def device() -> FakeDevice:
    """A battery."""
    device = FakeDevice()
    device.values = [
        Reading("active_power_mw", 0.25),
        Reading("soc_pct", 50.0, Quality.UNCERTAIN, Reason.STALE),
    ]
    return device


@pytest.fixture
async def plant(tmp_path: Path, device: FakeDevice) -> AsyncIterator[Plant]:
    """Its agent, secured: anna writes, a guest reads."""
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    opcua = OpcUaConfig(
        host="127.0.0.1",
        port=0,
        files=OpcUaFiles(tmp_path / "server.der", tmp_path / "server.pem", trusted),
        users=(
            OpcUaUser(name="anna", password_hash=hash_password("correct horse"), writes=True),
            OpcUaUser(name="guest", password_hash=hash_password("guest")),
        ),
    )
    asset = asset_config("bess-1", device, interval_s=0.2, limits=Bounds(-2.0, 1.5))
    async with open_surface(config(asset), opcua) as plant:
        yield plant


@pytest.fixture
def scada(tmp_path: Path, plant: Plant) -> dict[str, Any]:
    """The certificate of a SCADA that is trusted."""
    certificate = make_certificate(tmp_path, "scada")
    (tmp_path / "trusted" / "scada.der").write_bytes(read(certificate[0]))
    return {"certificate": certificate, "server": tmp_path / "server.der"}


async def refused(plant: Plant, **who: Any) -> str:
    """As what a client is turned away."""
    with pytest.raises(ua.UaError) as caught:
        await plant.read(POWER, **who)
    return type(caught.value).__name__


async def until_cut(port: int, content: bytes) -> None:
    """Say this until nobody listens any more."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    with suppress(trio.BrokenResourceError):
        while True:
            await stream.send_all(content)
    await stream.aclose()


async def test_who_is_trusted_and_known_comes_in(
    plant: Plant, scada: dict[str, Any], tmp_path: Path
) -> None:
    """With a password and the rights that go with it; nobody else."""
    assert (await plant.read(POWER, **scada, **GUEST)).StatusCode.is_good()
    assert await plant.write(SETPOINT, 0.5, **scada, **GUEST) == "BadUserAccessDenied"
    assert await plant.write(SETPOINT, 0.5, **scada, **ANNA) == "Good"
    call = await plant.headend.call()
    await plant.wait_until(lambda: bool(call.updates()))
    local = call.updates()[0].local
    assert local is not None
    assert local.requested_by == "opcua:anna"
    assert (tmp_path / "server.pem").stat().st_mode & 0o077 == 0

    assert await refused(plant, **scada, user="anna", password="wrong") == "BadUserAccessDenied"  # noqa: S106  # a wrong one
    assert await refused(plant, **scada, user="bob", password="x") == "BadUserAccessDenied"  # noqa: S106  # as above
    assert await refused(plant, **scada) in {"BadIdentityTokenRejected", "UaError"}
    assert await refused(plant) in {"BadSecurityPolicyRejected", "UaError"}
    (tmp_path / "trusted" / "scada.der").unlink()
    assert await refused(plant, **scada, **ANNA) == "BadCertificateUntrusted"


async def test_a_trusted_certificate_must_be_that_of_the_channel(
    plant: Plant, scada: dict[str, Any], tmp_path: Path
) -> None:
    """Certificates are public: showing one of another application helps nobody."""
    other = make_certificate(tmp_path, "other")
    shown = read(scada["certificate"][0])

    async def show(certificate: bytes | None) -> str:
        client = await new_client(plant.url, certificate=other, server=tmp_path / "server.der")
        create = client.uaclient.create_session

        async def create_showing(params: ua.CreateSessionParameters) -> object:
            params.ClientCertificate = certificate
            return await create(params)

        client.uaclient.create_session = create_showing
        try:
            await client.connect()
        except ua.UaError as error:
            return type(error).__name__
        await client.disconnect()
        return "came in"

    with trio.fail_after(20):
        for certificate in (shown, None, read(other[0])):
            assert await plant.bridge.run(show, certificate) == "BadCertificateUntrusted"


async def test_a_session_cannot_be_taken_over(
    plant: Plant, scada: dict[str, Any], device: FakeDevice, tmp_path: Path
) -> None:
    """Its number counts up, so it can be guessed; that is of no use on another channel."""
    other = make_certificate(tmp_path, "other")

    async def take_over() -> list[str]:
        async with await new_client(plant.url, **scada, **ANNA) as operator:
            thief = await new_client(plant.url, certificate=other, server=tmp_path / "server.der")
            await thief.connect_socket()
            codes = []
            try:
                await thief.send_hello()
                await thief.open_secure_channel()
                token = operator.uaclient.session.authentication_token
                thief.uaclient.session.restore_authentication_token(token)
                for attempt in (_activate, _write):
                    try:
                        await attempt(thief)
                        codes.append("Good")
                    except ua.UaError as error:
                        codes.append(type(error).__name__)
            finally:
                thief.disconnect_socket()
        return codes

    with trio.fail_after(20):
        codes = await plant.bridge.run(take_over)
    assert codes == ["BadSessionIdInvalid", "BadSessionNotActivated"]
    assert device.told == ["release"]


async def _activate(client: Client) -> None:
    params = ua.ActivateSessionParameters()
    params.UserIdentityToken = ua.AnonymousIdentityToken(PolicyId="anonymous")
    params.ClientSignature.Signature = b"none"
    await client.uaclient.activate_session(params)


async def _write(client: Client) -> None:
    await client.get_node(node(SETPOINT)).write_value(1.0, ua.VariantType.Double)


async def test_what_needs_no_session_is_little(plant: Plant) -> None:
    """Over a plain channel: the endpoints, and nothing that fills memory."""

    async def knock() -> str:
        client = Client(plant.url, timeout=5)
        endpoints = await client.connect_and_get_server_endpoints()
        assert {endpoint.SecurityMode for endpoint in endpoints} == {
            ua.MessageSecurityMode.SignAndEncrypt
        }
        await client.connect_sessionless()
        try:
            await client.uaclient.register_server(ua.RegisteredServer())
        except ua.UaError as error:
            return type(error).__name__
        finally:
            await client.disconnect_sessionless()
        return "Good"

    with trio.fail_after(20):
        assert await plant.bridge.run(knock) == "BadServiceUnsupported"


async def test_a_client_that_is_no_good_hurts_nobody(
    plant: Plant, scada: dict[str, Any], device: FakeDevice
) -> None:
    """Garbage, endless messages, a client that is killed, one that never reads."""
    port = int(plant.url.rpartition(":")[2].rstrip("/"))
    status = plant.agent.status
    for content in (b"\x00" * 100, b"HELF" + b"\xff\xff\xff\x7f" + b"x" * 3_000_000):
        with trio.fail_after(10):
            await until_cut(port, content)

    async def leave_unread() -> None:
        client = await new_client(plant.url, **scada, **GUEST)
        await client.connect()
        client.uaclient.protocol.transport.pause_reading()
        everything = ua.ReadParameters()
        for _ in range(3_000):
            wanted = ua.ReadValueId(NodeId=node(POWER), AttributeId=ua.AttributeIds.Value)
            everything.NodesToRead.append(wanted)
        request = ua.ReadRequest(Parameters=everything)
        lost = client.uaclient.protocol
        for _ in range(UNREAD_BYTES_MAX // 50_000):
            if lost.transport is None or lost.transport.is_closing():
                return  # it was cut
            lost._send_request(request)
            await asyncio.sleep(0.005)
        lost.transport.abort()

    with trio.fail_after(30):
        await plant.bridge.run(leave_unread)
    await plant.wait_until(lambda: (opcua := status().opcua) is not None and not opcua.sessions)
    samples = status().assets[0].samples
    assert await plant.write(SETPOINT, 0.5, **scada, **ANNA) == "Good"
    await plant.wait_until(lambda: status().assets[0].samples > samples)
    assert device.opened == 1


@pytest.mark.skipif(find_spec("o6") is None, reason="needs a second client: pip install o6")
async def test_a_client_that_is_not_ours_reads_subscribes_and_writes(
    plant: Plant, scada: dict[str, Any], device: FakeDevice
) -> None:
    """open62541's, with security on."""
    certificate, key = scada["certificate"]
    asked = {
        "url": plant.url,
        "certificate": str(certificate),
        "key": str(key),
        "server": str(scada["server"]),
        **ANNA,
    }
    program = Path(__file__).parent / "other_opcua_client.py"
    with trio.fail_after(30):
        done = await trio.run_process(
            [sys.executable, str(program), json.dumps(asked)],
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
        )
    said = done.stdout.decode()
    assert done.returncode == 0, said
    seen = json.loads(said.strip().splitlines()[-1])
    assert (seen["power"], seen["heard"]) == (0.25, [0.25])
    assert seen["charge_status"] == "UNCERTAIN_LAST_USABLE_VALUE"
    assert seen["codes"] == ["GOOD", "GOOD_CLAMPED", "BAD_OUT_OF_RANGE", "BAD_NOT_WRITABLE"]
    assert device.told[-1] == 1.5


def test_a_password_is_kept_as_a_hash() -> None:
    """Salted: the same one twice gives two."""
    hashed = hash_password("correct horse")
    assert is_password("correct horse", hashed)
    assert not is_password("correct horsd", hashed)
    assert hashed != hash_password("correct horse")
