"""One setpoint shared among many: weighted by size, each within what it can do.

The same function serves a gateway over its assets, the headend over the single-asset
agents of a site, and a portfolio over its sites (each a sum, by `aggregate`).

    >>> battery = Capacity(id="bess", min_mw=-2, max_mw=2, weight_mw=2)
    >>> solar = Capacity(id="pv", min_mw=0, max_mw=1, weight_mw=4, limit_high="available")
    >>> for share in split(2.5, [solar, battery]).allocations:
    ...     print(share.id, share.setpoint_mw, share.limit or "free")
    bess 1.5 free
    pv 1.0 available

Think of water: each member is a vessel of its width (`weight_mw`), and all stand at one
level; power = level x weight, until a vessel is full. Raising the level from limit to limit
in sorted order finds the level in O(n log n), where redistributing in rounds would take as
many rounds as there are limits.

What holds, to `TOLERANCE_MW`:
    The allocations and `unplaced_mw` make up the setpoint.
    Each allocation lies within its member's range, and is 0 where not beyond its dead band.
    The order in which the members are given does not matter; ties go by id.
    A greater setpoint places no less. Where nobody has a dead band, it gives nobody less.
    Something stays unplaced only where all are at their limits, or where starting one more
    member with a dead band would place more than was asked.
    Nobody is driven below (above) its power nearest to 0 only to make room for the dead band
    of another: no battery charges so that a turbine may start.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from dercp.model.reasons import DispatchReason

__all__ = [
    "TOLERANCE_MW",
    "Allocation",
    "Capacity",
    "Excluded",
    "Split",
    "aggregate",
    "excluding",
    "split",
]

TOLERANCE_MW = 1e-9
"""What rounding may do to a sum: a milliwatt."""


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """What one member of a split can do now.

    Attributes:
        min_mw: The least power it can run at (the most it can take); need not be <= 0.
        max_mw: The greatest.
        weight_mw: Its size, by which it shares, >= 0. Of weight 0 it takes no share and
            stays at its power nearest to 0.
        limit_low: Which limit `min_mw` is, a `DispatchReason`.
        limit_high: Which limit `max_mw` is.
        dead_low_mw: <= 0; between this and `dead_high_mw` it can run at 0 only. This
            counts where 0 lies in its range.
        dead_high_mw: >= 0.
        excluded: Why it takes no part at all; "" = it does.
    """

    id: str
    min_mw: float
    max_mw: float
    weight_mw: float
    limit_low: str = DispatchReason.NAMEPLATE
    limit_high: str = DispatchReason.NAMEPLATE
    dead_low_mw: float = 0.0
    dead_high_mw: float = 0.0
    excluded: str = ""

    def __post_init__(self) -> None:
        """Refuse what would make a split meaningless."""
        if not -math.inf < self.min_mw <= self.max_mw < math.inf:
            raise ValueError(f"{self.id}: expected min_mw <= max_mw, got {self}")
        if not 0 <= self.weight_mw < math.inf:
            raise ValueError(f"{self.id}: expected weight_mw >= 0, got {self}")
        if not -math.inf < self.dead_low_mw <= 0 <= self.dead_high_mw < math.inf:
            raise ValueError(f"{self.id}: expected dead_low_mw <= 0 <= dead_high_mw, got {self}")

    @property
    def rest_mw(self) -> float:
        """Its power nearest to 0."""
        return min(max(0.0, self.min_mw), self.max_mw)


class Allocation(msgspec.Struct, frozen=True):
    """A member's share; `limit` is what keeps it from another one (a `DispatchReason`), or ""."""

    id: str
    setpoint_mw: float
    limit: str = ""


class Excluded(msgspec.Struct, frozen=True):
    """A member that takes no part, and why."""

    id: str
    reason: str


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """Who gets what, in the order of ids.

    `unplaced_mw` is what was asked less `placed_mw`: positive where too little could be
    placed, negative where the members cannot run as low as was asked.
    """

    setpoint_mw: float
    allocations: tuple[Allocation, ...]
    excluded: tuple[Excluded, ...] = ()
    placed_mw: float
    unplaced_mw: float


def split(setpoint_mw: float, members: Sequence[Capacity]) -> Split:
    """Share a setpoint; see the module for what holds.

    Raises:
        ValueError: The setpoint is no finite number, or two members have one id.
    """
    if not math.isfinite(setpoint_mw):
        raise ValueError(f"setpoint_mw: expected a finite number of MW, got {setpoint_mw}")
    ordered = sorted(members, key=lambda member: member.id)
    if len({member.id for member in ordered}) < len(ordered):
        raise ValueError("members: expected distinct ids")
    taking_part = [member for member in ordered if not member.excluded]
    at_rest_mw = math.fsum(member.rest_mw for member in taking_part)
    # Below rest is above rest, seen in a mirror.
    sign = 1.0 if setpoint_mw >= at_rest_mw else -1.0
    vessels = [_Vessel(member, sign) for member in taking_part]
    _fill(sign * setpoint_mw, vessels)
    allocations = tuple(
        Allocation(vessel.member.id, sign * vessel.power_mw + 0.0, vessel.limit)
        for vessel in vessels
    )
    placed_mw = math.fsum(each.setpoint_mw for each in allocations)
    unplaced_mw = setpoint_mw - placed_mw
    return Split(
        setpoint_mw=setpoint_mw,
        allocations=allocations,
        excluded=tuple(Excluded(each.id, each.excluded) for each in ordered if each.excluded),
        placed_mw=placed_mw,
        unplaced_mw=unplaced_mw if abs(unplaced_mw) > TOLERANCE_MW else 0.0,
    )


def aggregate(group_id: str, members: Iterable[Capacity]) -> Capacity:
    """What a site (or portfolio) can do as a whole, to be one member of a greater split.

    The range is exact unless members have dead bands: then powers inside of it may be out
    of reach, and the second split says what could not be placed.
    """
    everyone = list(members)
    active = [member for member in everyone if not member.excluded]
    left_out = {member.excluded for member in everyone if member.excluded}
    moving = [member for member in active if member.weight_mw > 0]
    fixed_mw = math.fsum(member.rest_mw for member in active if member.weight_mw <= 0)
    rising = [_Vessel(member, 1.0) for member in moving]
    falling = [_Vessel(member, -1.0) for member in moving]
    return Capacity(
        id=group_id,
        min_mw=fixed_mw - math.fsum(vessel.top_mw for vessel in falling),
        max_mw=fixed_mw + math.fsum(vessel.top_mw for vessel in rising),
        weight_mw=math.fsum(member.weight_mw for member in moving),
        limit_low=_common({member.limit_low for member in moving}, DispatchReason.NAMEPLATE),
        limit_high=_common({member.limit_high for member in moving}, DispatchReason.NAMEPLATE),
        dead_low_mw=-_least_step(falling),
        dead_high_mw=_least_step(rising),
        excluded="" if active else _common(left_out, DispatchReason.OUT_OF_SERVICE),
    )


def excluding(members: Iterable[Capacity], reasons: Mapping[str, str]) -> list[Capacity]:
    """The members, without those that a reason is given for (by id): for a second split."""
    return [
        replace(member, excluded=member.excluded or reasons.get(member.id, ""))
        for member in members
    ]


class _Vessel:
    """A member while its share is sought, in the direction of rising power."""

    def __init__(self, member: Capacity, sign: float) -> None:
        self.member = member
        self.rest_mw = sign * member.rest_mw
        self.floor_mw = self.rest_mw
        self.top_mw = self.rest_mw
        if member.weight_mw > 0:
            self.top_mw = max(sign * member.min_mw, sign * member.max_mw)
        self.step_mw = 0.0
        self.is_on = True
        dead_mw = member.dead_high_mw if sign > 0 else -member.dead_low_mw
        if member.min_mw <= 0 <= member.max_mw and dead_mw > 0 and self.top_mw > 0:
            self.step_mw, self.is_on = dead_mw, False
            self.top_mw = self.top_mw if dead_mw <= self.top_mw else 0.0
        self.top_limit, self.floor_limit = member.limit_high, member.limit_low
        if sign < 0:
            self.top_limit, self.floor_limit = member.limit_low, member.limit_high
        self.power_mw = self.floor_mw
        self.limit = ""

    @property
    def can_start(self) -> bool:
        """Whether it stands still below its dead band, and could run beyond it."""
        return not self.is_on and self.top_mw > 0

    def start(self) -> None:
        """Run beyond the dead band."""
        self.is_on, self.floor_mw = True, self.step_mw

    def settle(self, level: float) -> None:
        """Take the share that belongs to a level."""
        weight_mw = self.member.weight_mw
        wanted_mw = level * weight_mw if weight_mw > 0 else 0.0
        if not self.is_on:
            self.power_mw = 0.0
            self.limit = DispatchReason.DEAD_BAND if wanted_mw > 0 else ""
        elif wanted_mw >= self.top_mw and (wanted_mw > 0 or self.top_mw < 0):
            self.power_mw, self.limit = self.top_mw, self.top_limit
        elif wanted_mw < self.floor_mw:
            self.power_mw = self.floor_mw
            self.limit = DispatchReason.DEAD_BAND if self.step_mw else self.floor_limit
        else:
            self.power_mw, self.limit = wanted_mw, ""


def _fill(asked_mw: float, vessels: list[_Vessel]) -> None:
    """Give each vessel its share of at least what all have at rest."""
    level = _rise(asked_mw, vessels)
    if math.isinf(level) and _start_more(asked_mw, vessels):
        level = _rise(asked_mw, vessels)
    for vessel in vessels:
        vessel.settle(level)
    _round_off(asked_mw, vessels)


def _rise(asked_mw: float, vessels: list[_Vessel]) -> float:
    """The level at which the vessels hold what is asked; infinite when all are full before.

    A vessel with a dead band starts at the level at which its share has reached its step,
    unless with it there would be too much; then no other one starts either.
    """
    events: list[tuple[float, int, str, _Vessel]] = []
    for vessel in vessels:
        weight_mw = vessel.member.weight_mw
        if weight_mw <= 0 or vessel.top_mw <= vessel.floor_mw:
            continue
        begins_mw = vessel.floor_mw if vessel.is_on else vessel.step_mw
        events.append((max(0.0, begins_mw / weight_mw), 0, vessel.member.id, vessel))
        events.append((vessel.top_mw / weight_mw, 1, vessel.member.id, vessel))
    events.sort(key=lambda event: event[:3])
    held_mw = math.fsum(vessel.floor_mw for vessel in vessels)
    slope_mw, level, starting = 0.0, 0.0, True
    for next_level, is_end, _, vessel in events:
        if held_mw + slope_mw * (next_level - level) >= asked_mw:
            break
        held_mw += slope_mw * (next_level - level)
        level = next_level
        if not vessel.is_on:
            starting = starting and held_mw + vessel.step_mw <= asked_mw
            if is_end or not starting:
                continue
            vessel.start()
            held_mw += vessel.step_mw
        slope_mw += -vessel.member.weight_mw if is_end else vessel.member.weight_mw
    else:
        return math.inf if asked_mw > held_mw else level
    return level + (asked_mw - held_mw) / slope_mw if slope_mw > 0 else level


def _start_more(asked_mw: float, vessels: list[_Vessel]) -> bool:
    """All are full: start those with the least steps, for as long as the others can give way."""
    most_mw = math.fsum(vessel.top_mw for vessel in vessels if vessel.is_on)
    least_mw = math.fsum(vessel.floor_mw for vessel in vessels)
    idle = [vessel for vessel in vessels if vessel.can_start]
    started = False
    for vessel in sorted(idle, key=lambda each: (each.step_mw, each.member.id)):
        if most_mw >= asked_mw or least_mw + vessel.step_mw > asked_mw:
            break
        vessel.start()
        most_mw += vessel.top_mw
        least_mw += vessel.step_mw
        started = True
    return started


def _round_off(asked_mw: float, vessels: list[_Vessel]) -> None:
    """Give what rounding has left to the first that has room for it."""
    rest_mw = asked_mw - math.fsum(vessel.power_mw for vessel in vessels)
    if abs(rest_mw) > TOLERANCE_MW * max(1.0, abs(asked_mw)):
        return
    for vessel in vessels:
        rounded_mw = vessel.power_mw + rest_mw
        bound = vessel.limit or not vessel.is_on
        if not bound and vessel.floor_mw <= rounded_mw <= vessel.top_mw:
            vessel.power_mw = rounded_mw
            return


def _least_step(vessels: list[_Vessel]) -> float:
    """The least power of a group in this direction: 0 unless all of it has dead bands."""
    able = [vessel for vessel in vessels if vessel.top_mw > max(0.0, vessel.rest_mw)]
    return min((vessel.step_mw for vessel in able), default=0.0)


def _common(reasons: set[str], of_nobody: str) -> str:
    if not reasons:
        return of_nobody
    return min(reasons) if len(reasons) == 1 else DispatchReason.SEVERAL
