"""`site.toml`: what it may say, and what is said about it."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from dercp.edge.config.loader import check, installed_adapters, load
from dercp.edge.config.settings import RemoteControl, Revert
from dercp.edge.spool.policy import Policy
from dercp.edge.spool.settings import SpoolSettings, Sync
from dercp.model.asset import FallbackValue
from dercp.model.bounds import Bounds
from dercp.model.guardrail import Remote


class Register(msgspec.Struct):
    """A nested option."""

    address: int


class BoxOptions(msgspec.Struct):
    """The options of an adapter."""

    host: str
    port: Annotated[int, msgspec.Meta(gt=0)] = 502
    registers: tuple[Register, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what types cannot say."""
        if self.host == "nowhere":
            raise ValueError("host: there is no way to nowhere")


class Box:
    """An adapter by name only."""

    options: type[msgspec.Struct] = BoxOptions

    def open(self, _asset: object, _options: object) -> Any:
        """Never opened here."""


def broken() -> Any:
    """An adapter whose package is in pieces."""
    raise ImportError("no module named boxlib")


ADAPTERS: dict[str, Callable[[], Any]] = {"box": lambda: Box, "broken": broken}


def document() -> dict[str, Any]:
    """A file with nothing wrong."""
    return {
        "agent": {"id": "edge-1"},
        "headend": {"address": "localhost:4443"},
        "site": {"id": "site-1", "name": "Mill Lane"},
        "assets": [
            {
                "id": "bess-1",
                "kind": "storage",
                "p_min_mw": -2.0,
                "p_max_mw": 2,
                "adapter": "box",
                "options": {"host": "10.0.0.7"},
            }
        ],
    }


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "site.toml"


def sentences(site: Path, content: dict[str, Any] | str) -> tuple[str, ...]:
    """What is said of a file."""
    site.write_text(content if isinstance(content, str) else tomli_w.dumps(content))
    return check(site, ADAPTERS)


def sentence(site: Path, content: dict[str, Any] | str) -> str:
    """The one thing that is said of a file."""
    [said] = sentences(site, content)
    return said.removeprefix("site.toml: ")


def asset(**changes: Any) -> dict[str, Any]:
    """A file whose one asset is different."""
    changed = document()
    changed["assets"][0].update(changes)
    return changed


def test_a_good_file_becomes_a_config(site: Path) -> None:
    """Everything is looked up: points of the kind, adapter, options, guardrails."""
    site.write_text(
        tomli_w.dumps(
            asset(
                points=["active_power_mw", "soc_pct"],
                custom_points=[{"name": "door_open", "unit": ""}],
                limits={"p_max_mw": 1.5},
                fallback={"value_mw": 0.5},
            )
        )
    )

    config = load(site, ADAPTERS)

    assert (config.agent_id, config.site_id, config.site_name) == ("edge-1", "site-1", "Mill Lane")
    assert (config.headend.host, config.headend.port) == ("localhost", 4443)
    [bess] = config.assets
    assert [point.name for point in bess.spec.points] == ["active_power_mw", "soc_pct", "door_open"]
    assert bess.guardrails.nameplate == Bounds(-2.0, 2.0)
    assert bess.guardrails.limits == Bounds(-2.0, 1.5)
    assert bess.fallback == FallbackValue(0.5)
    assert bess.options == BoxOptions(host="10.0.0.7")


def test_limits_and_obedience_go_where_they_belong(site: Path) -> None:
    """What the headend is told, what the guardrails hold, what the device does by itself."""
    changed = asset(
        custom_points=[{"name": "switch", "unit": ""}],
        fallback="zero",
        tolerance_mw=0.05,
        settling_s=12.0,
        revert_after_s=90.0,
        limits={
            "p_min_mw": -1.0,
            "dead_band_mw": 0.1,
            "soc_min_pct": 10.0,
            "soc_max_pct": 90.0,
            "ramp_mw_per_min": 6.0,
            "write_interval_s": 5.0,
            "least_change_mw": 0.01,
            "remote": {"point": "switch"},
        },
    )
    changed["agent"]["clock_off_s_max"] = 5.0
    site.write_text(tomli_w.dumps(changed))
    config = load(site, ADAPTERS)
    [bess] = config.assets
    spec, rails = bess.spec, bess.guardrails
    assert (spec.limit_min_mw, spec.limit_max_mw, spec.fallback) == (-1.0, None, "zero")
    assert (spec.tolerance_mw, spec.settling_s, spec.dead_band_mw) == (0.05, 12.0, 0.1)
    assert (rails.soc_min_pct, rails.soc_max_pct, rails.limits) == (10, 90, Bounds(-1.0, 2.0))
    assert (rails.ramp_mw_per_min, rails.write_interval_s, rails.least_change_mw) == (6, 5, 0.01)
    assert rails.remote is Remote.REQUIRED
    assert bess.remote_control == RemoteControl("switch", 1.0)
    assert bess.revert == Revert(0.0, 90.0)
    assert config.clock_off_s_max == 5.0


@pytest.mark.parametrize(
    ("kind", "changes", "revert"),
    [
        ("storage", {"fallback": "hold"}, None),
        ("storage", {"revert_after_s": 0.0}, None),
        ("storage", {"fallback": {"value_mw": 0.5}}, Revert(0.5, 60.0)),
        ("storage", {}, Revert(0.0, 60.0)),
        ("pv", {"limits": {"p_max_mw": 1.5}}, Revert(1.5, 60.0)),
        ("ev", {}, Revert(-2.0, 60.0)),
    ],
)
def test_a_device_reverts_to_what_is_nearest_to_its_fallback(
    site: Path, kind: str, changes: dict[str, Any], revert: Revert | None
) -> None:
    """Its own control is no power: the sun gives all, cars take all, a battery rests."""
    site.write_text(tomli_w.dumps(asset(kind=kind, **changes)))
    assert load(site, ADAPTERS).assets[0].revert == revert


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"limits": {"ramp_mw_per_min": 0.0}},
            "assets[0].limits.ramp_mw_per_min: expected more than 0 MW, got 0",
        ),
        (
            {"limits": {"write_interval_s": -1.0}},
            "assets[0].limits.write_interval_s: expected 0 to 3600 s, got -1",
        ),
        (
            {"limits": {"dead_band_mw": 3.0}},
            "assets[0].limits.dead_band_mw: expected 0 to 2 MW, got 3",
        ),
        (
            {"limits": {"soc_min_pct": 90.0, "soc_max_pct": 10.0}},
            "assets[0].limits: expected 0 <= soc_min_pct < soc_max_pct <= 100, got 90 and 10",
        ),
        (
            {"points": ["active_power_mw"], "limits": {"soc_max_pct": 90.0}},
            "assets[0].limits: a limit on the state of charge needs the point soc_pct",
        ),
        (
            {"limits": {"remote": {"point": "switch"}}},
            "assets[0].limits.remote.point: expected one of the asset's points",
        ),
        (
            {"revert_after_s": 1.0},
            (
                "assets[0].revert_after_s: expected 0 (the device's own timer is left alone) or "
                "5 to 86400 s, got 1"
            ),
        ),
    ],
)
def test_limits_that_nobody_can_mean_are_told(
    site: Path, changes: dict[str, Any], said: str
) -> None:
    """At the check, not at the first dispatch."""
    assert sentence(site, asset(**changes)) == said


def test_without_points_an_asset_has_those_of_its_kind(site: Path) -> None:
    """The default is useful."""
    site.write_text(tomli_w.dumps(document()))
    names = {point.name for point in load(site, ADAPTERS).assets[0].spec.points}
    assert {"active_power_mw", "soc_pct"} <= names
    assert "wind_speed_m_s" not in names


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"p_max_mw": "1,5"},
            'assets[0].p_max_mw: expected a number, got "1,5" (use a point as decimal mark)',
        ),
        (
            {"p_max_mw": "1.5"},
            'assets[0].p_max_mw: expected a number, got "1.5" (remove the quotes)',
        ),
        ({"p_max_mw": True}, "assets[0].p_max_mw: expected a number, got true"),
        ({"name": 3}, "assets[0].name: expected a text in quotes, got 3 (put it in quotes)"),
        (
            {"kind": "stroage"},
            (
                'assets[0].kind: expected "storage", "pv", "wind" or "ev", got "stroage" '
                '(did you mean "storage"?)'
            ),
        ),
        (
            {"fallback": 5},
            'assets[0].fallback: expected "hold", "release", "zero" or { value_mw = … }, got 5',
        ),
        (
            {"fallback": "zreo"},
            (
                'assets[0].fallback: expected "hold", "release" or "zero", got "zreo" '
                '(did you mean "zero"?)'
            ),
        ),
        ({"fallback": {}}, "assets[0].fallback.value_mw: missing (expected a number)"),
        (
            {"fallback": {"value_mw": 3.0}},
            "assets[0].fallback: 3 MW is outside what the asset may do (-2 to 2 MW)",
        ),
        (
            {"limits": {"p_max_mw": 2.5}},
            (
                "assets[0].limits: expected p_min_mw <= p_max_mw within the nameplate "
                "(-2 to 2 MW), got -2 and 2.5"
            ),
        ),
        (
            {"p_min_mw": 1.0},
            "assets[0].p_min_mw: expected -10000 to 0 MW (negative flows into the asset), got 1",
        ),
        (
            {"id": "bess 1"},
            (
                "assets[0].id: expected 1 to 64 of A-Z a-z 0-9 . _ - beginning with a letter "
                "or digit, got 'bess 1'"
            ),
        ),
        (
            {"points": ["active_power"]},
            (
                'assets[0].points[0]: no standard point is named "active_power" '
                '(did you mean "active_power_mw"?); a point of your own goes into custom_points'
            ),
        ),
        ({"points": "soc_pct"}, 'assets[0].points: expected a list, got "soc_pct"'),
        ({"sample_interval_s": 0}, "assets[0].sample_interval_s: expected 0.01 to 3600 s, got 0"),
        (
            {"adapter": "boxx"},
            (
                'assets[0].adapter: no adapter is named "boxx" (did you mean "box"?); '
                "installed: box, broken"
            ),
        ),
        (
            {"adapter": "broken"},
            (
                'assets[0].adapter: "broken" is installed but does not load: '
                "ImportError('no module named boxlib')"
            ),
        ),
        ({"options": {}}, "assets[0].options.host: missing (expected a text in quotes)"),
        (
            {"options": {"host": "a", "prot": 5}},
            'assets[0].options.prot: unknown key (did you mean "port"?)',
        ),
        (
            {"options": {"host": "a", "registers": [{"address": 1}, {"address": "4"}]}},
            (
                'assets[0].options.registers[1].address: expected a whole number, got "4" '
                "(remove the quotes)"
            ),
        ),
        ({"options": {"host": "a", "port": 0}}, "assets[0].options.port: expected int >= 1"),
        ({"options": {"host": "nowhere"}}, "assets[0].options: host: there is no way to nowhere"),
        ({"custom points": 1}, 'assets[0]."custom points": unknown key'),
    ],
)
def test_a_faulty_asset_is_told_where_and_how_to_mend_it(
    site: Path, changes: dict[str, Any], said: str
) -> None:
    """One fault, one sentence, with its path."""
    got = sentence(site, asset(**changes))
    if "custom points" in changes:
        got = got.partition(" (")[0]
    assert got == said


@pytest.mark.parametrize(
    ("headend", "said"),
    [
        ({"adress": "x"}, 'headend.adress: unknown key (did you mean "address"?)'),
        (
            {"address": "example.com"},
            'headend.address: expected "host:port", as "headend.example:4443", got "example.com"',
        ),
        (
            {"address": "10.0.0.1:4443"},
            (
                "headend.tls: missing: 10.0.0.1 is another machine, and without TLS whoever is on "
                "the way can read and command (add [headend.tls], or for a test insecure = true)"
            ),
        ),
        (
            {"tls": {"ca_file": "ca.pem", "cert_file": "agent.pem"}},
            "headend.tls: cert_file and key_file go together",
        ),
    ],
)
def test_a_faulty_headend_is_told(site: Path, headend: dict[str, Any], said: str) -> None:
    """Also that plain text is for one machine only."""
    site.with_name("ca.pem").touch()
    site.with_name("agent.pem").touch()
    changed = document()
    changed["headend"].update(headend)
    assert said in [line.removeprefix("site.toml: ") for line in sentences(site, changed)]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "[::1]:4443", "localhost:65535"])
def test_plain_text_is_allowed_towards_this_machine(site: Path, address: str) -> None:
    """Nobody is on the way there."""
    changed = document()
    changed["headend"]["address"] = address
    assert sentences(site, changed) == ()


@pytest.mark.parametrize(
    ("spool", "said"),
    [
        ({"bytes_max": 1000}, "spool.bytes_max: expected 16777216 (16 MiB) or more, got 1000"),
        ({"bytes_max": "1GB"}, 'spool.bytes_max: expected a whole number, got "1GB"'),
        ({"age_max_h": 0.5}, "spool.age_max_h: expected 1 to 87600 hours, got 0.5"),
        ({"backlog_share": 2}, "spool.backlog_share: expected 0.01 to 1, got 2"),
        ({"backlog_bytes_per_s": 1}, "spool.backlog_bytes_per_s: expected 1000 or more, got 1"),
        ({"polcy": "thin"}, 'unknown key (did you mean "policy"?)'),
        ({"policy": "thick"}, '"drop_oldest", "drop_newest" or "thin"'),
        ({"sync": "off"}, '"full" or "normal"'),
    ],
)
def test_a_faulty_spool_is_told(site: Path, spool: dict[str, Any], said: str) -> None:
    """What is expected, and what was found."""
    assert said in sentence(site, {**document(), "spool": spool})


def test_a_spool_is_where_the_file_is(site: Path) -> None:
    """With the defaults of the page; or as the file says."""
    assert sentences(site, document()) == ()
    config = load(site, ADAPTERS)
    assert config.data_dir == site.parent / "dercp-edge"
    assert config.spool == SpoolSettings()
    assert sentences(site, {**document(), "spool": {"policy": "thin", "sync": "normal"}}) == ()
    config = load(site, ADAPTERS)
    assert (config.spool.policy, config.spool.sync) == (Policy.THIN, Sync.NORMAL)


def test_a_missing_certificate_is_named(site: Path) -> None:
    """Relative to the configuration file."""
    changed = document()
    changed["headend"] = {"address": "example.com:4443", "tls": {"ca_file": "ca.pem"}}
    said = sentence(site, changed)
    assert said == (
        f"headend.tls.ca_file: {site.with_name('ca.pem')} cannot be read: No such file or directory"
    )


def test_a_certificate_that_is_none_is_told_before_the_agent_runs(site: Path) -> None:
    """By the check, not by the first night."""
    site.with_name("ca.pem").write_text("no certificate")
    changed = document()
    changed["headend"] = {"address": "example.com:4443", "tls": {"ca_file": "ca.pem"}}
    assert sentence(site, changed).startswith("headend.tls: ")


def test_every_fault_is_told_in_one_pass(site: Path) -> None:
    """Whoever mends a file does it once."""
    changed = document()
    changed["agnet"] = changed.pop("agent")
    changed["headend"]["address"] = 1
    changed["assets"].append(asset(p_max_mw="x", adapter=3)["assets"][0])
    changed["assets"].append(document()["assets"][0])

    assert sentences(site, changed) == (
        'site.toml: agnet: unknown section (did you mean "agent"?)',
        "site.toml: agent: missing (add the section [agent])",
        "site.toml: headend.address: expected a text in quotes, got 1 (put it in quotes)",
        'site.toml: assets[1].p_max_mw: expected a number, got "x"',
        "site.toml: assets[1].adapter: expected a text in quotes, got 3 (put it in quotes)",
        'site.toml: assets[2].id: "bess-1" is already assets[0]',
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[agent]\nid = 'a'\nx = 1,5\n",
            (
                "line 3, column 6: expected newline or end of document after a statement "
                "(use a point as decimal mark)"
            ),
        ),
        ("[agent\n", "line 1, column 7: expected ']' at the end of a table declaration"),
        ("a = " + "[" * 5000, "tables or lists are nested too deeply"),
    ],
)
def test_what_is_no_toml_is_told_with_line_and_column(site: Path, text: str, said: str) -> None:
    """The editor can jump there."""
    assert sentence(site, text) == said


def test_a_file_that_cannot_be_read_is_told(site: Path) -> None:
    """Missing, a directory, no UTF-8; a byte order mark is no fault."""
    assert "no such file" in check(site, ADAPTERS)[0]
    assert "cannot be read: Is a directory" in check(site.parent, ADAPTERS)[0]
    site.write_bytes(b"[agent]\n# caf\xe9\n")
    assert check(site, ADAPTERS) == ("site.toml: line 2: is not UTF-8 text",)
    site.write_text("\ufeff" + tomli_w.dumps(document()), encoding="utf-8")
    assert check(site, ADAPTERS) == ()


def test_single_brackets_around_assets_are_understood(site: Path) -> None:
    """The commonest slip in TOML."""
    changed = document()
    changed["assets"] = changed["assets"][0]
    assert (
        sentence(site, changed) == "assets: expected a list (write [[assets]], with two brackets)"
    )
    del changed["assets"]
    assert sentence(site, changed) == "assets: expected 1 to 10000 [[assets]] tables"


def test_the_simulated_adapter_is_installed() -> None:
    """Adapters are found by entry point."""
    assert "simulated" in installed_adapters()


keys = st.sampled_from(
    ["agent", "headend", "site", "assets", "id", "p_max_mw", "fallback", "tls", "options", "limits"]
)
values = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        st.text(max_size=8),
        st.dates(),
        st.sampled_from(["bess-1", "box", "zero", "1,5", "localhost:4443", math.nan, 10**18]),
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(keys | st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside: list[tuple[Any, ...]] = []
    if isinstance(value, dict):
        inside = [place for key in value for place in _places(value[key], (*path, key))]
    elif isinstance(value, list):
        inside = [place for i, item in enumerate(value) for place in _places(item, (*path, i))]
    return [path, *inside]


@given(data=st.data())
def test_no_mutation_of_a_file_ends_in_a_traceback(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever stands anywhere in it: a config, or sentences that begin with the file's name."""
    content: Any = document()
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from([place for place in _places(content) if place]))
        table = content
        for step in way:
            table = table[step]
        table[last] = data.draw(values)
    site = tmp_path_factory.getbasetemp() / "site.toml"
    try:
        site.write_text(tomli_w.dumps(content), encoding="utf-8")
    except (TypeError, ValueError, UnicodeError):
        return  # the writer's own limits

    said = check(site, ADAPTERS)

    assert all(line.startswith("site.toml: ") for line in said)


@given(content=st.text(max_size=200))
def test_no_text_at_all_ends_in_a_traceback(
    content: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A file need not be TOML."""
    site = tmp_path_factory.getbasetemp() / "site.toml"
    site.write_bytes(content.encode("utf-8", "surrogatepass"))
    assert check(site, ADAPTERS)
