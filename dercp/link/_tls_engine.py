"""TLS without I/O: encrypted bytes on one side, plain bytes on the other."""

import ssl
from contextlib import suppress

_RECORD_BYTES = 16_384  # the longest TLS record


class TlsEngine:
    """One end of a TLS connection, between a carrier and the protocol.

    Synchronous, unlike Trio's SSLStream, so that sending an answer needs no await; and
    it never waits for the peer's farewell, which a vanished peer would not send.
    """

    def __init__(
        self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None
    ) -> None:
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self.object = context.wrap_bio(
            self._in, self._out, server_side=server_side, server_hostname=server_hostname
        )
        self.ended = False

    def shake_hands(self, data: bytes) -> bool:
        """Go on with the handshake; True once done. Raises `ssl.SSLError`.

        Args:
            data: What the peer sent, nothing at first.
        """
        self._in.write(data)
        try:
            self.object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def decrypt(self, data: bytes) -> bytes:
        """The plain bytes in what came; sets `ended` at the peer's farewell."""
        self._in.write(data)
        plain = b""
        try:
            while self._in.pending or self.object.pending():
                chunk = self.object.read(_RECORD_BYTES)
                if not chunk:
                    self.ended = True
                    break
                plain = plain + chunk if plain else chunk
        except ssl.SSLWantReadError:
            pass  # the rest of the record has not come yet
        return plain

    def encrypt(self, plain: bytes) -> bytes:
        """What to send for these bytes."""
        self.object.write(plain)
        return self._out.read()

    def outgoing(self) -> bytes:
        """What TLS itself has to send: handshake, alerts, key updates."""
        return self._out.read() if self._out.pending else b""

    def farewell(self) -> bytes:
        """What to send last; the peer's own farewell is not waited for."""
        with suppress(ssl.SSLError):  # wants the peer's farewell, or is broken already
            self.object.unwrap()
        return self._out.read()


def explained(error: ssl.SSLError) -> str:
    """What went wrong in a handshake, for the technician."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the other end's certificate is not trusted: {error.verify_message} "
            "(check the CA file, the name it is called by, and both clocks)"
        )
    reason = (error.reason or str(error)).lower().replace("_", " ")
    if "alert" in reason:
        return (
            f"the other end refuses our certificate or our TLS: {reason} "
            "(check which CA it trusts, and whether our certificate is still valid)"
        )
    return f"TLS failed: {reason} (is it TLS that is spoken at that port?)"
