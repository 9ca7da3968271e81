"""`dercp edge discover`: from an address to a section of a site.toml that can be used."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
from modbus_field import BATTERY, SOLAR, served
from sunspec_field import Points, chain_bank
from typer.testing import CliRunner, Result

from adapters.sunspec import SunSpecOptions, describe
from dercp.cli import app
from dercp.edge.config.loader import check, installed_adapters, load
from dercp.model.asset import AssetSpec
from sim.field.modbus_sunspec import sunspec_device
from sim.options import SimulatedOptions

BEFORE = """
[agent]
id = "edge-1"
[headend]
address = "localhost:1"
[site]
id = "site-1"
"""


async def described(models: Mapping[int, Points], base: int = 40000) -> str:
    """What is written for a device of these models."""
    async with served(chain_bank(models, base=base)) as device:
        return await describe(SunSpecOptions(host="127.0.0.1", port=device.port, timeout_s=1.0))


@pytest.mark.parametrize("site", [BATTERY, SOLAR])
async def test_what_is_printed_is_read_by_the_edge(site: AssetSpec, tmp_path: Path) -> None:
    """Kind, ratings and points are the device's."""
    bank = sunspec_device(site, SimulatedOptions())
    async with served(bank) as device:
        runner = CliRunner()
        words = ["edge", "discover", f"127.0.0.1:{device.port}"]
        done: Result = await trio.to_thread.run_sync(runner.invoke, app, words)
    assert done.exit_code == 0, done.output
    file = tmp_path / "site.toml"
    file.write_text(BEFORE + done.output, encoding="utf-8")
    assert check(file, installed_adapters()) == ()
    (asset,) = load(file, installed_adapters()).assets
    assert asset.adapter_name == "sunspec"
    assert (asset.spec.kind, asset.spec.p_min_mw, asset.spec.p_max_mw) == (
        site.kind, site.p_min_mw, site.p_max_mw,
    )  # fmt: skip
    assert asset.spec.energy_capacity_mwh == site.energy_capacity_mwh
    told = {point.name for point in asset.spec.points}
    wanted = {point.name for point in site.points}
    assert wanted - told <= {"available_min_mw", "energy_imported_mwh"}
    assert "setpoint_mw" in told


async def test_what_a_device_does_not_tell_is_left_to_be_filled_in() -> None:
    """A meter: no ratings, no controls, no name, and an unusual base address."""
    text = await described({1: {"SN": 'A"1'}, 103: {"W": 5, "W_SF": 0}}, base=0)
    assert "p_max_mw = 0.0  # the device does not tell: put its rating here" in text
    assert "# It takes no setpoint: it has none of the models 123, 704." in text
    (asset,) = tomllib.loads(text)["assets"]
    assert asset["id"] == "pv-A-1"
    assert asset["points"] == ["active_power_mw"]
    assert asset["options"]["base_addresses"] == [0]


async def test_kinds_are_guessed_from_the_models() -> None:
    """Ports for vehicles make a charger, a rate of charging a battery."""
    ports = [{"PrtTyp": 2, "IDStr": ""}, {"PrtTyp": 2, "IDStr": ""}]
    charger = await described({714: {"NPrt": 2, "Prt": ports}})
    assert 'kind = "ev"' in charger
    battery = await described({124: {"WChaMax": 500, "WChaMax_SF": 2}})
    assert 'kind = "storage"' in battery
    assert "p_min_mw = -0.05" in battery


@pytest.mark.parametrize(
    ("address", "code", "sentence"),
    [
        ("127.0.0.1:1", 69, "127.0.0.1:1 unit 1: no connection within"),
        ("10.0.0.5:99999", 2, "expected HOST or HOST:PORT"),
        ("a b", 2, "expected HOST or HOST:PORT"),
    ],
)
def test_what_cannot_be_asked_is_told(address: str, code: int, sentence: str) -> None:
    """In one sentence, with an exit code."""
    done = CliRunner().invoke(app, ["edge", "discover", address])
    assert done.exit_code == code
    assert sentence in done.output
