"""Who is at the other end."""

import ssl
from typing import cast

import msgspec


class Peer(msgspec.Struct, frozen=True):
    """The other end of a connection.

    Attributes:
        address: "192.0.2.7:4711", or "[2001:db8::7]:4711".
        certificate: The verified certificate (DER), None without one.
        sans: The URI and DNS names that certificate speaks for.
    """

    address: str
    certificate: bytes | None = None
    sans: tuple[str, ...] = ()


def identified(peer: Peer, tls: ssl.SSLObject) -> Peer:
    """The peer with what its certificate says, once the handshake is done."""
    verified = tls.getpeercert()
    if not verified:
        return peer
    names = cast("tuple[tuple[str, str], ...]", verified.get("subjectAltName", ()))
    return Peer(
        peer.address,
        tls.getpeercert(binary_form=True),
        tuple(name for kind, name in names if kind in {"URI", "DNS"}),
    )
