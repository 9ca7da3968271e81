"""docs/edge.md against the classes that read the file."""

import re
from pathlib import Path

import msgspec
import pytest

from dercp.edge.config import loader as config_loader
from dercp.edge.config.loader import installed_adapters, load
from dercp.edge.config.site_file import (
    AgentTable,
    AssetTable,
    CustomPointTable,
    HeadendTable,
    LimitsTable,
    OpcUaTable,
    OpcUaUserTable,
    RemoteTable,
    SiteTable,
    SpoolTable,
    TlsTable,
)

PAGE = (Path(__file__).parents[2] / "docs" / "edge.md").read_text(encoding="utf-8")
SECTIONS: dict[str, type[msgspec.Struct]] = {
    "[agent]": AgentTable,
    "[headend]": HeadendTable,
    "[headend.tls]": TlsTable,
    "[site]": SiteTable,
    "[spool]": SpoolTable,
    "[opcua]": OpcUaTable,
    "[[opcua.users]]": OpcUaUserTable,
    "[[assets]]": AssetTable,
    "[[assets.custom_points]]": CustomPointTable,
    "[assets.limits]": LimitsTable,
    "[assets.limits.remote]": RemoteTable,
}


def rows(section: str) -> dict[str, str]:
    """The keys of a section on the page, and whether each must be there."""
    text = PAGE.split(f"\n### {section}\n")[1].split("\n#")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (yes|) ?\|", text, re.MULTILINE))


@pytest.mark.parametrize("section", SECTIONS)
def test_the_page_explains_every_key_and_no_other(section: str) -> None:
    """In the order of the classes, with what must be there."""
    fields = msgspec.structs.fields(SECTIONS[section])
    expected = {field.encode_name: "yes" if field.required else "" for field in fields}
    assert rows(section) == expected


def test_the_example_on_the_page_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever copies it has a site, but for the certificates."""
    monkeypatch.setattr(config_loader, "client_tls", lambda *_files: None)
    for name in ("ca.pem", "agent.pem", "agent.key"):
        (tmp_path / name).touch()
    site = tmp_path / "site.toml"
    [example] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    site.write_text(example, encoding="utf-8")

    config = load(site, installed_adapters())

    assert [asset.spec.asset_id for asset in config.assets] == ["bess-1", "pv-1"]
    assert config.headend.tls is not None
