"""Compass directions: degrees, 0 to 360, where 359 and 1 are neighbours."""

__all__ = ["turn_deg", "turned"]


def turn_deg(from_deg: float, to_deg: float) -> float:
    """The shortest way round from one direction to another, -180 to 180; clockwise is positive."""
    return (to_deg - from_deg + 180.0) % 360.0 - 180.0


def turned(direction_deg: float, by_deg: float) -> float:
    """The direction after a turn, at least 0 and less than 360."""
    # A tiny negative sum modulo 360 rounds to 360.0 itself; the second modulo brings it home.
    return (direction_deg + by_deg) % 360.0 % 360.0
