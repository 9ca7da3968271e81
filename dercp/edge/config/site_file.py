"""The edge's one file, `site.toml`, as a technician writes it.

docs/edge.md explains every key; a test holds both together.
"""

from typing import Any

import msgspec

from dercp.edge.spool.policy import Policy
from dercp.edge.spool.settings import Sync
from dercp.model.asset import Fallback
from dercp.model.points import Kind

__all__ = [
    "AgentTable",
    "AssetTable",
    "CustomPointTable",
    "HeadendTable",
    "LimitsTable",
    "OpcUaTable",
    "OpcUaUserTable",
    "RemoteTable",
    "SiteTable",
    "SpoolTable",
    "TlsTable",
]


class AgentTable(msgspec.Struct, frozen=True):
    """[agent]: who this agent is."""

    id: str
    data_dir: str = "dercp-edge"
    clock_off_s_max: float = 2.0


class TlsTable(msgspec.Struct, frozen=True):
    """[headend.tls]: PEM files, relative to the file they are named in."""

    ca_file: str
    cert_file: str | None = None
    key_file: str | None = None


class HeadendTable(msgspec.Struct, frozen=True):
    """[headend]: where to dial, and how."""

    address: str
    tls: TlsTable | None = None
    insecure: bool = False


class SiteTable(msgspec.Struct, frozen=True):
    """[site]: what stands here."""

    id: str
    name: str | None = None


class SpoolTable(msgspec.Struct, frozen=True, kw_only=True):
    """[spool]: what is kept of telemetry that the headend does not hold yet, and how it is sent."""

    bytes_max: int = 1024 * 1024 * 1024
    age_max_h: float = 720.0
    policy: Policy = Policy.DROP_OLDEST
    sync: Sync = Sync.FULL
    backlog_bytes_per_s: float = 1_000_000.0
    backlog_share: float = 0.3


class OpcUaUserTable(msgspec.Struct, frozen=True, kw_only=True):
    """[[opcua.users]]: who may come in, by password or by certificate."""

    name: str
    password_hash: str | None = None
    cert_file: str | None = None
    writes: bool = False


class OpcUaTable(msgspec.Struct, frozen=True, kw_only=True):
    """[opcua]: the server for the site's SCADA."""

    listen: str = "127.0.0.1:4840"
    lease_s: float = 900.0
    cert_file: str | None = None
    key_file: str | None = None
    trust_dir: str | None = None
    anonymous_reads: bool = False
    no_auth: bool = False
    users: tuple[OpcUaUserTable, ...] = ()


class CustomPointTable(msgspec.Struct, frozen=True):
    """[[assets.custom_points]]: a point that no standard names."""

    name: str
    unit: str


class RemoteTable(msgspec.Struct, frozen=True):
    """[assets.limits.remote]: how the device says that it is under remote control."""

    point: str
    value: float = 1.0


class LimitsTable(msgspec.Struct, frozen=True, kw_only=True):
    """[assets.limits]: narrows the nameplate, never widens it."""

    p_min_mw: float | None = None
    p_max_mw: float | None = None
    dead_band_mw: float = 0.0
    soc_min_pct: float | None = None
    soc_max_pct: float | None = None
    ramp_mw_per_min: float | None = None
    write_interval_s: float = 0.0
    least_change_mw: float = 0.0
    remote: RemoteTable | None = None


class AssetTable(msgspec.Struct, frozen=True, kw_only=True):
    """[[assets]]: one asset and the device that speaks for it."""

    id: str
    name: str | None = None
    kind: Kind
    p_min_mw: float
    p_max_mw: float
    energy_capacity_mwh: float | None = None
    sample_interval_s: float = 1.0
    points: tuple[str, ...] | None = None
    custom_points: tuple[CustomPointTable, ...] = ()
    fallback: Fallback = "release"
    revert_after_s: float = 60.0
    tolerance_mw: float | None = None
    settling_s: float | None = None
    limits: LimitsTable = LimitsTable()
    adapter: str
    # Read by the adapter's own Struct.
    options: dict[str, Any] = {}
