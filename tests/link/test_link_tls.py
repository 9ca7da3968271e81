"""TLS: who is at the other end, and what went wrong, in sentences."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing
import trustme
from link_ends import CA, calling, client_context, echo, server_context, serving

from dercp.link import (
    LinkEventKind,
    LinkRefused,
    Peer,
    ServerCall,
    TlsFileError,
    client_tls,
    server_tls,
)
from dercp.link._tls_engine import TlsEngine

Clock = trio.testing.MockClock


class Files:
    """A CA, two pairs of certificate and key, and a folder for worse."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = folder / "ca.pem"
        CA.cert_pem.write_to_path(self.ca)
        self.cert, self.key = self._issue("localhost")
        self.agent_cert, self.agent_key = self._issue("agent-7.example")

    def _issue(self, name: str) -> tuple[Path, Path]:
        issued = CA.issue_cert(name)
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        issued.cert_chain_pems[0].write_to_path(cert)
        issued.private_key_pem.write_to_path(key)
        return cert, key


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Files of this test's own."""
    return Files(tmp_path)


async def test_both_ends_know_each_other(files: Files, autojump_clock: Clock) -> None:
    """With TLS 1.3; the server sees the certificate and the names it speaks for."""
    peers: list[Peer] = []

    async def handler(call: ServerCall) -> None:
        peers.append(call.peer)
        await echo(call)

    tls = server_tls(files.cert, files.key, files.ca)
    async with serving(handler, tls=tls) as served:
        agent = client_tls(files.ca, files.agent_cert, files.agent_key)
        async with calling(served, tls=agent) as call:
            await call.send(bytes(500_000))
            assert await call.receive() == bytes(500_000)
            assert "localhost" in call.peer.sans
            assert call.peer.certificate is not None
    assert peers[0].sans == ("agent-7.example",)
    assert peers[0].certificate == ssl.PEM_cert_to_DER_cert(files.agent_cert.read_text())


async def test_an_unknown_client_is_refused_in_words(files: Files, autojump_clock: Clock) -> None:
    """Without a certificate, or with one of another CA; the server counts it."""
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.set_alpn_protocols(["h2"])
    CA.configure_trust(stranger)
    trustme.CA().issue_cert("stranger.example").configure_cert(stranger)
    async with serving(echo, tls=server_tls(files.cert, files.key, files.ca)) as served:
        for context in (client_tls(files.ca), stranger):
            with pytest.raises(LinkRefused, match="refuses our certificate"):
                async with calling(served, tls=context):
                    pass
        assert served.kinds() == [LinkEventKind.HANDSHAKE_FAILED] * 2


async def test_an_untrusted_server_is_refused_in_words(autojump_clock: Clock) -> None:
    """Another CA, or another name: nothing is said to it."""
    trusting_others = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trustme.CA().configure_trust(trusting_others)
    async with serving(echo, tls=server_context(mutual=False)) as served:
        with pytest.raises(LinkRefused, match="is not trusted") as caught:
            async with calling(served, tls=trusting_others):
                pass
        assert "check the CA file" in str(caught.value)
        assert served.kinds() == [LinkEventKind.HANDSHAKE_FAILED]


async def test_tls_against_a_plain_server(autojump_clock: Clock) -> None:
    """The commonest mistake of all, from both sides."""
    async with serving(echo) as served:
        with pytest.raises(LinkRefused, match="TLS"):
            async with calling(served, tls=client_context()):
                pass
    async with serving(echo, tls=server_context()) as served:
        with pytest.raises(LinkRefused, match="HTTP/2"):
            async with calling(served):
                pass
        assert served.kinds() == [LinkEventKind.HANDSHAKE_FAILED]


async def test_a_peer_without_alpn_is_no_grpc_peer(autojump_clock: Clock) -> None:
    """A web server's TLS is not enough."""
    web = server_context(mutual=False)
    web.set_alpn_protocols(["http/1.1"])
    async with serving(echo, tls=web) as served:
        with pytest.raises(LinkRefused, match="ALPN"):
            async with calling(served, tls=client_context()):
                pass


async def test_a_tls_handshake_which_stalls_is_cut(autojump_clock: Clock) -> None:
    """After a part of the client's hello."""
    async with serving(echo, tls=server_context()) as served:
        stream = served.listener.connect()
        await stream.send_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        began = trio.current_time()
        while await stream.receive_some():
            pass
        assert trio.current_time() - began == pytest.approx(5, abs=0.1)
        assert served.kinds() == [LinkEventKind.HANDSHAKE_FAILED]


async def test_garbage_within_tls_ends_its_connection(autojump_clock: Clock) -> None:
    """A bad record, as a middlebox or an attacker makes it."""
    async with (
        serving(echo, tls=server_context()) as served,
        calling(served, tls=client_context()) as neighbour,
    ):
        stream = served.listener.connect()
        await stream.send_all(b"\x17\x03\x03\x00\x20" + bytes(32))
        while await stream.receive_some():
            pass
        await neighbour.send(b"x")
        assert await neighbour.receive() == b"x"


async def test_garbage_right_after_the_handshake(autojump_clock: Clock) -> None:
    """In the same read as the client's last word of TLS."""
    async with serving(echo, tls=server_context()) as served:
        stream = served.listener.connect()
        tls = TlsEngine(client_context(), server_side=False, server_hostname="localhost")
        data: bytes | bytearray = b""
        while not tls.shake_hands(bytes(data)):
            await stream.send_all(tls.outgoing())
            data = await stream.receive_some()
        await stream.send_all(tls.outgoing() + b"\x17\x03\x03\x00\x20" + bytes(32))
        while await stream.receive_some():
            pass
        assert served.kinds() == [LinkEventKind.HANDSHAKE_FAILED]
        async with calling(served, tls=client_context()) as call:
            await call.send(b"x")
            assert await call.receive() == b"x"


@pytest.mark.parametrize(
    ("make", "names", "says"),
    [
        (lambda f: server_tls(f.folder / "no.pem", f.key), "no.pem", "No such file"),
        (lambda f: server_tls(f.cert, f.folder / "no.key"), "no.key", "No such file"),
        (lambda f: server_tls(f.cert, f.key, f.folder / "no.ca"), "no.ca", "No such file"),
        (lambda f: server_tls(f.cert, f.agent_key), "agent-7.example.key", "is not the key of"),
        (lambda f: server_tls(f.key, f.cert), "localhost.key", "expected a certificate"),
        (lambda f: server_tls(f.cert, f.key, f.key), "localhost.key", "expected CA certificates"),
        (lambda f: client_tls(f.folder), "", "cannot read"),
        (lambda f: client_tls(f.ca, f.agent_cert), "agent-7.example.pem", "without its key"),
        (lambda f: client_tls(f.ca, None, f.agent_key), "agent-7.example.key", "without its cert"),
    ],
)
def test_a_wrong_file_is_named(
    make: Callable[[Files], ssl.SSLContext], names: str, says: str, files: Files
) -> None:
    """With what to do about it."""
    with pytest.raises(TlsFileError, match=says) as caught:
        make(files)
    assert names in str(caught.value)


def test_a_key_with_a_passphrase_is_refused(files: Files) -> None:
    """Instead of asking on a terminal nobody sits at."""
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    protected = files.folder / "protected.key"
    protected.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(TlsFileError, match=r"protected\.key: is protected by a passphrase"):
        server_tls(files.cert, protected)
