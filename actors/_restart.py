"""How a supervisor answers a crash: pure policies without clock or I/O."""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import assert_never


class Strategy(StrEnum):
    """Which siblings are restarted with the child that crashed."""

    ONE_FOR_ONE = "one_for_one"
    """None: the children know nothing of each other."""
    ONE_FOR_ALL = "one_for_all"
    """All: they share a fate."""
    REST_FOR_ONE = "rest_for_one"
    """Those started after it: later ones need earlier ones."""


class Lifetime(StrEnum):
    """When a child that ended is started again."""

    PERMANENT = "permanent"
    """Always, even if it ended well."""
    TRANSIENT = "transient"
    """After a crash only."""
    TEMPORARY = "temporary"
    """Never."""

    def restarts_after(self, crash: Exception | None) -> bool:
        """Whether a child which ended so is started again."""
        match self:
            case Lifetime.PERMANENT:
                return True
            case Lifetime.TRANSIENT:
                return crash is not None
            case Lifetime.TEMPORARY:
                return False
            case _:
                assert_never(self)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a restart: doubling, capped, with relative jitter.

    Attributes:
        first_s: The wait before the first restart.
        max_s: The wait never doubles beyond this (jitter comes on top).
        jitter: 0.2 spreads each wait evenly over 80 % to 120 %, so that what crashed
            together does not come back together.
        reset_after_s: An incarnation that lived this long has been well: start over.
    """

    first_s: float = 0.1
    max_s: float = 30.0
    jitter: float = 0.2
    reset_after_s: float = 60.0

    def __post_init__(self) -> None:
        if not 0 <= self.first_s <= self.max_s:
            raise ValueError(f"Backoff: need 0 <= first_s <= max_s, got {self}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"Backoff: jitter must be between 0 and 1, got {self.jitter}")

    def delay_s(self, attempt: int, random: Random) -> float:
        """The wait before restart number `attempt`, counted from 1."""
        doublings = min(attempt - 1, 64)  # beyond lies infinity
        base_s = min(self.first_s * 2.0**doublings, self.max_s)
        return base_s * random.uniform(1 - self.jitter, 1 + self.jitter)


@dataclass(frozen=True, slots=True)
class Restart:
    """How many restarts a supervisor grants before it gives up itself.

    The limit is the supervisor's, shared by all its children, so it should grow with
    their number; limits of nested supervisors multiply, so keep upper ones tight.
    """

    limit: int = 5
    within_s: float = 60.0
    backoff: Backoff = field(default_factory=Backoff)


class RestartWindow:
    """Counts the restarts of the last `within_s` seconds against a limit."""

    __slots__ = ("_limit", "_times", "_within_s")

    def __init__(self, restart: Restart) -> None:
        self._limit = restart.limit
        self._within_s = restart.within_s
        self._times: deque[float] = deque()

    def grants(self, now: float) -> bool:
        """Count one restart at `now`; False if it is one too many."""
        self._times.append(now)
        while self._times[0] <= now - self._within_s:
            self._times.popleft()
        return len(self._times) <= self._limit
