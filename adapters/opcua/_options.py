"""What site.toml says of a device that is an OPC UA server."""

from enum import StrEnum
from typing import Annotated

import msgspec

from adapters._scaling import Scaling, unit_factor

__all__ = ["OpcUaOptions", "PointOptions", "ReleaseOptions", "Security", "SetpointOptions"]

POINTS_MAX = 200
_Node = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class Security(StrEnum):
    """How the channel is secured."""

    NONE = "none"
    BASIC256SHA256 = "basic256sha256"


class PointOptions(Scaling, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a point is, and in what.

    `node` is a node id (`ns=2;s=P`, or `nsu=<namespace>;s=P`, which survives a server whose
    namespaces have moved) or a path of browse names from Objects (`2:Inverter/2:P`).
    """

    node: _Node
    unit: str = ""


class SetpointOptions(Scaling, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the power is set, and where it can be read back (by default at the same place)."""

    node: _Node
    readback: _Node | None = None
    unit: str = "MW"

    def __post_init__(self) -> None:
        """See that it can be undone."""
        self.check()
        unit_factor("active_power_mw", self.unit)


class ReleaseOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What gives the device back to itself: this value at this node."""

    node: _Node
    value: float = 1.0


class OpcUaOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table [assets.options] of an asset whose adapter is `opcua`.

    File names are relative to the directory the agent was started in, unless they are absolute.
    """

    endpoint: Annotated[str, msgspec.Meta(pattern=r"^opc\.tcp://")]
    points: Annotated[dict[str, PointOptions], msgspec.Meta(min_length=1, max_length=POINTS_MAX)]
    setpoint: SetpointOptions | None = None
    release: ReleaseOptions | None = None
    publish_every_s: Annotated[float, msgspec.Meta(ge=0.05, le=60.0)] = 0.5
    # The rows bear the server's newest SourceTimestamp, instead of the time of the poll.
    device_time: bool = False
    security: Security = Security.BASIC256SHA256
    # Of this client, and of the server: DER or PEM. The server's must be this one.
    cert_file: str | None = None
    key_file: str | None = None
    server_cert_file: str | None = None
    application_uri: str = "urn:dercp:edge"
    user: str | None = None
    password: str | None = None
    user_cert_file: str | None = None
    user_key_file: str | None = None

    def __post_init__(self) -> None:
        """See that what goes together is there."""
        files = (self.cert_file, self.key_file, self.server_cert_file)
        if self.security is Security.BASIC256SHA256 and None in files:
            raise ValueError(
                'security "basic256sha256" needs cert_file, key_file, server_cert_file'
            )
        if (self.user_cert_file is None) != (self.user_key_file is None):
            raise ValueError("user_cert_file and user_key_file go together")
        if self.user is not None and self.user_cert_file is not None:
            raise ValueError("expected either user or user_cert_file")
        for name, point in self.points.items():
            point.check()
            if point.unit:
                unit_factor(name, point.unit)
