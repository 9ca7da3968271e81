"""What all cells of one system share."""

from random import Random

from actors._deadlines import Deadlines
from actors._events import EventStream
from actors._registry import Registry
from actors._reports import Reports


class Runtime:
    """The events, names, deadlines and the one source of randomness of a system."""

    __slots__ = ("deadlines", "events", "random", "registry", "reports")

    def __init__(self, seed: int | None) -> None:
        self.events = EventStream()
        self.registry = Registry()
        self.deadlines = Deadlines()
        self.reports = Reports(self.events)
        self.random = Random(seed)  # noqa: S311 - spreads restarts; guards no secret
