"""What a site may say about its spool."""

from enum import StrEnum

import msgspec

from dercp.edge.spool.policy import Policy

__all__ = ["SpoolSettings", "Sync"]


class Sync(StrEnum):
    """What a power cut may take of the spool; a killed process loses nothing either way.

    FULL: nothing. NORMAL: what came since SQLite's last checkpoint, which is about 4 MB or
    some minutes; it spares SD cards an fsync for each frame.
    """

    FULL = "full"
    NORMAL = "normal"


class SpoolSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept and how it is sent; the defaults are those of `site.toml`."""

    bytes_max: int = 1024 * 1024 * 1024
    age_max_h: float = 720.0
    policy: Policy = Policy.DROP_OLDEST
    sync: Sync = Sync.FULL
    backlog_bytes_per_s: float = 1_000_000.0
    backlog_share: float = 0.3
