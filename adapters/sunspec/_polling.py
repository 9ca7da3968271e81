"""Reads what is needed of a device's models, in few requests and without a tear."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import trio

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
    """

    def __init__(
        self,
        client: ModbusClient,
        chain: Chain,
        names: Mapping[int, Iterable[str]],
        registers_max: int,
    ) -> None:
        places = first_of_each(chain)
        self.client = client
        self._spans = {
            place: tuple(place.spans(names[model_id]))
            for model_id, place in places.items()
            if model_id in names
        }
        self._registers_max = registers_max
        self._slow: dict[int, Model] = {}
        self._slow_due_s = 0.0
        self._scales: dict[Span, Answer] = {}

    async def poll(self) -> Models:
        """The models as they are now; ratings as they were within the last minute.

        Raises:
            DeviceError: The device did not answer, or is another one than before.
        """
        now_s = trio.current_time()
        if now_s >= self._slow_due_s:
            self._slow = await self._read(place for place in self._spans if _is_slow(place))
            self._slow_due_s = now_s + SLOW_EVERY_S
        return self._slow | await self._read(p for p in self._spans if not _is_slow(p))

    async def _read(self, of: Iterable[Place]) -> dict[int, Model]:
        places = tuple(of)
        if not places:
            return {}
        spans = [span for place in places for span in self._spans[place]]
        requests = joined(spans, count_max=self._registers_max, gap_max=GAP_MAX)
        scales = [scale for place in places for scale in self._torn_scales(place, requests)]
        requests.sort(key=lambda request: any(_holds(request, scale) for scale in scales))
        for _ in range(READS_MAX):
            image = await self.client.read(requests)
            before = self._scales
            self._scales = before | {scale: image.at(scale) for scale in scales}
            if self._scales == before:
                break
        models = {place.model_id: Model(place, image) for place in places}
        for model in models.values():
            model.check_header()
        return models

    def _torn_scales(self, place: Place, requests: Sequence[Span]) -> list[Span]:
        """The scale factors of a model that no single request holds."""
        spans = self._spans[place]
        if any(all(_holds(request, span) for span in spans) for request in requests):
            return []
        fields = (place.field(name) for name in place.layout.fields)
        factors = {place.span(field) for field in fields if field and field.type == "sunssf"}
        return sorted(factors.intersection(spans))


def _is_slow(place: Place) -> bool:
    return place.model_id in SLOW


def _holds(request: Span, span: Span) -> bool:
    return request.start <= span.start and span.end <= request.end
