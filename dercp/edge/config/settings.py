"""What an agent is told: `site.toml`, checked and resolved."""

from pathlib import Path
from typing import Any

import msgspec

from adapters import Adapter
from dercp.edge.spool.settings import SpoolSettings
from dercp.model.asset import AssetSpec, Fallback, Registration
from dercp.model.guardrail import Guardrails

__all__ = [
    "AssetConfig",
    "Config",
    "Headend",
    "OpcUaConfig",
    "OpcUaFiles",
    "OpcUaUser",
    "RemoteControl",
    "Revert",
    "TlsFiles",
]


class TlsFiles(msgspec.Struct, frozen=True):
    """Where the certificates are; the agent's own and its key come together or not at all."""

    ca_file: Path
    cert_file: Path | None
    key_file: Path | None


class Headend(msgspec.Struct, frozen=True):
    """Where to dial; without TLS only where the file allowed it."""

    host: str
    port: int
    tls: TlsFiles | None


class OpcUaUser(msgspec.Struct, frozen=True, kw_only=True):
    """Who may come in: with a password (as `opcua.passwords` hashes it) or a certificate."""

    name: str
    password_hash: str | None = None
    cert_file: Path | None = None
    writes: bool = False


class OpcUaFiles(msgspec.Struct, frozen=True):
    """The server's own certificate and key, and the certificates of the clients it trusts.

    Where neither certificate nor key is there, they are made at the first start.
    """

    cert_file: Path
    key_file: Path
    trust_dir: Path


class OpcUaConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The OPC UA server for the site's SCADA.

    Without `files` there is no secured endpoint. `no_auth` adds one that is open to everybody
    on this machine.
    """

    host: str
    port: int
    lease_s: float = 900.0
    files: OpcUaFiles | None = None
    anonymous_reads: bool = False
    no_auth: bool = False
    users: tuple[OpcUaUser, ...] = ()


class Revert(msgspec.Struct, frozen=True):
    """What the device does by itself when this process is gone: this power, so much later."""

    power_mw: float
    after_s: float


class RemoteControl(msgspec.Struct, frozen=True):
    """The device is under remote control while this point has this value."""

    point: str
    value: float


class AssetConfig(msgspec.Struct, frozen=True):
    """One asset, ready to be opened through its adapter."""

    spec: AssetSpec
    guardrails: Guardrails
    adapter_name: str
    adapter: Adapter[Any]
    options: msgspec.Struct
    # None: the device's own timer, if it has one, is left alone.
    revert: Revert | None = None
    # None: the device is always taken to be.
    remote_control: RemoteControl | None = None

    @property
    def fallback(self) -> Fallback:
        """Where the asset goes when a lease ends, as the headend is told."""
        return self.spec.fallback or "release"


class Config(msgspec.Struct, frozen=True):
    """One agent. The assets stand in the order of the registration."""

    agent_id: str
    # None: nothing is kept beyond the process.
    data_dir: Path | None
    headend: Headend
    site_id: str
    site_name: str
    assets: tuple[AssetConfig, ...]
    spool: SpoolSettings = SpoolSettings()
    # How far this machine's clock may be off the headend's.
    clock_off_s_max: float = 2.0
    # None: the site's SCADA has no way in.
    opcua: OpcUaConfig | None = None

    @property
    def registration(self) -> Registration:
        """What the headend is told stands here."""
        return Registration(
            site_id=self.site_id,
            site_name=self.site_name,
            assets=tuple(asset.spec for asset in self.assets),
        )
