"""What an actor or supervisor is doing."""

from enum import StrEnum


class State(StrEnum):
    """What a cell is doing."""

    NEW = "new"
    """Its first incarnation has not begun."""
    STARTING = "starting"
    """An incarnation is on its way up."""
    RUNNING = "running"
    """An incarnation is at work."""
    ENDING = "ending"
    """An incarnation was told to end and is finishing its work."""
    DOWN = "down"
    """Between two incarnations."""
    STOPPED = "stopped"
    """Gone for good."""
