"""Which registers to ask for in one request, and what came back."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

__all__ = ["REGISTERS_MAX", "Answer", "Image", "Refusal", "Span", "Table", "joined"]

# The protocol allows 125 in one request; not every device does.
REGISTERS_MAX: Final = 120

# Modbus application protocol 1.1b3, section 7.
_EXCEPTIONS: Final = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target did not respond",
}
_GATEWAY: Final = frozenset({10, 11})


class Table(StrEnum):
    """The four tables of a Modbus device."""

    HOLDING = "holding"
    INPUT = "input"
    COIL = "coil"
    DISCRETE = "discrete"

    @property
    def holds_bits(self) -> bool:
        """Whether its items are single bits, and not registers of 16."""
        return self in {Table.COIL, Table.DISCRETE}


class Span(msgspec.Struct, frozen=True, order=True):
    """`count` items of a table, from the address `start` (0-based, as on the wire)."""

    table: Table
    start: int
    count: int

    @property
    def end(self) -> int:
        """The address behind the last one."""
        return self.start + self.count


class Refusal(msgspec.Struct, frozen=True):
    """A device answered with an exception."""

    code: int

    @property
    def is_of_gateway(self) -> bool:
        """Whether a gateway says that the device behind it is out of reach."""
        return self.code in _GATEWAY

    def __str__(self) -> str:
        return f"exception {self.code}, {_EXCEPTIONS.get(self.code, 'of no known meaning')}"


Answer: TypeAlias = tuple[int, ...] | Refusal
"""What a device says to one request: the items, or no."""


class Image:
    """What a device answered to a poll, by address."""

    def __init__(self, spans: Sequence[Span], answers: Sequence[Answer]) -> None:
        self._answers = tuple(zip(spans, answers, strict=True))

    def at(self, span: Span) -> Answer:
        """The items of this span, which lies within one that was asked for.

        Raises:
            KeyError: It does not.
        """
        for asked, answer in self._answers:
            if asked.table is span.table and asked.start <= span.start and span.end <= asked.end:
                if isinstance(answer, Refusal):
                    return answer
                first = span.start - asked.start
                return answer[first : first + span.count]
        raise KeyError(span)

    @property
    def refusal(self) -> Refusal | None:
        """The first exception, if the device answered with nothing else."""
        refusals = [answer for _, answer in self._answers if isinstance(answer, Refusal)]
        return refusals[0] if refusals and len(refusals) == len(self._answers) else None


def joined(
    spans: Iterable[Span], *, count_max: int = REGISTERS_MAX, gap_max: int = 0
) -> list[Span]:
    """The fewest requests, in order of address, that cover these spans, none of them torn.

    Spans are joined over gaps of up to `gap_max` items that nobody asked for. A span greater
    than `count_max` stays alone, and as great as it is.
    """
    requests: list[Span] = []
    for span in sorted(spans):
        if requests:
            last = requests[-1]
            end = max(last.end, span.end)
            near = last.table is span.table and span.start <= last.end + gap_max
            if near and (end - last.start <= count_max or end == last.end):
                requests[-1] = Span(last.table, last.start, end - last.start)
                continue
        requests.append(span)
    return requests
