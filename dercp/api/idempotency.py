"""The Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header-07)."""

import re
from hashlib import sha256

import msgspec

from dercp.api.problems import MALFORMED_IDEMPOTENCY_KEY, MISSING_IDEMPOTENCY_KEY, Refusal

HEADER = "Idempotency-Key"

# The draft wants a structured-field string, with quotes; most clients send the key bare.
_QUOTED = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_VISIBLE = re.compile(r"[\x21-\x7e]{1,128}")


def read_key(header: str | None) -> str:
    """The key, without its quotes: `"8e03978e"` and `8e03978e` are the same key.

    Raises:
        Refusal: `missing-idempotency-key` or `malformed-idempotency-key`.
    """
    if header is None or not header.strip():
        raise Refusal(
            MISSING_IDEMPOTENCY_KEY,
            f"send a fresh {HEADER} with every new dispatch, for example a UUID",
        )
    key = header.strip()
    if key.startswith('"'):
        quoted = _QUOTED.fullmatch(key)
        key = re.sub(r'\\(["\\])', r"\1", quoted[1]) if quoted else ""
    if not _VISIBLE.fullmatch(key):
        raise Refusal(
            MALFORMED_IDEMPOTENCY_KEY,
            f"{HEADER}: expected 1 to 128 visible ASCII characters, bare or in double quotes",
        )
    return key


def fingerprint(method: str, path: str, body: msgspec.Struct) -> str:
    """What two requests have in common that ask for the same thing.

    SHA-256 over the method, the path without version prefix, and the body as it was
    understood: members sorted, those that were left out or null not named. So neither
    white space nor the order of members makes another request.
    """
    members = {
        name: value for name, value in msgspec.structs.asdict(body).items() if value is not None
    }
    content = msgspec.json.encode(members, order="sorted")
    return sha256(b"\n".join((method.encode(), path.encode(), content))).hexdigest()
