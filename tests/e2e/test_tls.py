"""gRPC over TLS between real processes: who may call, and what the others are told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from processes import Dercp, open_api, running, site_toml

AGENT = "north"


class Keys:
    """Two CAs and what they signed, as files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca, self.other_ca = trustme.CA(), trustme.CA()
        self.ca.cert_pem.write_to_path(str(directory / "ca.pem"))
        self.pair(self.ca.issue_cert("127.0.0.1"), "headend")
        self.pair(self.ca.issue_cert("agent.example"), "agent")
        self.pair(self.other_ca.issue_cert("agent.example"), "stranger")

    def pair(self, cert: trustme.LeafCert, name: str) -> None:
        """Write NAME.pem and NAME.key."""
        (self.directory / f"{name}.pem").write_bytes(
            b"".join(blob.bytes() for blob in cert.cert_chain_pems)
        )
        cert.private_key_pem.write_to_path(str(self.directory / f"{name}.key"))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Made once: keys take time."""
    return Keys(tmp_path_factory.mktemp("keys"))


@asynccontextmanager
async def tls_headend(
    keys: Keys, data: Path, *options: str
) -> AsyncIterator[tuple[Dercp, dict[str, Any]]]:
    """A headend with TLS on its gRPC port, and its first words."""
    pem, key = keys.directory / "headend.pem", keys.directory / "headend.key"
    arguments = ["--data-dir", str(data), "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
    async with running(
        "headend", *arguments, "--tls-cert", str(pem), "--tls-key", str(key), *options
    ) as headend:
        yield headend, await headend.wait_logged("headend_ready")


def edge_toml(keys: Keys, directory: Path, grpc: str, own: str | None) -> Path:
    """A site whose agent checks the headend, and shows the certificate `own` if any."""
    path = site_toml(directory, agent_id=AGENT, grpc=grpc)
    lines = ["[headend.tls]", f'ca_file = "{keys.directory / "ca.pem"}"']
    if own is not None:
        lines.append(f'cert_file = "{keys.directory / own}.pem"')
        lines.append(f'key_file = "{keys.directory / own}.key"')
    text = path.read_text(encoding="utf-8")
    head, site, rest = text.partition("[site]")
    path.write_text("\n".join([head, *lines, site + rest]), encoding="utf-8")
    return path


async def test_a_known_agent_connects_over_tls(keys: Keys, tmp_path: Path) -> None:
    """Both ends show certificates of the CA that the other trusts."""
    ca = str(keys.directory / "ca.pem")
    async with tls_headend(keys, tmp_path, "--tls-client-ca", ca) as (_, ready):
        site = edge_toml(keys, tmp_path, ready["grpc"], "agent")
        async with running("edge", "--config", str(site)) as edge, open_api(ready["url"]) as api:
            await api.wait_agent(AGENT, "connected", within_s=20)
            assert await edge.stop() == 0


@pytest.mark.parametrize("own", [None, "stranger"])
async def test_an_unknown_agent_is_refused_in_a_sentence(
    keys: Keys, tmp_path: Path, own: str | None
) -> None:
    """Without a certificate, or with one of another CA, it is told why and tries again later."""
    ca = str(keys.directory / "ca.pem")
    async with tls_headend(keys, tmp_path, "--tls-client-ca", ca) as (headend, ready):
        site = edge_toml(keys, tmp_path, ready["grpc"], own)
        async with running("edge", "--config", str(site)) as edge:
            over = await edge.wait_logged("session_over")
            assert "certificate" in over["why"]
            again = await edge.wait_logged_times("session_over", 2)
            assert again["next_call_s"] > 0
        async with open_api(ready["url"]) as api:
            assert (await api.get("/agents"))["items"] == []
        assert await headend.stop() == 0


async def test_a_plain_agent_at_a_tls_headend_is_told_so(keys: Keys, tmp_path: Path) -> None:
    """The sentence names TLS, and the headend lives on."""
    async with tls_headend(keys, tmp_path) as (headend, ready):
        site = site_toml(tmp_path, agent_id=AGENT, grpc=ready["grpc"])
        async with running("edge", "--config", str(site)) as edge:
            over = await edge.wait_logged("session_over")
            assert "TLS" in over["why"]
        assert await headend.stop() == 0


async def test_a_tls_agent_at_a_plain_headend_is_told_so(keys: Keys, tmp_path: Path) -> None:
    """The sentence names TLS here too."""
    arguments = ("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--data-dir", str(tmp_path))
    async with running("headend", *arguments) as headend:
        ready = await headend.wait_logged("headend_ready")
        site = edge_toml(keys, tmp_path, ready["grpc"], None)
        async with running("edge", "--config", str(site)) as edge:
            over = await edge.wait_logged("session_over")
            assert "TLS" in over["why"]
        assert await headend.stop() == 0
