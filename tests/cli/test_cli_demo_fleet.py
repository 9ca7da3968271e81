"""What the demo is refused before anything starts, and who may come in by OPC UA."""

from pathlib import Path

import pytest

from dercp.cli import demo_fleet
from dercp.cli.demo_fleet import Devices, OpcUaOrder, Surface
from dercp.cli.exits import CommandError, Exit
from dercp.cli.parse import Address
from dercp.edge.config.settings import Headend
from sim.fleet import demo_fleet as simulated_fleet

ORDER = OpcUaOrder(Address("127.0.0.1", 4840), Surface.SECURED)


def test_missing_packages_are_named_with_what_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them in one sentence, by the extras of dercp."""
    monkeypatch.setattr(demo_fleet, "find_spec", lambda _: None)
    with pytest.raises(
        CommandError, match=r"asyncua.*pip install 'dercp\[modbus,.*opcua\]'"
    ) as told:
        demo_fleet.require_packages(Devices.FIELD, None)
    assert told.value.code is Exit.UNAVAILABLE
    with pytest.raises(CommandError, match=r"asyncua; pip install 'dercp\[opcua\]'"):
        demo_fleet.require_packages(Devices.SIMULATED, ORDER)
    demo_fleet.require_packages(Devices.SIMULATED, None)


def test_a_field_too_large_for_one_process_is_refused() -> None:
    """With the limits in the sentence; simulated devices are not concerned."""
    demo_fleet.check_size(Devices.SIMULATED, sites=99, assets_per_site=200)
    demo_fleet.check_size(Devices.FIELD, sites=10, assets_per_site=10)
    for sites, assets in ((11, 1), (10, 11)):
        with pytest.raises(CommandError, match="10 sites and 100 assets"):
            demo_fleet.check_size(Devices.FIELD, sites=sites, assets_per_site=assets)


def test_without_no_auth_the_surface_is_secured_and_read_only(tmp_path: Path) -> None:
    """Its certificates are with the demo's data; with it, it is open."""
    headend = Headend("127.0.0.1", 1, tls=None)
    (config,) = simulated_fleet(headend, sites=1, assets_per_site=1, seed=1)
    secured = demo_fleet.surfaced(config, ORDER, tmp_path).opcua
    assert secured is not None
    assert (secured.no_auth, secured.anonymous_reads) == (False, True)
    assert secured.files is not None
    assert secured.files.trust_dir.is_dir()
    opened = demo_fleet.surfaced(config, OpcUaOrder(ORDER.address, Surface.OPEN), tmp_path).opcua
    assert opened is not None
    assert (opened.no_auth, opened.files) == (True, None)
