"""The table [opcua] of site.toml."""

from pathlib import Path

import pytest

from dercp.edge.config.settings import OpcUaFiles
from dercp.edge.config.site_file import OpcUaTable, OpcUaUserTable
from dercp.edge.opcua.passwords import hash_password
from dercp.edge.opcua.settings import read_opcua

HASH = hash_password("x")
FILES = {"cert_file": "own.der", "key_file": "own.pem", "trust_dir": "trusted"}
ANNA = OpcUaUserTable(name="anna", password_hash=HASH, writes=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where site.toml stands."""
    (tmp_path / "trusted").mkdir()
    (tmp_path / "anna.der").touch()
    return tmp_path


def test_a_table_becomes_a_configuration(folder: Path) -> None:
    """Files are relative to it; certificate and key need not be there yet."""
    faults: list[str] = []
    table = OpcUaTable(listen="[::]:4841", users=(ANNA,), **FILES)  # type: ignore[arg-type]  # texts
    config = read_opcua(table, folder, lambda path, text: faults.append(f"{path}: {text}"))
    assert not faults
    assert (config.host, config.port, config.lease_s) == ("::", 4841, 900.0)
    assert config.files == OpcUaFiles(folder / "own.der", folder / "own.pem", folder / "trusted")
    assert [(user.name, user.writes) for user in config.users] == [("anna", True)]


@pytest.mark.parametrize(
    ("table", "path"),
    [
        (OpcUaTable(), "opcua"),
        (OpcUaTable(no_auth=True, listen="0.0.0.0:4840"), "opcua.no_auth"),
        (OpcUaTable(no_auth=True, listen="4840"), "opcua.listen"),
        (OpcUaTable(no_auth=True, listen="localhost:99999"), "opcua.listen"),
        (OpcUaTable(no_auth=True, lease_s=1.0), "opcua.lease_s"),
        (OpcUaTable(cert_file="own.der", key_file="own.pem", users=(ANNA,)), "opcua"),
        (OpcUaTable(**FILES), "opcua.users"),  # type: ignore[arg-type]  # texts
        (OpcUaTable(users=(ANNA,), **FILES | {"trust_dir": "nowhere"}), "opcua.trust_dir"),  # type: ignore[arg-type]  # texts
        (OpcUaTable(users=(ANNA,), **FILES | {"cert_file": "anna.der"}), "opcua"),  # type: ignore[arg-type]  # texts
        (OpcUaTable(no_auth=True, users=(OpcUaUserTable(name="bob"),)), "opcua.users[0]"),
        (
            OpcUaTable(no_auth=True, users=(OpcUaUserTable(name="", password_hash=HASH),)),
            "opcua.users[0].name",
        ),
        (
            OpcUaTable(no_auth=True, users=(OpcUaUserTable(name="bob", password_hash="x"),)),  # noqa: S106  # none
            "opcua.users[0].password_hash",
        ),
        (
            OpcUaTable(no_auth=True, users=(OpcUaUserTable(name="bob", cert_file="bob.der"),)),
            "opcua.users[0].cert_file",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_path(folder: Path, table: OpcUaTable, path: str) -> None:
    """One fault each."""
    faults: list[str] = []
    read_opcua(table, folder, lambda path, _text: faults.append(path))
    assert faults == [path]
