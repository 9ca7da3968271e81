"""What the headend must not forget: who its agents are, their sessions, its dispatches.

`ports` says what is kept and what is durable when; `open_sqlite` opens the embedded
implementation, one file in one data directory. Every implementation passes tests/store.
"""

from dercp.store.errors import (
    DuplicateKey,
    DuplicateSession,
    StoreBusy,
    StoreClosed,
    StoreDamaged,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreNewer,
    StoreUnusable,
)
from dercp.store.ports import (
    COMMIT_ITEMS_MAX,
    PAGE_MAX,
    SESSIONS_KEPT,
    DispatchLedger,
    Registry,
    SessionLog,
    Store,
)
from dercp.store.records import (
    DEFAULT_TENANT,
    AgentRecord,
    DispatchPage,
    IdempotencyRecord,
    RegistrationRecord,
    RegistryContents,
    SessionRecord,
    SiteRecord,
    StoreStatistics,
)
from dercp.store.sqlite import open_sqlite

__all__ = [
    "COMMIT_ITEMS_MAX",
    "DEFAULT_TENANT",
    "PAGE_MAX",
    "SESSIONS_KEPT",
    "AgentRecord",
    "DispatchLedger",
    "DispatchPage",
    "DuplicateKey",
    "DuplicateSession",
    "IdempotencyRecord",
    "RegistrationRecord",
    "Registry",
    "RegistryContents",
    "SessionLog",
    "SessionRecord",
    "SiteRecord",
    "Store",
    "StoreBusy",
    "StoreClosed",
    "StoreDamaged",
    "StoreError",
    "StoreFailed",
    "StoreFull",
    "StoreNewer",
    "StoreStatistics",
    "StoreUnusable",
    "open_sqlite",
]
