"""The words that say why: of dispatches, shares and clamps. Stable, snake_case, for programs."""

from enum import StrEnum
from typing import Self


class DispatchReason(StrEnum):
    """A word and its meaning.

    Records keep them as `str`, because two kinds of words are not here: those of a newer
    edge, and the word of how a session ended, where that gave a dispatch back
    (`heartbeat_missed`).
    """

    meaning: str

    def __new__(cls, word: str, meaning: str) -> Self:
        """Keep the meaning beside the word."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.meaning = meaning
        return member

    # by the headend
    LINK_LOST = "link_lost", "The link died before the edge answered."
    HEADEND_RESTARTED = "headend_restarted", "The headend restarted before the edge answered."
    OFFLINE = "offline", "The asset's session was gone before the dispatch could leave."
    SESSION_OVERLOADED = "session_overloaded", "The session had no room for it at that moment."
    ASSET_OVERLOADED = "asset_overloaded", "The asset's actor had no room for it at that moment."
    NOT_DELIVERED = "not_delivered", "The edge could not be reached by deliver_by or until."
    NO_ANSWER = "no_answer", "It was sent, and the edge never said a word about it."
    NO_END_HEARD = "no_end_heard", "The edge had accepted it, and never said how it ended."
    UNKNOWN_ASSET = "unknown_asset", "No asset or site by this id is registered."
    NEWER_DISPATCH = "newer_dispatch", "A newer dispatch for the same asset took its place."
    WITHDRAWN = "withdrawn", "It shall end, as the detail says; the edge has the last word."
    SHARED = "shared", "It was divided among several dispatches; the placement says how."
    SHARES_CHANGED = "shares_changed", "How it stands with each of those who share it has changed."
    LIMITS_CHANGED = "limits_changed", "What the site's limits leave of it has changed."
    PARTIAL = "partial", "Not all of its shares ran to their end; the placement says which."
    # by an operator
    OPERATOR = "operator", "Somebody asked for it through the API or the console."
    # by the edge
    EXPIRED = "expired", "It reached the edge after deliver_by or until."
    OUT_OF_RANGE = "out_of_range", "The setpoint is outside what the site allows the asset."
    STATE_OF_CHARGE = "state_of_charge", "The state of charge does not allow it."
    NOT_REMOTE = "not_remote", "The device is not under remote control."
    LOCAL_LOCKOUT = "local_lockout", "The asset is locked out at the site."
    LOCAL_OPERATOR = "local_operator", "An operator at the site took over."
    OUTRANKED = "outranked", "A dispatch of greater priority holds the asset in that time."
    SCHEDULE_FULL = "schedule_full", "Too many dispatches for the asset wait for their start."
    NO_FALLBACK = "no_fallback", "The device cannot do what the site wants at the end of a lease."
    DEVICE_FAILED = "device_failed", "The device refused the write, or did not answer."
    READBACK_DIFFERS = "readback_differs", "The device confirms another setpoint than was written."
    NARROWED = "narrowed", "The edge applied less than asked, to stay within the site's limits."
    CLOCK_SUSPECT = "clock_suspect", "The clock at the site is too far off for what starts later."
    EDGE_STOPPED = "edge_stopped", "The edge agent stopped or restarted during the lease."
    # what binds or clamps a setpoint, or keeps an asset from taking a share
    NAMEPLATE = "nameplate", "It is all the asset is built for."
    CONFIGURED_LIMIT = "configured_limit", "The limits that the site has configured."
    AVAILABLE = "available", "It is all the device says is available now."
    NOT_KNOWN = "not_known", "What is available is not known, so only what runs now is counted on."
    DEAD_BAND = "dead_band", "The device runs at 0 or from a least power on, not in between."
    RAMP = "ramp", "The setpoint moves no faster than the site allows."
    STALE = "stale", "Nothing fresh is known of the asset."
    OUT_OF_SERVICE = "out_of_service", "The asset does not take part."
    SEVERAL = "several", "Several limits, one for each of the members."
