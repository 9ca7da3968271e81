"""When links are away, and whose. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Final

import msgspec

from sim.link_faults import ScheduleLimits
from sim.seeded import seeded

__all__ = ["CHAOS", "Outage", "struck"]

Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class Outage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Calls end, and for a while none can be made. Times count from when all were connected."""

    at_s: Seconds
    for_s: Seconds = 0.0
    share: Share = 1.0


CHAOS: Final = {
    "calm": ScheduleLimits(
        calm_s=(1.0, 20.0), fault_s=(0.1, 1.0), delay_s_max=0.2, bytes_per_s=(50_000.0, 500_000.0)
    ),
    "flaky": ScheduleLimits(
        calm_s=(1.0, 15.0), fault_s=(0.1, 5.0), delay_s_max=1.0, bytes_per_s=(5_000.0, 100_000.0)
    ),
    "rough": ScheduleLimits(
        calm_s=(0.5, 8.0), fault_s=(0.2, 20.0), delay_s_max=3.0, bytes_per_s=(500.0, 50_000.0)
    ),
}
"""How bad the links are, by the name of the profile."""


def struck(outages: Sequence[Outage], names: Iterable[str], seed: int) -> Iterator[list[str]]:
    """For each outage the names that it befalls; the same for the same seed."""
    known = list(names)
    for number, outage in enumerate(outages):
        if outage.share == 1:
            yield known
        else:
            draw = seeded(seed, "outage", number)
            yield sorted(draw.sample(known, round(outage.share * len(known))))
