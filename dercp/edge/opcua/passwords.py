"""Passwords of the SCADA's users, kept as hashes.

`python -m dercp.edge.opcua.passwords` asks for one and prints what belongs into site.toml.
"""

import getpass
import hashlib
import hmac
import re
import secrets
import sys

__all__ = ["PASSWORD_HASH", "hash_password", "is_password"]

PASSWORD_HASH = re.compile(r"scrypt:[0-9a-f]{32}:[0-9a-f]{64}")
# 15 ms: the agent stands still while it looks at one. Who has no trusted certificate never
# gets that far.
_COST, _BLOCK, _LANES = 2**12, 8, 1


def hash_password(password: str, salt: bytes | None = None) -> str:
    """What is kept of a password."""
    salt = salt or secrets.token_bytes(16)
    return f"scrypt:{salt.hex()}:{_digest(password, salt).hex()}"


def is_password(password: str, hashed: str) -> bool:
    """Whether this is the password that was hashed."""
    _, salt, digest = hashed.split(":")
    return hmac.compare_digest(_digest(password, bytes.fromhex(salt)).hex(), digest)


def _digest(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(
        password.encode(), salt=salt, n=_COST, r=_BLOCK, p=_LANES, dklen=32, maxmem=2**26
    )


if __name__ == "__main__":
    first, again = getpass.getpass("Password: "), getpass.getpass("Once more: ")
    if first != again:
        sys.exit("these are two different passwords")
    sys.stdout.write(f'password_hash = "{hash_password(first)}"\n')
