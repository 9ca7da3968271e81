"""The examples do what they say."""

import runpy
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

EXAMPLES = Path(__file__).parents[2] / "examples"

OUTPUT = {
    "thermostat": """\
  [Started] house/thermostat
mode: heat
  [DeadLetter] house/thermostat
  [Crashed] house/thermostat
  [Restarted] house/thermostat
mode after the crash: idle
  [Stopped] house/thermostat
  [Stopped] house
""",
    "fan_in": """\
sensor-0: 19.9 MW
sensor-1: 19.9 MW
sensor-2: 19.9 MW
sensor-3: 19.9 MW
sensor-4: 19.9 MW
taken in 1000, in one count each: 1000
""",
    "pipeline": """\
in force: 12.5 MW
refused: bess-1: 99.0 MW is beyond its 20 MW
expired: site/gateway: no answer to SetPower in time
""",
}


@pytest.mark.parametrize("name", OUTPUT)
def test_an_example_prints_what_it_promises(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On virtual time, so that it takes none."""
    clock = MockClock(autojump_threshold=0)
    monkeypatch.setattr(trio, "run", partial(trio.run, clock=clock))

    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")

    assert capsys.readouterr().out == OUTPUT[name]


def test_every_actor_example_is_tested_and_short() -> None:
    """A reader takes them in at a glance."""
    lines = {name: (EXAMPLES / f"{name}.py").read_text().splitlines() for name in OUTPUT}

    assert {name: len(text) for name, text in lines.items() if len(text) >= 70} == {}
