"""Fleets, scenarios, outages, latencies: what a load is made from."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dercp.edge.config.toml_reader import ConfigError
from dercp.model.asset import RegistrationLimits, check_registration
from dercp.model.points import Kind
from sim.load.fleet import asset_ids, edge_configs, kind_of, stations
from sim.load.latency import Latencies
from sim.load.outages import Outage, struck
from sim.load.plan import Fleet, Plan, Target
from sim.load.scenario import DispatchStorm, Mix, Scenario, read_scenario

FLEET = Fleet(
    first_site=1, sites=3, assets_per_site=4, rate_hz=2.0, single_asset_agents=False, seed=1
)
SCENARIOS = Path(__file__).parent.parent.parent / "examples" / "scenarios"


def test_a_site_has_one_agent() -> None:
    """Its assets are those of the mix, sampled at the rate."""
    first, *others = stations(FLEET)
    assert (first.agent_id, len(others)) == ("sim-00001", 2)
    check_registration(first.registration, RegistrationLimits())
    assert [asset.asset_id for asset in first.registration.assets] == [
        "sim-00001-bess-001",
        "sim-00001-pv-002",
        "sim-00001-wind-003",
        "sim-00001-ev-004",
    ]
    assert {asset.sample_interval_s for asset in first.registration.assets} == {0.5}


def test_an_agent_for_each_asset() -> None:
    """Named by the asset, at sites of other names than those of gateways."""
    fleet = replace(FLEET, single_asset_agents=True)
    all_stations = list(stations(fleet))
    assert len(all_stations) == fleet.agents == 12
    assert {len(each.registration.assets) for each in all_stations} == {1}
    assert len({each.registration.site_id for each in all_stations}) == 3
    assert not set(asset_ids(fleet)) & set(asset_ids(FLEET))


def test_agents_are_started_no_faster_than_a_headend_takes_in_their_assets() -> None:
    """150 small ones a second; of gateways, 5,000 assets."""
    assert FLEET.starts_per_s == 150
    assert replace(FLEET, assets_per_site=500).starts_per_s == 10


def test_a_share_of_the_sites_is_as_it_is_in_the_whole() -> None:
    """Processes split a fleet by its sites, and nothing else changes."""
    share = replace(FLEET, first_site=2, sites=2)
    assert [each.agent_id for each in stations(share)] == ["sim-00002", "sim-00003"]
    assert list(stations(share)) == list(stations(FLEET))[1:]


@given(st.tuples(*[st.integers(0, 5)] * 4).filter(any))
def test_a_mix_is_kept_to_one_in_a_hundred(weights: tuple[int, int, int, int]) -> None:
    """Whatever the proportions."""
    mix = Mix(**dict(zip(("storage", "pv", "wind", "ev"), weights, strict=True)))
    found = Counter(kind_of(mix, number) for number in range(100))
    for kind, weight in zip(Kind, weights, strict=True):
        assert abs(found[kind] - 100 * weight / sum(weights)) <= 1.5


def test_edge_agents_stand_in_the_weather_of_their_site() -> None:
    """Its own clouds, the scenario's hour and faults, and a spool where it is wanted."""
    fleet = replace(FLEET, start_hour=18.0)
    plan = Plan(target=Target(host="127.0.0.1", port=1), fleet=fleet, starts_per_s=100.0)
    first, second, _ = edge_configs(plan, Path("spools"))
    options = [each.assets[0].options for each in (first, second)]
    assert [getattr(each, "site_seed", None) for each in options] == [2, 3]
    assert {getattr(each, "start_hour", None) for each in options} == {18.0}
    assert first.data_dir == Path("spools/sim-00001")
    assert edge_configs(plan, None)[0].data_dir is None


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_scenarios_of_the_examples_can_be_read(path: Path) -> None:
    """Each says something."""
    assert read_scenario(path) != Scenario()


def test_a_scenario_is_read(tmp_path: Path) -> None:
    """Every table may be left out, and so may most keys."""
    path = tmp_path / "storm.toml"
    path.write_text("[[dispatch_storms]]\nat_s = 3\nfor_s = 9.5\n", encoding="utf-8")
    assert read_scenario(path) == Scenario(dispatch_storms=[DispatchStorm(at_s=3, for_s=9.5)])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[wether]\n", 'wether: unknown key (did you mean "weather"?)'),
        ("[[link_outages]]\nfor_s = 3\n", "link_outages[0].at_s: missing"),
        ("[[link_outages]]\nat_s = 3\nshare = 2\n", "link_outages[0].share: expected float <= 1"),
        ('[fleet]\npv = "1,5"\n', 'fleet.pv: expected a number, got "1,5"'),
        ("[fleet]\nstorage = 0\npv = 0\nwind = 0\nev = 0\n", "fleet: expected at least one kind"),
        ("[devices]\nfail_probabilty = 1\n", "devices.fail_probabilty: unknown key"),
    ],
)
def test_a_wrong_scenario_says_where_it_is_wrong(tmp_path: Path, text: str, sentence: str) -> None:
    """With the path of the key, and what was expected there."""
    path = tmp_path / "storm.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_scenario(path)
    assert sentence in str(caught.value)


def test_an_outage_strikes_its_share() -> None:
    """The same for the same seed; all of them where all are meant."""
    names = [f"a{number}" for number in range(100)]
    outages = [Outage(at_s=1), Outage(at_s=2, share=0.25)]
    everyone, some = struck(outages, names, 7)
    assert everyone == names
    assert len(some) == len(set(some)) == 25
    assert [everyone, some] == list(struck(outages, names, 7))
    assert some != list(struck(outages, names, 8))[1]


@given(st.lists(st.floats(1e-4, 1e3), min_size=1), st.floats(0.01, 1.0))
def test_a_quantile_is_at_most_a_twentieth_too_long(times: list[float], share: float) -> None:
    """And never too short."""
    latencies = Latencies()
    for seconds in times:
        latencies.note(seconds)
    found = latencies.quantile(share)
    place = next(n for n in range(1, len(times) + 1) if n >= share * len(times) - 1e-9)
    true = sorted(times)[place - 1]
    assert found is not None
    assert true * 0.999 <= found <= true * 1.051


def test_latencies_of_processes_add_up() -> None:
    """As if one had counted them all; none have no quantile."""
    one, other, both = Latencies(), Latencies(), Latencies()
    assert both.quantile(0.5) is None
    for number in range(1, 100):
        (one if number % 3 else other).note(number / 1000)
        both.note(number / 1000)
    one.add(other.counts)
    assert one.counts == both.counts
