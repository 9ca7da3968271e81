"""The certificates of the applications that may come in."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

__all__ = ["TrustList", "certificate_in", "der"]

_ENDINGS: Final = frozenset({".der", ".pem", ".crt", ".cer"})

log = structlog.get_logger()


class TrustList:
    """A directory: certificates of applications, and of authorities that sign them.

    It is read anew each time: what is put in or taken out counts from the next session on. An
    authority in it vouches for what it has signed itself; there are no chains longer than that,
    and no lists of revoked ones: such an application's own certificate is put in instead.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def has(self, certificate: bytes) -> bool:
        """Whether a certificate (DER) is trusted now."""
        shown = x509.load_der_x509_certificate(certificate)
        if not shown.not_valid_before_utc <= datetime.now(UTC) <= shown.not_valid_after_utc:
            return False
        return any(shown == each or _has_signed(each, shown) for each in self._certificates())

    def _certificates(self) -> Iterator[x509.Certificate]:
        for file in sorted(self._directory.iterdir()):
            if file.suffix.lower() in _ENDINGS:
                try:
                    yield certificate_in(file)
                except (OSError, ValueError) as error:
                    log.warning("opcua_certificate_unreadable", file=str(file), why=str(error))


def certificate_in(file: Path) -> x509.Certificate:
    """The certificate in a file, DER or PEM.

    Raises:
        OSError: It cannot be read.
        ValueError: It is none.
    """
    content = file.read_bytes()
    if content.lstrip().startswith(b"-----BEGIN"):
        return x509.load_pem_x509_certificate(content)
    return x509.load_der_x509_certificate(content)


def der(certificate: x509.Certificate) -> bytes:
    """As it goes over the wire."""
    return certificate.public_bytes(Encoding.DER)


def _has_signed(authority: x509.Certificate, shown: x509.Certificate) -> bool:
    try:
        basics = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
        if not basics.ca or authority.not_valid_after_utc < datetime.now(UTC):
            return False
        shown.verify_directly_issued_by(authority)
    except (x509.ExtensionNotFound, InvalidSignature, ValueError, TypeError):
        return False
    return True
