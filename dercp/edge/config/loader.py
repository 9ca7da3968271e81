"""Turns `site.toml` into a `Config`, or into sentences about everything wrong with it.

Each part is looked at by itself, so that a fault in one hides none in another. None
stands for a part that has faults; they are in the list by then.
"""

import math
import re
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, assert_never, overload

import msgspec
from msgspec.structs import replace

from adapters import Adapter
from dercp.edge.config.settings import (
    AssetConfig,
    Config,
    Headend,
    OpcUaConfig,
    RemoteControl,
    Revert,
    TlsFiles,
)
from dercp.edge.config.site_file import (
    AgentTable,
    AssetTable,
    HeadendTable,
    OpcUaTable,
    SiteTable,
    SpoolTable,
    TlsTable,
)
from dercp.edge.config.toml_reader import (
    ConfigError,
    Fault,
    Table,
    TomlValue,
    convert,
    key_path,
    nearest,
    read_document,
)
from dercp.edge.opcua.settings import read_opcua
from dercp.edge.spool.settings import SpoolSettings
from dercp.link.tls import TlsFileError, client_tls
from dercp.model.asset import (
    AssetSpec,
    FallbackValue,
    PointSpec,
    Registration,
    RegistrationError,
    RegistrationLimits,
    check_registration,
    standard_point,
)
from dercp.model.bounds import Bounds
from dercp.model.guardrail import Guardrails, Remote, guardrails_of
from dercp.model.ids import IdError, check_id
from dercp.model.points import POINTS, Kind, points_of

__all__ = ["AdapterCatalog", "check", "installed_adapters", "load"]

AdapterCatalog: TypeAlias = Mapping[str, Callable[[], Callable[[], Adapter[Any]]]]
"""Loaders of adapter classes by name; a class is imported only when an asset asks for it."""

T = TypeVar("T")

_SECTIONS = ("agent", "headend", "site", "spool", "opcua", "assets")
# Less than 16 MiB is not much more than what is on its way.
_SPOOL_RANGES = (
    ("bytes_max", 16 * 1024 * 1024, 2**50, "16777216 (16 MiB) or more"),
    ("age_max_h", 1.0, 87_600.0, "1 to 87600 hours"),
    ("backlog_bytes_per_s", 1_000.0, 1e12, "1000 or more"),
    ("backlog_share", 0.01, 1.0, "0.01 to 1"),
)
_LEAST = "0 to the nameplate"
_REVERT = "0 (the device's own timer is left alone) or 5 to 86400 s"
# What an asset does that nobody commands: sun and wind give all, cars take all.
_UNCURTAILED = {Kind.STORAGE: 0.0, Kind.PV: math.inf, Kind.WIND: math.inf, Kind.EV: -math.inf}
_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.%]+)\]|(?P<host>[^\s:\[\]/]+)):(?P<port>\d{1,5})")


def installed_adapters() -> AdapterCatalog:
    """What the installed packages offer in the entry-point group `dercp.adapters`."""
    return {entry.name: entry.load for entry in entry_points(group="dercp.adapters")}


def load(file: Path, adapters: AdapterCatalog) -> Config:
    """Read the agent's configuration.

    Raises:
        ConfigError: With every fault that was found.
    """
    loader = _Loader(file.parent, adapters)
    config = loader.config(read_document(file))
    if config is None or loader.faults:
        raise ConfigError(file, loader.faults)
    return config


def check(file: Path, adapters: AdapterCatalog) -> tuple[str, ...]:
    """What is wrong with the file, a sentence each; nothing when it can be used."""
    try:
        load(file, adapters)
    except ConfigError as error:
        return error.sentences
    return ()


class _Loader:
    def __init__(self, directory: Path, adapters: AdapterCatalog) -> None:
        self.faults: list[Fault] = []
        self._directory = directory
        self._adapters = adapters

    def _fault(self, path: str, text: str) -> None:
        self.faults.append(Fault(path, text))

    def _section(self, document: Table, key: str, into: type[T]) -> T | None:
        if key in document:
            return convert(document[key], into, key, self.faults)
        self._fault(key, f"missing (add the section [{key}])")
        return None

    # ------------------------------------------------------------ the whole

    def config(self, document: Table) -> Config | None:
        for key in document:
            if key not in _SECTIONS:
                self._fault(key_path("", key), f"unknown section{nearest(key, _SECTIONS)}")
        agent = self._section(document, "agent", AgentTable)
        headend = self._headend(self._section(document, "headend", HeadendTable))
        site = self._section(document, "site", SiteTable)
        spool = self._spool(document)
        opcua = self._opcua(document)
        assets = self._assets(document)
        if agent is not None:
            self._agent(agent)
        if site is not None:
            self._site(site)
        if self.faults or agent is None or headend is None or site is None or spool is None:
            return None
        return Config(
            agent_id=agent.id,
            data_dir=self._directory / agent.data_dir,
            headend=headend,
            site_id=site.id,
            site_name=site.name or site.id,
            assets=assets,
            spool=spool,
            clock_off_s_max=agent.clock_off_s_max,
            opcua=opcua,
        )

    def _agent(self, table: AgentTable) -> None:
        try:
            check_id(table.id, "agent.id")
        except IdError as error:
            self._fault("agent.id", error.detail.removeprefix("agent.id: "))
        if not 0 < table.clock_off_s_max <= 3600:
            self._fault(
                "agent.clock_off_s_max",
                f"expected more than 0 and at most 3600 s, got {table.clock_off_s_max:.12g}",
            )

    def _site(self, table: SiteTable) -> None:
        try:
            check_registration(
                Registration(site_id=table.id, site_name=table.name or "", assets=()),
                RegistrationLimits(),
            )
        except RegistrationError as error:
            self._fault(error.path.replace("site_", "site."), _expectation(error))

    def _spool(self, document: Table) -> SpoolSettings | None:
        table = convert(document.get("spool", {}), SpoolTable, "spool", self.faults)
        if table is None:
            return None
        for name, low, high, meant in _SPOOL_RANGES:
            value = getattr(table, name)
            if not low <= value <= high:
                self._fault(f"spool.{name}", f"expected {meant}, got {value:.12g}")
        return SpoolSettings(**msgspec.structs.asdict(table))

    def _opcua(self, document: Table) -> OpcUaConfig | None:
        if "opcua" not in document:
            return None
        table = convert(document["opcua"], OpcUaTable, "opcua", self.faults)
        return None if table is None else read_opcua(table, self._directory, self._fault)

    # ---------------------------------------------------------- the headend

    def _headend(self, table: HeadendTable | None) -> Headend | None:
        if table is None:
            return None
        found = _ADDRESS.fullmatch(table.address)
        if found is None or not 0 < int(found["port"]) < 65536:
            self._fault(
                "headend.address",
                f'expected "host:port", as "headend.example:4443", got "{table.address:.80}"',
            )
            return None
        host = found["ipv6"] or found["host"]
        if table.tls is None and not (table.insecure or _is_loopback(host)):
            self._fault(
                "headend.tls",
                f"missing: {host} is another machine, and without TLS whoever is on the way can "
                "read and command (add [headend.tls], or for a test insecure = true)",
            )
        tls = None if table.tls is None else self._tls(table.tls)
        return Headend(host, int(found["port"]), tls)

    def _tls(self, table: TlsTable) -> TlsFiles:
        files = TlsFiles(
            self._readable(table.ca_file, "headend.tls.ca_file"),
            self._readable(table.cert_file, "headend.tls.cert_file"),
            self._readable(table.key_file, "headend.tls.key_file"),
        )
        if (files.cert_file is None) != (files.key_file is None):
            self._fault("headend.tls", "cert_file and key_file go together")
        elif not any(fault.path.startswith("headend.tls.") for fault in self.faults):
            try:
                client_tls(files.ca_file, files.cert_file, files.key_file)
            except TlsFileError as error:
                self._fault("headend.tls", str(error))
        return files

    @overload
    def _readable(self, name: str, path: str) -> Path: ...
    @overload
    def _readable(self, name: str | None, path: str) -> Path | None: ...
    def _readable(self, name: str | None, path: str) -> Path | None:
        if name is None:
            return None
        file = self._directory / name
        try:
            file.open("rb").close()
        except OSError as error:
            self._fault(path, f"{file} cannot be read: {error.strerror}")
        except ValueError:
            self._fault(path, "expected the name of a file")
        return file

    # ----------------------------------------------------------- the assets

    def _assets(self, document: Table) -> tuple[AssetConfig, ...]:
        tables = document.get("assets", [])
        if isinstance(tables, dict):
            self._fault("assets", "expected a list (write [[assets]], with two brackets)")
            return ()
        most = RegistrationLimits().assets_max
        if not isinstance(tables, list) or not 0 < len(tables) <= most:
            self._fault("assets", f"expected 1 to {most} [[assets]] tables")
            return ()
        assets = []
        places: dict[str, int] = {}
        for index, table in enumerate(tables):
            asset = self._asset(table, f"assets[{index}]")
            if asset is None:
                continue
            assets.append(asset)
            asset_id = asset.spec.asset_id
            first = places.setdefault(asset_id, index)
            if first != index:
                self._fault(f"assets[{index}].id", f'"{asset_id}" is already assets[{first}]')
        return tuple(assets)

    def _asset(self, value: TomlValue, path: str) -> AssetConfig | None:
        table = convert(value, AssetTable, path, self.faults)
        if table is None:
            return None
        spec = self._spec(table, path)
        guardrails = None if spec is None else self._guardrails(table, spec, path)
        adapter = self._adapter(table.adapter, path)
        if adapter is None:
            return None
        options = convert(table.options, adapter.options, f"{path}.options", self.faults)
        if spec is None or guardrails is None or options is None:
            return None
        remote = table.limits.remote
        return AssetConfig(
            spec=spec,
            guardrails=guardrails,
            adapter_name=table.adapter,
            adapter=adapter,
            options=options,
            revert=_revert(table, guardrails.limits),
            remote_control=None if remote is None else RemoteControl(remote.point, remote.value),
        )

    def _spec(self, table: AssetTable, path: str) -> AssetSpec | None:
        spec = AssetSpec(
            asset_id=table.id,
            name=table.name or table.id,
            kind=table.kind,
            p_min_mw=table.p_min_mw,
            p_max_mw=table.p_max_mw,
            energy_capacity_mwh=table.energy_capacity_mwh,
            sample_interval_s=table.sample_interval_s,
            limit_min_mw=table.limits.p_min_mw,
            limit_max_mw=table.limits.p_max_mw,
            fallback=table.fallback,
            tolerance_mw=table.tolerance_mw,
            settling_s=table.settling_s,
            soc_min_pct=table.limits.soc_min_pct,
            soc_max_pct=table.limits.soc_max_pct,
            dead_band_mw=table.limits.dead_band_mw,
            points=self._points(table, path),
        )
        alone = Registration(site_id="site", site_name="", assets=(spec,))
        try:
            check_registration(alone, RegistrationLimits())
        except RegistrationError as error:
            place = error.path.removeprefix("assets[0]").replace(".asset_id", ".id")
            place = place.replace(".dead_band_mw", ".limits.dead_band_mw")
            self._fault(path + place, _expectation(error))
            return None
        return spec

    def _points(self, table: AssetTable, path: str) -> tuple[PointSpec, ...]:
        names = table.points
        if names is None:
            names = tuple(point.name for point in points_of(table.kind))
        known = [point.name for point in POINTS]
        points = []
        for index, name in enumerate(names):
            if name in known:
                points.append(standard_point(name))
            else:
                self._fault(
                    f"{path}.points[{index}]",
                    f'no standard point is named "{name:.80}"{nearest(name, known)}; '
                    "a point of your own goes into custom_points",
                )
        return (*points, *(PointSpec(custom.name, custom.unit) for custom in table.custom_points))

    def _guardrails(self, table: AssetTable, spec: AssetSpec, path: str) -> Guardrails:
        limits = table.limits
        for place, value, low, high, meant in (
            ("limits.ramp_mw_per_min", limits.ramp_mw_per_min, 1e-6, 1e9, "more than 0 MW"),
            ("limits.write_interval_s", limits.write_interval_s, 0.0, 3600.0, "0 to 3600 s"),
            ("limits.least_change_mw", limits.least_change_mw, 0.0, spec.nameplate_mw, _LEAST),
            ("revert_after_s", table.revert_after_s or 5.0, 5.0, 86_400.0, _REVERT),
        ):
            if value is not None and not low <= value <= high:
                self._fault(f"{path}.{place}", f"expected {meant}, got {value:.12g}")
        known = {point.name for point in spec.points}
        if limits.remote is not None and limits.remote.point not in known:
            self._fault(f"{path}.limits.remote.point", "expected one of the asset's points")
        if (limits.soc_min_pct, limits.soc_max_pct) != (None, None) and "soc_pct" not in known:
            self._fault(f"{path}.limits", "a limit on the state of charge needs the point soc_pct")
        return replace(
            guardrails_of(spec),
            remote=Remote.NOT_ASKED if limits.remote is None else Remote.REQUIRED,
            ramp_mw_per_min=limits.ramp_mw_per_min,
            write_interval_s=limits.write_interval_s,
            least_change_mw=limits.least_change_mw,
        )

    def _adapter(self, name: str, path: str) -> Adapter[Any] | None:
        loader = self._adapters.get(name)
        if loader is None:
            known = sorted(self._adapters)
            listed = ", ".join(known) or "none"
            self._fault(
                f"{path}.adapter",
                f'no adapter is named "{name:.80}"{nearest(name, known)}; installed: {listed}',
            )
            return None
        try:
            return loader()()
        except Exception as error:  # noqa: BLE001 - a site's own package may fail in any way
            self._fault(f"{path}.adapter", f'"{name}" is installed but does not load: {error!r}')
            return None


def _expectation(error: RegistrationError) -> str:
    return error.detail.removeprefix(f"{error.path}: ")


def _revert(table: AssetTable, limits: Bounds) -> Revert | None:
    """Where the device goes by itself. Its own control is no power; the nearest one stands in."""
    if table.revert_after_s == 0:
        return None
    match table.fallback:
        case "hold":
            return None
        case "zero":
            power_mw = 0.0
        case FallbackValue(value_mw):
            power_mw = value_mw
        case "release":
            power_mw = limits.nearest(_UNCURTAILED[table.kind])
        case _:
            assert_never(table.fallback)
    return Revert(power_mw, table.revert_after_s)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
