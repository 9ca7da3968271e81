"""The messages of the stream: Uplink from the edge, Downlink from the headend."""

from collections.abc import Iterable
from typing import Final

from dercp.wire import v1
from dercp.wire._codec import Codec
from dercp.wire.errors import WireError
from dercp.wire.v1 import edge_link_pb2 as upb

__all__ = [
    "CONTROL_BYTES_MAX",
    "decode_downlink",
    "decode_uplink",
    "encode_acknowledgement",
    "encode_downlink",
    "encode_uplink",
    "kind_of",
]

CONTROL_BYTES_MAX: Final = 64 * 1024
"""How large a message may be without the payload or the registration it carries.

Ids, words, sentences and ranges of sequences: all that is turned into objects at once.
"""

_UPLINK = Codec(v1.Uplink)
_DOWNLINK = Codec(v1.Downlink)
_KINDS = {
    v1.Uplink: tuple(field.name for field in upb.Uplink.DESCRIPTOR.fields),
    v1.Downlink: tuple(field.name for field in upb.Downlink.DESCRIPTOR.fields),
}


def encode_uplink(message: v1.Uplink) -> bytes:
    """The bytes of a message from the edge. One kind must be set.

    Raises:
        ValueError: None or several kinds are set, or a number does not fit its field.
    """
    kind_of(message)
    return _UPLINK.encode(message)


def encode_downlink(message: v1.Downlink) -> bytes:
    """The bytes of a message from the headend. One kind must be set.

    Raises:
        ValueError: None or several kinds are set, or a number does not fit its field.
    """
    kind_of(message)
    return _DOWNLINK.encode(message)


def encode_acknowledgement(spool_id: str, ranges: Iterable[tuple[int, int]]) -> bytes:
    """The bytes of a TelemetryAck, which nearly every message from the headend is.

    As `encode_downlink`, without the objects between: a third of the time, once a frame.

    Args:
        spool_id: Whose batches.
        ranges: The first and the last sequence of each.
    """
    message = upb.Downlink()
    acknowledgement = message.telemetry_ack
    acknowledgement.spool_id = spool_id
    for first, last in ranges:
        acknowledgement.ranges.add(first=first, last=last)
    return message.SerializeToString()


def decode_uplink(content: bytes) -> v1.Uplink:
    """Read a message from the edge: one kind is set, instants are within 1970 to 9999.

    Fields of later versions are left out; their enum values are members without a name.

    Raises:
        WireError: MALFORMED or TOO_LARGE.
    """
    uplink = _UPLINK.decode(content)
    bulk = b""
    # More than one kind is never set in what was decoded; looking at all of them takes a while.
    if uplink.telemetry is not None:
        bulk = uplink.telemetry.payload
    elif uplink.hello is not None:
        bulk = uplink.hello.registration
    elif uplink.earlier_registration is not None:
        bulk = uplink.earlier_registration.registration
    else:
        _expect_one_kind(uplink)
    _check_control_bytes(len(content) - len(bulk))
    return uplink


def decode_downlink(content: bytes) -> v1.Downlink:
    """Read a message from the headend: one kind is set, instants are within 1970 to 9999.

    Fields of later versions are left out; their enum values are members without a name.

    Raises:
        WireError: MALFORMED or TOO_LARGE.
    """
    _check_control_bytes(len(content))
    downlink = _DOWNLINK.decode(content)
    _expect_one_kind(downlink)
    return downlink


def kind_of(message: v1.Uplink | v1.Downlink) -> str:
    """The name of the kind that is set: `telemetry`, `welcome`, ...

    Raises:
        ValueError: None is set, or more than one.
    """
    kinds = [kind for kind in _KINDS[type(message)] if getattr(message, kind) is not None]
    if len(kinds) != 1:
        raise ValueError(f"{type(message).__name__}: expected one kind, got {kinds or 'none'}")
    return kinds[0]


def _expect_one_kind(message: v1.Uplink | v1.Downlink) -> None:
    try:
        kind_of(message)
    except ValueError as error:
        raise WireError(
            v1.RejectCode.MALFORMED,
            f"{type(message).__name__}: of no kind that this version knows",
        ) from error


def _check_control_bytes(size: int) -> None:
    if size > CONTROL_BYTES_MAX:
        raise WireError(
            v1.RejectCode.TOO_LARGE,
            f"{size} bytes beside payload and registration, at most {CONTROL_BYTES_MAX} are read",
        )
