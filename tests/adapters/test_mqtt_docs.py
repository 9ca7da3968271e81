"""docs/edge.md against the options of the mqtt adapter."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from adapters.mqtt import MqttOptions
from adapters.mqtt._options import (
    BrokerOptions,
    JsonOptions,
    MetricSetpoint,
    SparkplugOptions,
    TopicMap,
    TopicSetpoint,
)
from dercp.edge.config.toml_reader import Fault, convert

PAGE = (Path(__file__).parents[2] / "docs" / "edge.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text below a title."""
    return PAGE.split(f"\n{title}\n")[1].split("\n#")[0]


@pytest.mark.parametrize(
    ("title", "options"),
    [
        ("### mqtt", MqttOptions),
        ("#### mqtt broker", BrokerOptions),
        ("#### mqtt json", JsonOptions),
        ("#### mqtt json points", TopicMap),
        ("#### mqtt json setpoint", TopicSetpoint),
        ("#### mqtt sparkplug", SparkplugOptions),
        ("#### mqtt sparkplug setpoint", MetricSetpoint),
    ],
)
def test_the_page_explains_every_option_of_mqtt_and_no_other(
    title: str, options: type[msgspec.Struct]
) -> None:
    """In the first table of the section."""
    table = section(title).split("| meaning |")[1].split("\n\n")[0]
    told = {
        name
        for line in table.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert told == {field.encode_name for field in msgspec.structs.fields(options)}


@pytest.mark.parametrize("title", ["### mqtt", "#### mqtt sparkplug"])
def test_the_examples_of_mqtt_load(title: str) -> None:
    """Whoever copies one has one that does."""
    (example,) = re.findall(r"~~~toml\n(.*?)~~~", section(title), re.DOTALL)
    faults: list[Fault] = []
    table = tomllib.loads("[[assets]]\n" + example)["assets"][0]["options"]
    assert convert(table, MqttOptions, "options", faults) is not None
    assert not faults
