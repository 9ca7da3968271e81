"""What stands in `[assets.options]` of a SunSpec device."""

from typing import Annotated

import msgspec

from adapters.modbus._client import Endpoint

__all__ = ["SunSpecOptions"]

_Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
_UnitId = Annotated[int, msgspec.Meta(ge=0, le=255)]
_Address = Annotated[int, msgspec.Meta(ge=0, le=65533)]
_RequestTime = Annotated[float, msgspec.Meta(gt=0, le=5)]
_Registers = Annotated[int, msgspec.Meta(ge=8, le=125)]
_Sign = Annotated[int, msgspec.Meta(ge=-1, le=1)]
_Time = Annotated[float, msgspec.Meta(ge=0, le=86_400)]


class SunSpecOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the device is, and what its models leave open.

    Attributes:
        base_addresses: Where "SunS" may stand; the first place where it does counts.
        sign: -1 where a model that defines no sign (101 to 113, 160) counts charging as positive.
        request_registers_max: How many registers the device lets be read at once.
        stale_after_s: How long the device's heartbeat (715 DERHb, 802 Hb) may stand still
            before what it says is stale; 0 = its heartbeat is not looked at.
    """

    host: str
    port: _Port = 502
    unit_id: _UnitId = 1
    timeout_s: _RequestTime = 2.0
    base_addresses: Annotated[tuple[_Address, ...], msgspec.Meta(min_length=1, max_length=8)] = (
        40000,
        0,
        50000,
    )
    sign: _Sign = 1
    request_registers_max: _Registers = 120
    stale_after_s: _Time = 15.0

    def __post_init__(self) -> None:
        if self.sign == 0:
            raise ValueError("sign: expected 1 or -1, got 0")

    @property
    def endpoint(self) -> Endpoint:
        """Where to connect to."""
        return Endpoint(
            host=self.host, port=self.port, unit_id=self.unit_id, timeout_s=self.timeout_s
        )
