"""Reads the table [opcua] of site.toml."""

from collections.abc import Callable
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path

from dercp.edge.config.settings import OpcUaConfig, OpcUaFiles, OpcUaUser
from dercp.edge.config.site_file import OpcUaTable, OpcUaUserTable
from dercp.edge.opcua.passwords import PASSWORD_HASH

__all__ = ["read_opcua"]

_LISTEN = '"host:port", as "127.0.0.1:4840"'


def read_opcua(
    table: OpcUaTable, directory: Path, fault: Callable[[str, str], None]
) -> OpcUaConfig:
    """What the table says; what is wrong with it goes to `fault`, by path."""
    if find_spec("asyncua") is None:
        fault("opcua", 'the package "asyncua" is missing; pip install "dercp[opcua]" brings it')
    host, _, port = table.listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        fault("opcua.listen", f'expected {_LISTEN}, got "{table.listen:.80}"')
        port = "4840"
    if not 5 <= table.lease_s <= 86_400:
        fault("opcua.lease_s", f"expected 5 to 86400 s, got {table.lease_s:.12g}")
    if table.no_auth and host and not _is_loopback(host):
        fault("opcua.no_auth", f"{host} is not this machine alone: everybody could command")
    return OpcUaConfig(
        host=host,
        port=int(port),
        lease_s=table.lease_s,
        files=_files(table, directory, fault),
        anonymous_reads=table.anonymous_reads,
        no_auth=table.no_auth,
        users=tuple(
            _user(user, directory, f"opcua.users[{index}]", fault)
            for index, user in enumerate(table.users)
        ),
    )


def _files(
    table: OpcUaTable, directory: Path, fault: Callable[[str, str], None]
) -> OpcUaFiles | None:
    named = (table.cert_file, table.key_file, table.trust_dir)
    if named == (None, None, None):
        if not table.no_auth:
            fault("opcua", "cert_file, key_file and trust_dir are missing, and no_auth is not set")
        return None
    if table.cert_file is None or table.key_file is None or table.trust_dir is None:
        fault("opcua", "cert_file, key_file and trust_dir go together")
        return None
    files = OpcUaFiles(
        directory / table.cert_file, directory / table.key_file, directory / table.trust_dir
    )
    if files.cert_file.is_file() != files.key_file.is_file():
        fault("opcua", "of cert_file and key_file one is there: expected both, or none yet")
    if not files.trust_dir.is_dir():
        fault("opcua.trust_dir", f"{files.trust_dir} is no directory")
    if not table.users and not table.anonymous_reads:
        fault("opcua.users", "missing: nobody could come in")
    return files


def _user(
    table: OpcUaUserTable, directory: Path, path: str, fault: Callable[[str, str], None]
) -> OpcUaUser:
    if not table.name or len(table.name) > 64:
        fault(f"{path}.name", "expected 1 to 64 characters")
    if (table.password_hash is None) == (table.cert_file is None):
        fault(path, "expected either password_hash or cert_file")
    if table.password_hash is not None and not PASSWORD_HASH.fullmatch(table.password_hash):
        made_by = "python -m dercp.edge.opcua.passwords"
        fault(f"{path}.password_hash", f"expected what `{made_by}` prints")
    cert_file = None if table.cert_file is None else directory / table.cert_file
    if cert_file is not None and not cert_file.is_file():
        fault(f"{path}.cert_file", f"{cert_file} cannot be read")
    return OpcUaUser(
        name=table.name,
        password_hash=table.password_hash,
        cert_file=cert_file,
        writes=table.writes,
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
