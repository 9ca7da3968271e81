"""Reads what is needed of a device's models, in few requests and without a tear."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
import trio

from adapters import DeviceError
from adapters.modbus._client import ModbusClient
from adapters.modbus._spans import Answer, Span, joined
from adapters.sunspec._discovery import Chain
from adapters.sunspec._mapping import Models
from adapters.sunspec._model import Model, Place

__all__ = ["Poller", "first_of_each"]

# Who a device is never changes, its ratings when somebody sets them anew.
SLOW: Final = frozenset({1, 120, 121, 702})
SLOW_EVERY_S: Final = 60.0
# Registers that nobody asked for are cheaper than another request.
GAP_MAX: Final = 32
# A device that changes its scale factors faster than it is read cannot be read.
READS_MAX: Final = 3


def first_of_each(chain: Chain) -> dict[int, Place]:
    """The places of the models by number; of several with the same number the first."""
    places: dict[int, Place] = {}
    for place in chain:
        places.setdefault(place.model_id, place)
    return places


class Poller:
    """Polls the needed points of a chain of models.

    A number and its scale factor must be of the same moment. Where one request cannot hold
    both, the scale factors are asked for last, and when they are not those of the poll before,
    the poll is done once more: then they were the same before and after the numbers.

    Attributes:
        client: The connection that it polls on.
        latest: What the last poll gave; nothing before the first one.
    """

    def __init__(
        self,
        client: ModbusClient,
        chain: Chain,
        names: Mapping[int, Iterable[str]],
        registers_max: int,
    ) -> None:
        self.client = client
        self.latest: Models = {}
        needed = [place for place in first_of_each(chain).values() if place.model_id in names]
        spans = {place: tuple(place.spans(names[place.model_id])) for place in needed}
        slow = {place: spans[place] for place in needed if place.model_id in SLOW}
        live = {place: spans[place] for place in needed if place.model_id not in SLOW}
        self._slow_round = _round(slow, registers_max)
        self._live_round = _round(live, registers_max)
        self._slow: dict[int, Model] = {}
        self._slow_due_s = -math.inf
        self._scales: dict[Span, Answer] = {}

    async def poll(self) -> Models:
        """The models as they are now; ratings as they were within the last minute.

        Raises:
            DeviceError: The device did not answer, or is another one than before.
        """
        now_s = trio.current_time()
        if now_s >= self._slow_due_s:
            self._slow = await self._read(self._slow_round)
            self._slow_due_s = now_s + SLOW_EVERY_S
        self.latest = self._slow | await self._read(self._live_round)
        return self.latest

    async def _read(self, of: "_Round") -> dict[int, Model]:
        for _ in range(READS_MAX):
            image = await self.client.read(of.requests)
            before = self._scales
            self._scales = before | {scale: image.at(scale) for scale in of.torn_scales}
            if self._scales == before:
                break
        else:
            raise DeviceError("its scale factors change faster than they can be read")
        models = {place.model_id: Model(place, image) for place in of.places}
        for model in models.values():
            model.check_header()
        return models


class _Round(msgspec.Struct, frozen=True):
    """What is read together. Torn scales are those that do not fit a request with their model."""

    places: tuple[Place, ...]
    requests: tuple[Span, ...]
    torn_scales: tuple[Span, ...]


def _round(spans: Mapping[Place, Sequence[Span]], registers_max: int) -> _Round:
    needed = [span for of_place in spans.values() for span in of_place]
    requests = joined(needed, count_max=registers_max, gap_max=GAP_MAX)
    scales = [
        scale
        for place, of_place in spans.items()
        if not any(all(_holds(request, span) for span in of_place) for request in requests)
        for scale in _scales_among(place, of_place)
    ]
    requests.sort(key=lambda request: any(_holds(request, scale) for scale in scales))
    return _Round(tuple(spans), tuple(requests), tuple(scales))


def _scales_among(place: Place, spans: Sequence[Span]) -> list[Span]:
    fields = (place.field(name) for name in place.layout.fields)
    factors = {place.span(field) for field in fields if field and field.type == "sunssf"}
    return sorted(factors.intersection(spans))


def _holds(request: Span, span: Span) -> bool:
    return request.start <= span.start and span.end <= request.end
