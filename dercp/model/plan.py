"""A plan: what a dispatch would come to, shown before anything is done.

A plan travels as a token that holds all of it, so that no headend has to keep it: whoever
dispatches with the token hands back what was seen, and is told where the fleet has moved
since. The token is not signed: who forges one deceives nobody but himself.
"""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from dercp.model.dispatch import Target
from dercp.model.errors import ModelError
from dercp.model.split import Split
from dercp.model.time import us_from_s

__all__ = [
    "PLAN_TOLERANCE",
    "PLAN_VALID_S",
    "TOKEN_CHARS_MAX",
    "Difference",
    "Plan",
    "PlanError",
    "moved",
    "planned_for",
    "token_of",
]

PLAN_TOLERANCE: Final = 0.02
"""A share has moved when it differs by more than this part of the setpoint, or of itself."""

PLAN_TOLERANCE_MW: Final = 0.001
"""And by more than this."""

PLAN_VALID_S: Final = 120.0
TOKEN_CHARS_MAX: Final = 2_000_000


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A split for a target, valid until `expires_us`.

    Attributes:
        split: The shares of the target's members, with their limits.
        parts: Where a member is a site that is split in turn: how, by its id.
    """

    target: Target
    split: Split
    parts: Mapping[str, Split] = {}
    issued_us: int
    expires_us: int


class Difference(msgspec.Struct, frozen=True):
    """A share that is another one now; `id` None is what remains unplaced.

    `reason` is the limit that binds it now, or why it is left out, or "".
    """

    id: str | None
    planned_mw: float
    now_mw: float
    reason: str = ""


class PlanError(ModelError):
    """A token that no dispatch can be made with."""


class _Token(msgspec.Struct, frozen=True, array_like=True):
    target: Target
    setpoint_mw: float
    unplaced_mw: float
    shares: tuple[tuple[str, float], ...]
    expires_us: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Token)


def planned_for(
    target: Target, split: Split, now_us: int, parts: Mapping[str, Split] | None = None
) -> Plan:
    """A plan that is shown now."""
    return Plan(
        target=target,
        split=split,
        parts=parts or {},
        issued_us=now_us,
        expires_us=now_us + us_from_s(PLAN_VALID_S),
    )


def token_of(plan: Plan) -> str:
    """The plan as text (base64url), about 30 characters for each share."""
    shares = tuple((each, power_mw) for each, power_mw, _ in _shares(plan))
    token = _Token(plan.target, plan.split.setpoint_mw, _unplaced_mw(plan), shares, plan.expires_us)
    return urlsafe_b64encode(_encoder.encode(token)).decode().rstrip("=")


def moved(now: Plan, token: str) -> tuple[Difference, ...]:
    """Where the plan of now differs from the one of the token beyond tolerance, by ids.

    Raises:
        PlanError: `bad_token`, `token_expired`, `token_for_another` (target or setpoint).
    """
    before = _read(token)
    if now.issued_us >= before.expires_us:
        raise PlanError("token_expired", "the plan is too old; ask for a new preview")
    if (before.target, before.setpoint_mw) != (now.target, now.split.setpoint_mw):
        raise PlanError("token_for_another", "the plan is of another target or setpoint")
    planned_mw = dict(before.shares)
    current = {each: (power_mw, why) for each, power_mw, why in _shares(now)}
    differences = [
        Difference(each, planned_mw.get(each, 0.0), *current.get(each, (0.0, "")))
        for each in sorted(planned_mw.keys() | current.keys())
    ]
    differences.append(Difference(None, before.unplaced_mw, _unplaced_mw(now)))
    return tuple(each for each in differences if _beyond(each, now.split.setpoint_mw))


def _shares(plan: Plan) -> Iterator[tuple[str, float, str]]:
    """The last in each line: the assets of a site that is split, the others themselves."""
    for share in plan.split.allocations:
        part = plan.parts.get(share.id)
        if part is None:
            yield share.id, share.setpoint_mw, share.limit
            continue
        for inner in part.allocations:
            yield inner.id, inner.setpoint_mw, inner.limit
        for left_out in part.excluded:
            yield left_out.id, 0.0, left_out.reason
    for left_out in plan.split.excluded:
        yield left_out.id, 0.0, left_out.reason


def _unplaced_mw(plan: Plan) -> float:
    return plan.split.unplaced_mw + sum(part.unplaced_mw for part in plan.parts.values())


def _beyond(difference: Difference, setpoint_mw: float) -> bool:
    most_mw = max(
        PLAN_TOLERANCE_MW,
        PLAN_TOLERANCE * abs(setpoint_mw),
        PLAN_TOLERANCE * abs(difference.planned_mw),
    )
    return abs(difference.now_mw - difference.planned_mw) > most_mw


def _read(token: str) -> _Token:
    bad = PlanError("bad_token", "the plan's token is not one of this headend's")
    if len(token) > TOKEN_CHARS_MAX:
        raise bad
    try:
        packed = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        return _decoder.decode(packed)
    except (UnicodeError, binascii.Error, msgspec.MsgspecError):
        raise bad from None
