"""How a site's dispatch stands with the assets that share it. Pure: events in, commands out.

    share(split) → heard(...)* → [DivideAgain → divided_again(split)] → heard(...)* → the end

Each asset is given an order of its own, which the asset's actor treats like any other: it
ends in time whoever is there to see it. What the assets say of their orders comes back here
(`heard`), in whatever order, and makes the words of the dispatch. In each of them placed,
pending, failed and unplaced make up what was asked.

Whoever does not answer in time is told to leave it, before another one is given its part.
What failed is divided once more among those who have room, a second later, so that several
failures are one. After that a shortfall is told and not chased. An asset that is out of
reach while it holds its share may follow it all the same: its part is given to nobody.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import astuple, replace

from dercp.edge.asset.lease import Lease
from dercp.edge.site.parts import Hold, KeptShares, Part, hear
from dercp.edge.site.state import (
    Command,
    DivideAgain,
    Ending,
    Give,
    Heard,
    Say,
    Sharing,
    Step,
    TakeBack,
)
from dercp.edge.site.words import common, completed_as, in_force, total
from dercp.model.dispatch import (
    Cancelled,
    Completed,
    DispatchReason,
    Failed,
    Rejected,
    Share,
    ShareState,
)
from dercp.model.following import Following, Verdict
from dercp.model.split import TOLERANCE_MW, Split
from dercp.wire.dispatch import EdgeWord

__all__ = [
    "cut_short",
    "divided_again",
    "end",
    "heard",
    "kept",
    "measured",
    "out_of_reach",
    "recall",
    "revised",
    "revived",
    "share",
    "tick",
]

# A device may take 5 s to read and 5 s to write; its actor, 30 s to come back from a crash.
SETTLES_WITHIN_S: Final = 20.0
AGAIN_AFTER_S: Final = 1.0
# For what ends sooner nobody is bothered again.
WORTH_AGAIN_S: Final = 5.0
# Who gets a newer order leaves the older one by himself, without a fallback between.
TAKES_BACK_AFTER_S: Final = 2.0
TAKES_BACK_EVERY_S: Final = 1.0
# Within the 30 s that the headend waits for the last word.
ENDS_WITHIN_S: Final = 15.0
WORDS_EVERY_S: Final = 10.0


# ---------------------------------------------------------------------- events


def share(lease: Lease, split: Split, now_s: float) -> Step:
    """Divide a dispatch for the first time."""
    sharing = Sharing(
        lease=lease, parts={}, settles_by_s=max(now_s, lease.start_s) + SETTLES_WITHIN_S
    )
    return _given(sharing, split, now_s)


def revised(sharing: Sharing, lease: Lease, split: Split, now_s: float) -> Step:
    """The same dispatch, asked otherwise: whoever still holds a share is given a new order."""
    settles_by_s = max(now_s, lease.start_s) + SETTLES_WITHIN_S
    parts = {each: _forgiven(part) for each, part in sharing.parts.items()}
    anew = replace(sharing, lease=lease, parts=parts, told=None, settles_by_s=settles_by_s)
    return _given(anew, split, now_s, everybody=True)


def divided_again(sharing: Sharing, split: Split, now_s: float) -> Step:
    """The shortfall was divided among those who have room."""
    failed_mw, unplaced_mw = sharing.placement.failed_mw, sharing.placement.unplaced_mw
    # What somebody else has taken over has not failed any more.
    left = 1.0
    if abs(failed_mw) > TOLERANCE_MW:
        left = min(1.0, max(0.0, (split.unplaced_mw - unplaced_mw) / failed_mw))
    parts = {
        each: replace(part, share=_scaled(part.share, left))
        if part.share.state is ShareState.FAILED
        else part
        for each, part in sharing.parts.items()
    }
    anew = replace(
        sharing, parts=parts, settles_by_s=now_s + SETTLES_WITHIN_S, next_word_s=-math.inf
    )
    return _given(anew, split, now_s)


def heard(sharing: Sharing, words: Sequence[Heard], now_s: float) -> Step:
    """Assets speak of their orders."""
    # Who turns a second order down keeps to the first.
    taken_back = [
        TakeBack(each.asset_id, each.word.detail)
        for each in words
        if isinstance(each.word, Rejected) and each.revision > 1
    ]
    return _go_on(recall(sharing, words, now_s), now_s, taken_back)


def recall(sharing: Sharing, words: Sequence[Heard], now_s: float) -> Sharing:
    """The same, for what was said before an agent started anew: nothing follows yet."""
    parts = dict(sharing.parts)
    for asset_id, revision, word in map(astuple, words):
        part = parts.get(asset_id)
        if part is not None and part.hold is not Hold.NONE and revision == part.revision:
            parts[asset_id] = hear(part, word, expected_to_end=sharing.ending is not None)
    return _with_parts(sharing, parts, now_s)


def tick(sharing: Sharing, now_s: float) -> Step:
    """Time has passed."""
    return _go_on(sharing, now_s)


def end(sharing: Sharing, word: EdgeWord, now_s: float) -> Step:
    """It shall end with this word, once the assets have left it."""
    if sharing.is_over or sharing.ending is not None:
        return Step(sharing)
    patience_s = 0.0 if isinstance(word, Cancelled | Failed | Rejected) else TAKES_BACK_AFTER_S
    ending = Ending(word, by_s=now_s + ENDS_WITHIN_S)
    return _go_on(replace(sharing, ending=ending, take_back_at_s=now_s + patience_s), now_s)


def cut_short(sharing: Sharing, word: EdgeWord, now_s: float) -> Step:
    """The agent stops: the last word is said now."""
    return _over(sharing, word if sharing.ending is None else sharing.ending.word, now_s, ())


def out_of_reach(sharing: Sharing, assets: Sequence[str], now_s: float) -> Step:
    """Nothing fresh is known of these assets now; of all others something is."""
    noticed = {
        each: replace(part, share=_unknown(part.share) if each in assets else _known(part.share))
        for each, part in sharing.parts.items()
        if part.share.state is ShareState.APPLIED
        and (part.share.reason == DispatchReason.STALE) != (each in assets)
    }
    if noticed:
        sharing = replace(sharing, parts={**sharing.parts, **noticed})
    return _go_on(sharing, now_s)


def measured(sharing: Sharing, following: Following, now_s: float) -> Step:
    """The sum of the assets was measured against what was written to them."""
    sharing = replace(sharing, following=following)
    changed = following.verdict is not sharing.verdict
    if not changed or now_s < sharing.next_word_s or sharing.told is None:
        return Step(sharing)
    sharing = replace(sharing, verdict=following.verdict)
    return _say(sharing, in_force(sharing.lease, sharing.placement, sharing.verdict), now_s)


# ------------------------------------------------------------- over a restart


def kept(sharing: Sharing) -> KeptShares:
    """What must outlive the process."""
    return KeptShares(tuple(sharing.parts.values()), sharing.round, sharing.has_run)


def revived(lease: Lease, shares: KeptShares, now_s: float) -> Sharing:
    """The sharing of an agent that starts anew; what the assets last said is heard next."""
    return Sharing(
        lease=lease,
        parts={part.share.id: part for part in shares.parts},
        round=shares.round,
        settles_by_s=max(now_s, lease.start_s) + SETTLES_WITHIN_S,
        has_run=shares.has_run,
    )


# ---------------------------------------------------------------------- inside


def _given(sharing: Sharing, split: Split, now_s: float, *, everybody: bool = False) -> Step:
    """Order what a split says, where it is another share than before."""
    parts = dict(sharing.parts)
    gives: list[Command] = []
    for each in split.allocations:
        before = parts.get(each.id)
        same = before is not None and abs(before.share.setpoint_mw - each.setpoint_mw) <= _SAME_MW
        if before is not None and before.hold is not Hold.NONE and same and not everybody:
            continue
        revision = 1 if before is None else before.revision + 1
        parts[each.id] = Part(
            share=Share(id=each.id, setpoint_mw=each.setpoint_mw, limit=each.limit),
            given_mw=each.setpoint_mw,
            revision=revision,
            hold=Hold.GIVEN,
            outcome=None if before is None else before.outcome,
        )
        gives.append(Give(each.id, revision, each.setpoint_mw))
    for left_out in split.excluded:
        none = Share(id=left_out.id, state=ShareState.EXCLUDED, reason=left_out.reason)
        parts.setdefault(left_out.id, Part(share=none))
    return _go_on(replace(sharing, parts=parts), now_s, gives)


def _forgiven(part: Part) -> Part:
    """Before a new order to all: who has no order has no share of the new one."""
    if part.hold is not Hold.NONE or part.share.state is ShareState.EXCLUDED:
        return part
    return replace(part, share=replace(part.share, setpoint_mw=0.0, state=ShareState.FAILED))


def _unknown(share_: Share) -> Share:
    detail = "out of reach: it may follow, or not"
    return replace(share_, reason=DispatchReason.STALE, detail=detail)


def _known(share_: Share) -> Share:
    return replace(share_, reason="", detail="")


def _scaled(share_: Share, factor: float) -> Share:
    return replace(share_, setpoint_mw=share_.setpoint_mw * factor)


def _with_parts(sharing: Sharing, parts: Mapping[str, Part], now_s: float) -> Sharing:
    """Take over parts; what has failed is divided again if that is worth it."""
    failed = any(
        part.share.state is ShareState.FAILED
        and sharing.parts[each].share.state is not ShareState.FAILED
        and abs(part.share.setpoint_mw) > TOLERANCE_MW
        for each, part in parts.items()
    )
    again_at_s = sharing.again_at_s
    if failed and sharing.round == 1 and sharing.lease.until_s - now_s > WORTH_AGAIN_S:
        again_at_s = min(again_at_s, now_s + AGAIN_AFTER_S)
    runs = any(part.share.state is ShareState.APPLIED for part in parts.values())
    return replace(sharing, parts=parts, again_at_s=again_at_s, has_run=sharing.has_run or runs)


def _go_on(sharing: Sharing, now_s: float, commands: Sequence[Command] = ()) -> Step:
    """What follows, whatever has happened."""
    if sharing.is_over:
        return Step(sharing)
    if sharing.settles_by_s <= now_s:
        sharing = _without_the_silent(sharing, now_s)
    if sharing.take_back_at_s <= now_s:
        sharing, told = _take_back(sharing, now_s)
        commands = [*commands, *told]
    if sharing.ending is not None:
        if sharing.holders and now_s < sharing.ending.by_s:
            return Step(sharing, tuple(commands))
        return _over(sharing, sharing.ending.word, now_s, commands)
    if _is_again_due(sharing, now_s):
        anew = replace(sharing, round=2, again_at_s=math.inf)
        return Step(anew, (*commands, DivideAgain()))
    if not sharing.holders and math.isinf(sharing.again_at_s):
        return _over(sharing, _early(sharing, now_s), now_s, commands)
    return _tell(sharing, now_s, commands)


def _without_the_silent(sharing: Sharing, now_s: float) -> Sharing:
    """Those who have not answered shall not begin any more."""
    parts = {
        each: _silent(part) if part.hold is Hold.GIVEN else part
        for each, part in sharing.parts.items()
    }
    recalls = any(part.hold is Hold.RECALLED for part in parts.values())
    sharing = _with_parts(sharing, parts, now_s)
    take_back_at_s = min(sharing.take_back_at_s, now_s) if recalls else sharing.take_back_at_s
    return replace(sharing, settles_by_s=math.inf, take_back_at_s=take_back_at_s)


def _silent(part: Part) -> Part:
    failed = replace(
        part.share,
        state=ShareState.FAILED,
        reason=DispatchReason.NO_ANSWER,
        detail=f"no answer within {SETTLES_WITHIN_S:g} s",
    )
    return replace(part, share=failed, hold=Hold.RECALLED)


def _take_back(sharing: Sharing, now_s: float) -> tuple[Sharing, list[Command]]:
    """Tell those who shall leave, until they have."""
    holders = sharing.holders
    if sharing.ending is None:
        holders = [each for each in holders if sharing.parts[each].hold is Hold.RECALLED]
    next_s = now_s + TAKES_BACK_EVERY_S if holders else math.inf
    detail = "" if sharing.ending is None else sharing.ending.word.detail
    told: list[Command] = [TakeBack(each, detail) for each in holders]
    return replace(sharing, take_back_at_s=next_s), told


def _is_again_due(sharing: Sharing, now_s: float) -> bool:
    answered = all(part.hold is not Hold.GIVEN for part in sharing.parts.values())
    return sharing.again_at_s <= now_s and answered


def _early(sharing: Sharing, now_s: float) -> EdgeWord:
    """The word for one that nobody holds any more."""
    if now_s >= sharing.lease.until_s - _SAME_TIME_S:
        return Completed()
    reason = common(sharing.placement, ShareState.FAILED, ShareState.ENDED, ShareState.EXCLUDED)
    if sharing.has_run:
        return Cancelled(reason=reason, detail="no asset holds a share of it any more")
    return Failed(reason=reason, detail="no asset has taken its share")


def _tell(sharing: Sharing, now_s: float, commands: Sequence[Command]) -> Step:
    """Say what has changed, once it has settled and not too often."""
    placement = sharing.placement
    states = {part.share.state for part in sharing.parts.values()}
    settled = ShareState.PLANNED not in states or math.isinf(sharing.settles_by_s)
    if not settled or ShareState.APPLIED not in states:
        return Step(sharing, tuple(commands))
    told = sharing.told
    if told is not None and (told.placement == placement or now_s < sharing.next_word_s):
        return Step(sharing, tuple(commands))
    word = in_force(sharing.lease, placement, Verdict.SETTLING)
    if told is not None and told.clamps == word.clamps:
        word = in_force(sharing.lease, placement, sharing.verdict)
    step = _say(sharing, word, now_s)
    return Step(step.sharing, (*commands, *step.commands))


def _say(sharing: Sharing, word: EdgeWord, now_s: float) -> Step:
    first = sharing.told is None
    # How it goes may be said right after that it is in force.
    next_word_s = -math.inf if first else now_s + WORDS_EVERY_S
    return Step(replace(sharing, told=word, next_word_s=next_word_s), (Say(word),))


def _over(sharing: Sharing, word: EdgeWord, now_s: float, commands: Sequence[Command]) -> Step:
    """Say the last word."""
    parts = {
        each: part if part.hold is Hold.NONE else _unheard(part)
        for each, part in sharing.parts.items()
    }
    ended = replace(sharing, parts=parts, is_over=True)
    placement = ended.placement
    if isinstance(word, Completed):
        word = completed_as(placement, has_run=sharing.has_run)
    outcome = total(ended.lease, parts.values(), ended.following, now_s) if ended.has_run else None
    clamps = () if sharing.told is None else sharing.told.clamps
    last = replace(word, placement=placement, outcome=outcome, clamps=clamps)
    return Step(replace(ended, told=last), (*commands, Say(last)))


def _unheard(part: Part) -> Part:
    """Its end was waited for long enough."""
    if part.share.state is ShareState.FAILED:
        return part
    failed = replace(part.share, state=ShareState.FAILED, reason=DispatchReason.NO_END_HEARD)
    return replace(part, share=failed)


_SAME_MW: Final = 1e-6
_SAME_TIME_S: Final = 0.1
