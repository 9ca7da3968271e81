"""How a quantity wanders around its mean: an Ornstein-Uhlenbeck process, seeded."""

import math

from sim.seeded import seeded

__all__ = ["Wander"]

_BLOCK_STEPS = 64
_FORGOTTEN_AFTER_TAU = 8.0  # exp(-8): 0.03 % of a standard deviation is left


class Wander:
    """Normal noise of mean 0 and variance 1 whose memory fades over `tau_s` seconds.

    Characteristics:
        Statistics: stationary; correlation exp(-lag / tau_s).
        Determinism: a function of seed, name and second. The chain only remembers for speed;
            asked for a distant second it starts again a few `tau_s` before it, and by then
            has forgotten how it began.
        Cost: one draw per second passed; at most 8 tau_s draws for a jump of any length.
    """

    def __init__(self, seed: int, name: str, *, tau_s: float) -> None:
        self._seed = seed
        self._name = name
        self._keep = math.exp(-1.0 / tau_s)
        self._add = math.sqrt(1.0 - self._keep**2)
        self._forgotten_after = math.ceil(_FORGOTTEN_AFTER_TAU * tau_s)
        self._second = 0
        self._value = math.nan
        self._block: int | None = None
        self._draws: list[float] = []
        self._restart(0)

    def at(self, second: int) -> float:
        """The value at this second of any time line the caller keeps to."""
        if not 0 <= second - self._second <= self._forgotten_after:
            self._restart(second)
        while self._second < second:
            self._step()
        return self._value

    def _restart(self, second: int) -> None:
        """Go back so far that it does not matter what the value was there."""
        self._second = second - self._forgotten_after
        self._value = self._draw(self._second)

    def _step(self) -> None:
        self._second += 1
        self._value = self._keep * self._value + self._add * self._draw(self._second)

    def _draw(self, second: int) -> float:
        block, step = divmod(second, _BLOCK_STEPS)
        if block != self._block:
            generator = seeded(self._seed, self._name, block)
            self._draws = [generator.gauss(0.0, 1.0) for _ in range(_BLOCK_STEPS)]
            self._block = block
        return self._draws[step]
