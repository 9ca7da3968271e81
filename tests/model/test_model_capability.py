"""What an asset can do now: each end of its range, and why it is not wider."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dercp.model.asset import AssetSpec, standard_point
from dercp.model.capability import Live, capacity_of, limits_of, live_of
from dercp.model.points import Kind
from dercp.model.quality import Quality
from dercp.model.reading import Reading
from dercp.model.split import Capacity


def spec(kind: Kind, *points: str, **more: float) -> AssetSpec:
    """An asset of -2 (or 0) to 2 MW."""
    return AssetSpec(
        asset_id="a",
        name="A",
        kind=kind,
        p_min_mw=-2.0 if kind is Kind.STORAGE else 0.0,
        p_max_mw=2.0,
        points=tuple(map(standard_point, ("active_power_mw", *points))),
        **more,  # type: ignore[arg-type]  # limits, all of them numbers
    )


BATTERY = spec(Kind.STORAGE, "soc_pct", soc_min_pct=10.0, soc_max_pct=90.0)
SOLAR = spec(Kind.PV, "available_min_mw", "available_max_mw")
HALF = Live(active_power_mw=0.5, soc_pct=50)


def ends(capacity: Capacity) -> tuple[float, str, float, str]:
    """The range and the words for its ends."""
    return (capacity.min_mw, capacity.limit_low, capacity.max_mw, capacity.limit_high)


def test_nothing_in_the_way_leaves_the_nameplate() -> None:
    """The weight is the nameplate's, whatever is available."""
    capacity = capacity_of(BATTERY, HALF)
    assert ends(capacity) == (-2, "nameplate", 2, "nameplate")
    assert (capacity.id, capacity.weight_mw, capacity.excluded) == ("a", 2, "")


def test_the_site_may_allow_less() -> None:
    """At either end."""
    limited = replace(BATTERY, limit_min_mw=-1.0, limit_max_mw=1.5)
    configured = "configured_limit"
    assert ends(capacity_of(limited, HALF)) == (-1, configured, 1.5, configured)


def test_a_storage_at_the_end_of_its_window_goes_one_way_only() -> None:
    """Full takes nothing, empty gives nothing; without a window it is 0 and 100 %."""
    full, empty = Live(soc_pct=90), Live(soc_pct=10)
    assert ends(capacity_of(BATTERY, full)) == (0, "state_of_charge", 2, "nameplate")
    assert ends(capacity_of(BATTERY, empty)) == (-2, "nameplate", 0, "state_of_charge")
    free = replace(BATTERY, soc_min_pct=None, soc_max_pct=None)
    assert ends(capacity_of(free, full)) == (-2, "nameplate", 2, "nameplate")
    assert capacity_of(free, Live(soc_pct=100)).min_mw == 0


def test_the_sun_is_a_limit() -> None:
    """What the device says is available."""
    live = Live(active_power_mw=0.4, available_min_mw=0, available_max_mw=0.7)
    assert ends(capacity_of(SOLAR, live)) == (0, "nameplate", 0.7, "available")


def test_what_is_not_known_is_neither_nothing_nor_everything() -> None:
    """The asset is counted on for what it does at present."""
    assert ends(capacity_of(SOLAR, Live(active_power_mw=0.4))) == (0, "nameplate", 0.4, "not_known")
    charging = capacity_of(BATTERY, Live(active_power_mw=-1.2))
    assert ends(charging) == (-1.2, "not_known", 0, "not_known")


def test_a_device_that_never_states_what_is_available_is_taken_at_its_limits() -> None:
    """A curtailed plant could otherwise never be raised again."""
    plain = spec(Kind.PV)
    assert ends(capacity_of(plain, Live(active_power_mw=0.0))) == (0, "nameplate", 2, "nameplate")


def test_a_device_that_contradicts_itself_is_not_believed() -> None:
    """A least power above the greatest."""
    live = Live(active_power_mw=0.4, available_min_mw=1, available_max_mw=0.5)
    assert ends(capacity_of(SOLAR, live)) == (0, "nameplate", 0.4, "not_known")


def test_who_must_run_and_must_not_stands_nearest_to_nothing() -> None:
    """An empty storage whose device wants to discharge."""
    odd = spec(Kind.STORAGE, "soc_pct", "available_min_mw", "available_max_mw")
    live = Live(active_power_mw=1, available_min_mw=0.5, available_max_mw=2, soc_pct=0)
    assert ends(capacity_of(odd, live))[::2] == (0, 0)


def test_nothing_fresh_means_no_part() -> None:
    """Unless the caller knows better why."""
    assert capacity_of(BATTERY, Live(stale=True)).excluded == "stale"
    assert capacity_of(BATTERY, Live(stale=True), excluded="offline").excluded == "offline"


def test_a_dead_band_is_there_both_ways() -> None:
    """As the site has declared it."""
    capacity = capacity_of(replace(BATTERY, dead_band_mw=0.1), HALF)
    assert (capacity.dead_low_mw, capacity.dead_high_mw) == (-0.1, 0.1)


def test_readings_count_when_they_are_good_enough_and_possible() -> None:
    """Bad is not known, and a state of charge of 180 % is none."""
    readings = (
        Reading("active_power_mw", 1.0, Quality.UNCERTAIN),
        Reading("available_max_mw", 2.0, Quality.BAD),
        Reading("soc_pct", 180.0, Quality.UNCERTAIN),
        Reading("frequency_hz", 50.0),
    )
    assert live_of(readings, stale=False) == Live(active_power_mw=1.0)
    assert live_of((), stale=True) == Live(stale=True)


known = st.none() | st.floats(-5, 5)


@given(
    st.sampled_from([BATTERY, SOLAR, replace(BATTERY, limit_min_mw=-1.0, limit_max_mw=0.5)]),
    known,
    known,
    known,
    st.none() | st.floats(0, 100),
)
def test_an_asset_never_promises_more_than_its_limits(
    asset: AssetSpec, power: float | None, low: float | None, high: float | None, soc: float | None
) -> None:
    """Whatever its device says."""
    live = Live(active_power_mw=power, available_min_mw=low, available_max_mw=high, soc_pct=soc)
    capacity = capacity_of(asset, live)
    limits = limits_of(asset)
    assert limits.low_mw <= capacity.min_mw <= capacity.max_mw <= limits.high_mw
