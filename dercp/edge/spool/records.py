"""What is said between a spool and its file."""

import math
import sys
from collections.abc import Sequence
from typing import Final

import msgspec

from dercp.edge.spool.outbox import DropReason, Parcel
from dercp.edge.spool.policy import Policy

__all__ = ["NO_LIMITS", "Done", "Identity", "KeptRegistration", "SpoolLimits", "Tally"]


class SpoolLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept, for how long, and what gives way."""

    bytes_max: int
    age_max_s: float
    policy: Policy
    reason: DropReason = DropReason.SPOOL_FULL


NO_LIMITS: Final = SpoolLimits(bytes_max=sys.maxsize, age_max_s=math.inf, policy=Policy.DROP_OLDEST)


class Identity(msgspec.Struct, frozen=True):
    """What a spool must never forget: its id, the last number it gave, and what is in all."""

    spool_id: str
    sequence: int = 0
    samples: int = 0
    to_us: int = 0
    age_s: float = 0.0


class KeptRegistration(msgspec.Struct, frozen=True):
    """What batches were written under, all of them from `first` to `last`."""

    content: bytes
    first: int
    last: int


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What waits in the file."""

    parcels: int = 0
    gaps: int = 0
    bytes: int = 0
    samples: int = 0
    first: int | None = None
    from_us: int | None = None
    dropped_batches: int = 0
    dropped_samples: int = 0


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a job."""

    tally: Tally
    # Batches that are gaps now, in the order of their numbers.
    dropped: Sequence[int]
    # The first numbers of gaps that are new or longer.
    gaps: Sequence[int]
    backlog: Sequence[Parcel]
