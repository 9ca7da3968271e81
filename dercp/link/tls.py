"""TLS contexts for a link: TLS 1.3 (1.2 as the floor), HTTP/2, and both ends known."""

import ssl
from pathlib import Path


class TlsFileError(ValueError):
    """A certificate, key or CA file cannot be used; names the file and the mend."""


def server_tls(
    cert_file: str | Path, key_file: str | Path, client_ca_file: str | Path | None = None
) -> ssl.SSLContext:
    """The context for a listener.

    Args:
        cert_file: The server's certificate and the ones between it and its CA (PEM).
        key_file: The certificate's private key (PEM, without a passphrase).
        client_ca_file: With it every client must show a certificate of this CA.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    # Tickets would be written and kept for sessions that last for weeks.
    context.num_tickets = 0
    _load_own(context, Path(cert_file), Path(key_file))
    if client_ca_file is not None:
        _load_ca(context, Path(client_ca_file))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_tls(
    ca_file: str | Path, cert_file: str | Path | None = None, key_file: str | Path | None = None
) -> ssl.SSLContext:
    """The context for a caller; the server's certificate and name are always checked.

    Args:
        ca_file: The CA that signed the server's certificate (PEM).
        cert_file: Our own certificate, for a server that asks for one (PEM).
        key_file: Its private key (PEM, without a passphrase).
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    _load_ca(context, Path(ca_file))
    match cert_file, key_file:
        case None, None:
            pass
        case None, _:
            raise TlsFileError(f"{key_file}: a key without its certificate; give both or none")
        case _, None:
            raise TlsFileError(f"{cert_file}: a certificate without its key; give both or none")
        case _:
            _load_own(context, Path(cert_file), Path(key_file))
    return context


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def _load_own(context: ssl.SSLContext, cert_file: Path, key_file: Path) -> None:
    _check_readable(cert_file, "certificate")
    _check_readable(key_file, "private key")

    def no_passphrase() -> bytes:  # without this, OpenSSL would ask on the terminal
        raise TlsFileError(f"{key_file}: is protected by a passphrase; store the key without one")

    try:
        context.load_cert_chain(cert_file, key_file, no_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsFileError(
                f"{key_file}: is not the key of the certificate in {cert_file}; "
                "use the pair that was made together"
            ) from error
        raise TlsFileError(
            f"{cert_file}, {key_file}: expected a certificate and its private key in PEM "
            f"(-----BEGIN ...), but OpenSSL says {_said(error)}"
        ) from error


def _load_ca(context: ssl.SSLContext, ca_file: Path) -> None:
    _check_readable(ca_file, "CA certificate")
    try:
        context.load_verify_locations(ca_file)
    except ssl.SSLError as error:
        raise TlsFileError(
            f"{ca_file}: expected CA certificates in PEM (-----BEGIN CERTIFICATE-----), "
            f"but OpenSSL says {_said(error)}"
        ) from error


def _check_readable(file: Path, what: str) -> None:
    try:
        with file.open("rb"):
            return
    except OSError as error:
        raise TlsFileError(
            f"{file}: cannot read the {what}: {error.strerror}; "
            "check the path and who may read the file"
        ) from error


def _said(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")
