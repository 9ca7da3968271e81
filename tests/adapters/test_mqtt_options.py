"""What may stand in [assets.options] of the mqtt adapter, and how its faults are told."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters import DeviceError
from adapters.mqtt import MqttOptions
from adapters.mqtt._options import BrokerOptions
from dercp.edge.config.toml_reader import Fault, convert

JSON: dict[str, Any] = {"points": [{"point": "soc_pct", "topic": "bess/soc"}]}
SPARKPLUG: dict[str, Any] = {
    "host_id": "mill-lane",
    "group": "plant",
    "node": "gateway-1",
    "points": [{"point": "soc_pct", "metric": "SoC"}],
}
SETPOINT = {"topic": "c", "state_topic": "s"}


def faults_of(options: dict[str, Any]) -> list[str]:
    """What `dercp edge --check` would say."""
    faults: list[Fault] = []
    convert(options, MqttOptions, "assets[0].options", faults)
    return [str(fault) for fault in faults]


@pytest.mark.parametrize("protocol", [{"json": JSON}, {"sparkplug": SPARKPLUG}])
def test_a_host_and_one_protocol_are_enough(protocol: dict[str, Any]) -> None:
    """Everything else has a default."""
    assert faults_of({"broker": {"host": "broker.example"}, **protocol}) == []


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (
            {"broker": {"host": "b"}},
            "assets[0].options: expected either json or sparkplug",
        ),
        (
            {"broker": {"host": "b"}, "json": JSON, "sparkplug": SPARKPLUG},
            "assets[0].options: expected either json or sparkplug",
        ),
        (
            {"broker": {"host": "b"}, "json": {"points": [*JSON["points"], *JSON["points"]]}},
            "assets[0].options.json: points[1].point: soc_pct is already points[0]",
        ),
        (
            {"broker": {"host": "b"}, "json": {"points": [{"point": "soc_pct", "topic": "#"}]}},
            'assets[0].options.json.points[0]: topic: expected no "+" and "#" in it, got "#"',
        ),
        (
            {"broker": {"host": "b"}, "sparkplug": {**SPARKPLUG, "node": "a/b"}},
            'assets[0].options.sparkplug: node: expected no "+", "#" and "/" in it',
        ),
        (
            {
                "broker": {"host": "b"},
                "json": {"points": [{"point": "soc_pct", "topic": "a", "unit": "kW"}]},
            },
            'assets[0].options.json.points[0]: unit: expected "%" for soc_pct, got "kW"',
        ),
        (
            {"broker": {"host": "b"}, "json": {**JSON, "setpoint": {**SETPOINT, "template": "on"}}},
            "assets[0].options.json.setpoint: template: expected a text with $value in it",
        ),
        (
            {"broker": {"host": "b"}, "json": {**JSON, "setpoint": {**SETPOINT, "unit": "V"}}},
            'assets[0].options.json.setpoint: unit: expected "W" or "kW" or "MW", got "V"',
        ),
        (
            {"broker": {"host": "b", "password_env": "P"}, "json": JSON},
            "assets[0].options.broker: user: missing (a password goes with a user)",
        ),
        (
            {"broker": {"host": "b", "tls": {"cert_file": "c"}}, "json": JSON},
            "assets[0].options.broker.tls: cert_file and key_file go together",
        ),
    ],
)
def test_a_fault_is_told_with_its_place(options: dict[str, Any], fault: str) -> None:
    """In a sentence for whoever mends the file."""
    assert faults_of(options) == [fault]


@pytest.mark.parametrize(
    ("broker", "refused"),
    [
        ({"host": "192.0.2.1"}, True),
        ({"host": "broker.example"}, True),
        ({"host": "192.0.2.1", "insecure": True}, False),
        ({"host": "192.0.2.1", "tls": {}}, False),
        ({"host": "127.0.0.1"}, False),
        ({"host": "localhost"}, False),
    ],
)
def test_a_password_goes_in_plain_text_nowhere_else(
    broker: dict[str, Any],
    refused: bool,  # noqa: FBT001  # of the table above
) -> None:
    """Not to another machine, unless somebody insists."""
    options = {"broker": {**broker, "user": "edge", "password_env": "P"}, "json": JSON}
    assert [": tls: missing: " in fault for fault in faults_of(options)] == [True] * refused


def test_the_password_is_read_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands neither in site.toml nor in anything that is printed."""
    (tmp_path / "password").write_text("s3cret\nnot this\n", "utf-8")
    monkeypatch.setenv("BROKER_PASSWORD", "s3cret")
    for source in (
        {"password_file": str(tmp_path / "password")},
        {"password_env": "BROKER_PASSWORD"},
    ):
        broker = msgspec.convert({"host": "localhost", "user": "edge", **source}, BrokerOptions)
        assert broker.password() == "s3cret"
        assert "s3cret" not in repr(broker)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"password_file": "/nowhere/password"}, "/nowhere/password cannot be read"),
        ({"password_env": "NOT_THERE"}, "there is no environment variable NOT_THERE"),
    ],
)
def test_a_password_that_is_not_there_keeps_the_device_closed(
    source: dict[str, str], says: str
) -> None:
    """With a sentence; it is looked for again at the next opening."""
    broker = msgspec.convert({"host": "localhost", "user": "edge", **source}, BrokerOptions)
    with pytest.raises(DeviceError, match=says):
        broker.password()
