"""The words a dispatch's timeline gives as reasons: stable, snake_case, made for programs."""

from enum import StrEnum
from typing import Self


class DispatchReason(StrEnum):
    """A word and its meaning. A newer edge may say words that are not here yet."""

    meaning: str

    def __new__(cls, word: str, meaning: str) -> Self:
        """Keep the meaning beside the word."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.meaning = meaning
        return member

    # by the headend
    LINK_LOST = "link_lost", "The link died before the edge answered."
    NOT_DELIVERED = "not_delivered", "The edge could not be reached by deliver_by or until."
    NO_ANSWER = "no_answer", "It was sent, and the edge never said a word about it."
    NO_END_HEARD = "no_end_heard", "The edge had accepted it, and never said how it ended."
    UNKNOWN_ASSET = "unknown_asset", "No asset or site by this id is registered."
    NEWER_DISPATCH = "newer_dispatch", "A newer dispatch for the same asset took its place."
    WITHDRAWN = "withdrawn", "It shall end, as the detail says; the edge has the last word."
    # by an operator
    OPERATOR = "operator", "Somebody asked for it through the API or the console."
    # by the edge
    EXPIRED = "expired", "It reached the edge after deliver_by or until."
    OUT_OF_RANGE = "out_of_range", "The setpoint is outside what the site allows the asset."
    STATE_OF_CHARGE = "state_of_charge", "The state of charge does not allow it."
    NOT_REMOTE = "not_remote", "The device is not under remote control."
    LOCAL_LOCKOUT = "local_lockout", "The asset is locked out at the site."
    LOCAL_OPERATOR = "local_operator", "An operator at the site took over."
    DEVICE_FAILED = "device_failed", "The device refused the write, or did not answer."
    READBACK_DIFFERS = "readback_differs", "The device confirms another setpoint than was written."
    NARROWED = "narrowed", "The edge applied less than asked, to stay within the site's limits."
    EDGE_STOPPED = "edge_stopped", "The edge agent stopped or restarted during the lease."
