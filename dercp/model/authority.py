"""Who may hold an asset, and before whom."""

from enum import StrEnum

__all__ = ["Authority"]


class Authority(StrEnum):
    """Who asks, the highest first. A higher one takes the asset; within a rank the newest does."""

    SAFETY = "safety"
    LOCAL_OPERATOR = "local_operator"
    HEADEND = "headend"

    @property
    def rank(self) -> int:
        """A greater number goes first."""
        return _RANKS[self]


_RANKS = {authority: rank for rank, authority in enumerate(reversed(Authority))}
