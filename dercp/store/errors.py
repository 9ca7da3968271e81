"""What a store refuses or cannot do, as types; each message names the path and the mend."""

from dercp.store.records import IdempotencyRecord


class StoreError(Exception):
    """Anything a store says instead of an answer. Nothing of the failed call is in effect."""


class StoreUnusable(StoreError):
    """The place cannot be used: missing, not permitted, or no fit file system."""


class StoreBusy(StoreError):
    """Another process holds the store: a second headend, or a tool with a lock."""


class StoreAway(StoreBusy):
    """The store's server does not answer, or not in time. Try again: it is reconnected to.

    A write may have been done all the same, if it was cut off in its commit.
    """


class StoreNewer(StoreError):
    """A newer release wrote the store; this one would harm it."""


class StoreDamaged(StoreError):
    """The file, or something in it, is not as any release writes it; restore a backup."""


class StoreFull(StoreError):
    """No room on the disk. Writes work again, without a restart, once there is room."""


class LogFull(StoreError):
    """The ingest log has no room for telemetry. It has again once pruning has made some."""


class StoreFailed(StoreError):
    """The disk failed. The store refuses all further work until it is opened anew.

    After a failed fsync nobody knows what the disk holds, and a second fsync may
    succeed without having written anything; so nothing is tried again. What was
    acknowledged before is found when the store is opened; the write that failed may be.
    """


class StoreClosed(StoreError):
    """The store was used after it was closed."""


class DuplicateKey(StoreError):
    """The idempotency key is taken; `existing` says by which dispatch."""

    def __init__(self, existing: IdempotencyRecord) -> None:
        super().__init__(
            f"idempotency key {existing.key!r} belongs to dispatch {existing.dispatch_id}; "
            "answer with that dispatch, or use a new key for a new one"
        )
        self.existing = existing


class DuplicateSession(StoreError):
    """The session was opened before."""

    def __init__(self, session_id: str) -> None:
        super().__init__(f"session {session_id} is in the log already; give each its own id")
        self.session_id = session_id
