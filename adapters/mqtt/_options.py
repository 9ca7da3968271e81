"""What stands in `[assets.options]` of a device behind an MQTT broker."""

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final

import msgspec

from adapters import DeviceError
from adapters._scaling import POWER_UNITS, Scaling, unit_factor
from adapters.mqtt._documents import Pointer

__all__ = [
    "BrokerOptions",
    "JsonOptions",
    "MetricMap",
    "MetricSetpoint",
    "MqttOptions",
    "SparkplugOptions",
    "TopicMap",
    "TopicSetpoint",
    "ValueMap",
]

PLACE: Final = "$value"
_PASSWORD_BYTES_MAX: Final = 4096

_Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
_KeepAlive = Annotated[int, msgspec.Meta(ge=5, le=3600)]
_AnswerTime = Annotated[float, msgspec.Meta(gt=0, le=8)]
# The edge waits 5 s for a write and its read-back.
_ReadbackTime = Annotated[float, msgspec.Meta(gt=0, le=4.5)]
_StaleTime = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
_Decimals = Annotated[int, msgspec.Meta(ge=0, le=9)]


class TlsOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[assets.options.broker.tls]: PEM files; relative names are so to the working directory.

    Attributes:
        ca_file: Who signed the broker's certificate; those that the system trusts if not given.
        cert_file: Our own certificate, for a broker that asks for one. Goes with `key_file`.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")


class BrokerOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[assets.options.broker]: assets with the same one share a connection.

    Attributes:
        port: 8883 with TLS, 1883 without, if not given.
        password_file: A file whose first line is the password.
        password_env: Or the environment variable that holds it.
        client_id: For brokers that ask for a certain one; else the broker gives one.
        keepalive_s: A broker that hangs is noticed within twice this time.
        timeout_s: How long the broker may take to answer.
        insecure: True allows a password in plain text on the way to another machine.
    """

    host: _Text
    port: _Port | None = None
    tls: TlsOptions | None = None
    user: _Text | None = None
    password_file: _Text | None = None
    password_env: _Text | None = None
    client_id: _Text | None = None
    keepalive_s: _KeepAlive = 10
    timeout_s: _AnswerTime = 5.0
    insecure: bool = False

    def __post_init__(self) -> None:
        sources = [self.password_file, self.password_env]
        if None not in sources:
            raise ValueError("password_file and password_env: expected one of them")
        has_password = sources != [None, None]
        if has_password and self.user is None:
            raise ValueError("user: missing (a password goes with a user)")
        if has_password and self.tls is None and not (self.insecure or _is_loopback(self.host)):
            raise ValueError(
                f"tls: missing: {self.host} is another machine, and whoever is on the way can read "
                "the password (add [assets.options.broker.tls], or insecure = true)"
            )

    def __str__(self) -> str:
        return f"{self.host}:{self.port_number}"

    @property
    def port_number(self) -> int:
        """The port, given or usual."""
        return self.port or (1883 if self.tls is None else 8883)

    def password(self) -> str | None:
        """The password, read anew each time, so that it may be changed.

        Raises:
            DeviceError: It is not where it should be.
        """
        if self.password_env is not None:
            password = os.environ.get(self.password_env)
            if password is None:
                raise DeviceError(f"{self}: there is no environment variable {self.password_env}")
            return password
        if self.password_file is None:
            return None
        try:
            with Path(self.password_file).open(encoding="utf-8") as file:
                return file.readline(_PASSWORD_BYTES_MAX).rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise DeviceError(f"{self}: {self.password_file} cannot be read: {error}") from None


class ValueMap(Scaling, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one point's value is written by the device.

    Attributes:
        unit: What the device counts in, where that is not the point's own unit.
        words: What texts mean, as numbers, before the scaling.
    """

    point: _Text
    unit: str | None = None
    words: dict[str, float] = msgspec.field(default_factory=dict)

    def check(self) -> None:
        """See that sign, scale and unit make sense.

        Raises:
            ValueError: They do not.
        """
        super().check()
        if self.unit is not None:
            unit_factor(self.point, self.unit)

    def of(self, raw: object) -> float | None:
        """The value in the point's unit; None for what is no number."""
        match raw:
            case str():
                number = self.words.get(raw)
            case bool() | int() | float():
                number = _float(raw)
            case _:
                number = None
        factor = 1.0 if self.unit is None else unit_factor(self.point, self.unit)
        return None if number is None else self.value_of(number) * factor


class TopicMap(ValueMap, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[[assets.options.json.points]]: where one point stands.

    Attributes:
        value: A key of the document, or a JSON pointer ("/meter/0/kw"); "" is all of it.
        timestamp: Where its time stands: RFC 3339, or Unix seconds, milliseconds, microseconds.
        quality: Where it says how good it is: true, "good", 192 and the like.
    """

    topic: _Text
    value: str = ""
    timestamp: str | None = None
    quality: str | None = None

    def __post_init__(self) -> None:
        self.check()
        _check_topic("topic", self.topic)
        for pointer in (self.value, self.timestamp, self.quality):
            if pointer is not None:
                Pointer.parse(pointer)


class _Setpoint(Scaling, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What both kinds of setpoint have; `within_s` is how long a read-back may take."""

    unit: str = "MW"
    within_s: _ReadbackTime = 3.0

    def check(self) -> None:
        """See that sign, scale and unit make sense.

        Raises:
            ValueError: They do not.
        """
        super().check()
        if self.unit not in POWER_UNITS:
            listed = " or ".join(f'"{unit}"' for unit in POWER_UNITS)
            raise ValueError(f'unit: expected {listed}, got "{self.unit}"')

    def number_for(self, active_power_mw: float) -> float:
        """The device's number for a power."""
        return self.number_of(active_power_mw / POWER_UNITS[self.unit])


class TopicSetpoint(_Setpoint, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[assets.options.json.setpoint]: the topic of commands, and that of the answer.

    Attributes:
        template: What is published, with the device's number for `$value`.
        decimals: How many the number is written with.
        state_topic: Where the device says which setpoint is in force, scaled and signed as
            the command is.
        state_value: As `value` of a point.
    """

    topic: _Text
    template: _Text = PLACE
    decimals: _Decimals = 6
    state_topic: _Text
    state_value: str = ""

    def __post_init__(self) -> None:
        self.check()
        _check_topic("topic", self.topic)
        _check_topic("state_topic", self.state_topic)
        Pointer.parse(self.state_value)
        if PLACE not in self.template:
            raise ValueError(f"template: expected a text with {PLACE} in it")

    @property
    def state(self) -> TopicMap:
        """The read-back as a point."""
        return TopicMap(
            point="setpoint_mw",
            topic=self.state_topic,
            value=self.state_value,
            unit=self.unit,
            scale=self.scale,
            offset=self.offset,
            sign=self.sign,
        )


class MetricMap(ValueMap, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[[assets.options.sparkplug.points]]: the metric that is a point."""

    metric: _Text

    def __post_init__(self) -> None:
        self.check()


class MetricSetpoint(_Setpoint, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[assets.options.sparkplug.setpoint]: the metric that is commanded.

    Attributes:
        readback_metric: Where the device says what is in force; the same one if not given.
    """

    metric: _Text
    readback_metric: _Text | None = None

    def __post_init__(self) -> None:
        self.check()

    @property
    def state(self) -> MetricMap:
        """The read-back as a point."""
        return MetricMap(
            point="setpoint_mw",
            metric=self.readback_metric or self.metric,
            unit=self.unit,
            scale=self.scale,
            offset=self.offset,
            sign=self.sign,
        )


class JsonOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[assets.options.json]: a device that publishes JSON.

    Attributes:
        stale_after_s: How old a value may be before it is no longer the present one.
    """

    points: Annotated[tuple[TopicMap, ...], msgspec.Meta(min_length=1, max_length=64)]
    setpoint: TopicSetpoint | None = None
    stale_after_s: _StaleTime = 30.0

    def __post_init__(self) -> None:
        _check_points(self.points)


class SparkplugOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[assets.options.sparkplug]: a device of a Sparkplug B edge node, or the node itself.

    Attributes:
        host_id: As which host application we tell the nodes that we are there (STATE). Assets
            at the same broker share it.
        device: None = the metrics are the node's own.
        stale_after_s: How long the device may say nothing; it may when nothing changes.
    """

    host_id: _Text
    group: _Text
    node: _Text
    device: _Text | None = None
    points: Annotated[tuple[MetricMap, ...], msgspec.Meta(min_length=1, max_length=64)]
    setpoint: MetricSetpoint | None = None
    stale_after_s: _StaleTime = 120.0

    def __post_init__(self) -> None:
        for key in ("host_id", "group", "node", "device"):
            name = getattr(self, key)
            if name is not None and any(sign in name for sign in "+#/\0"):
                raise ValueError(f'{key}: expected no "+", "#" and "/" in it')
        _check_points(self.points)


class MqttOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A broker, and one of the two ways to speak through it."""

    broker: BrokerOptions
    json: JsonOptions | None = None
    sparkplug: SparkplugOptions | None = None

    def __post_init__(self) -> None:
        if (self.json is None) == (self.sparkplug is None):
            raise ValueError("expected either json or sparkplug")


def _check_topic(key: str, topic: str) -> None:
    if any(sign in topic for sign in "+#\0"):
        raise ValueError(f'{key}: expected no "+" and "#" in it, got "{topic:.80}"')


def _check_points(points: tuple[ValueMap, ...]) -> None:
    places: dict[str, int] = {}
    for index, point in enumerate(points):
        first = places.setdefault(point.point, index)
        if first != index:
            raise ValueError(f"points[{index}].point: {point.point} is already points[{first}]")


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # an integer of hundreds of digits
        return float("inf")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
