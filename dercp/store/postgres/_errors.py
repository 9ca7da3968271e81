"""What asyncpg and the server say, in our words."""

from urllib.parse import urlsplit

import asyncpg

from dercp.store.errors import (
    StoreAway,
    StoreBusy,
    StoreDamaged,
    StoreFailed,
    StoreFull,
    StoreUnusable,
)

SAID_BY_DRIVER = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # On a connection that was ended while it was idle, and whose end is not known yet.
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""What a call of asyncpg may raise."""

_UNUSABLE = {
    "28P01": "correct the user or the password in store.url",
    "28000": "correct the user or the password in store.url",
    "3D000": "create it (CREATE DATABASE), or correct store.url",
    "42501": "make the user of store.url the owner of the database",
}
_AWAY = {
    "53300": "allow more connections (max_connections, or those of the role or database)",
    "25006": "it is a standby, or read-only: name the primary in store.url",
}
_BUSY = {
    "57014": "the server is too slow for this now",
    "55P03": "another session holds what this needs",
    "40001": "another session was in the way",
    "40P01": "another session was in the way",
}
_DAMAGED = {
    "XX001": "restore a backup",
    "XX002": "rebuild the index (REINDEX)",
    "42P01": "somebody changed the schema dercp: restore a backup",
    "42703": "somebody changed the schema dercp: restore a backup",
}
_KINDS = (
    (StoreUnusable, _UNUSABLE),
    (StoreAway, _AWAY),
    (StoreBusy, _BUSY),
    (StoreFull, {"53100": "free some room on the server's disk"}),
    (StoreFailed, {"58030": "the server's disk failed"}),
    (StoreDamaged, _DAMAGED),
)
# Connections lost, shutting down or starting up, out of memory, trouble of the system.
_PASSING_CLASSES = ("08", "57", "53", "58")


def place_of(url: str) -> str:
    """What to call the database in messages: its URL without user, password and options.

    Raises:
        StoreUnusable: It is no URL of a Postgres database.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"postgresql", "postgres"}:
        raise StoreUnusable(
            "store.url: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE "
            "(percent-encode special characters of the password)"
        )
    where = parts.netloc.rpartition("@")[2] or "this machine"
    return f"Postgres at {where}{parts.path}"


def judge(error: Exception, place: str) -> Exception:
    """The error that the port's caller gets; a mistake of ours stays what it is."""
    if isinstance(error, asyncpg.PostgresError):
        return _judge_server(error, place)
    if isinstance(error, ValueError):
        return ValueError(f"cannot be stored: {error}")
    return StoreAway(
        f"{place} does not answer ({_text(error)}); it is tried again, "
        "see that the server runs and can be reached"
    )


def _judge_server(error: asyncpg.PostgresError, place: str) -> Exception:
    """By SQLSTATE; what comes first is what a hand is needed for."""
    state, said = error.sqlstate or "", f"{place}: {_text(error)}"
    for kind, mends in _KINDS:
        if state in mends:
            return kind(f"{said}; {mends[state]}")
    if state.startswith(_PASSING_CLASSES):
        return StoreAway(f"{said}; it is tried again")
    if state.startswith("22"):
        return ValueError(f"cannot be stored: {_text(error)}")
    if state.startswith("23"):
        return error
    return StoreDamaged(f"{said} (SQLSTATE {state}): no release expects that")


def _text(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
