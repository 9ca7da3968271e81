"""SunSpec devices without a socket: register images, and a client that reads them."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from modbus_field import PlainBank
from sunspec2.device import Model as PeerModel  # type: ignore[import-untyped]  # it has no types

from adapters import DeviceError
from adapters.modbus._client import Write
from adapters.modbus._spans import Answer, Image, Refusal, Span, Table
from adapters.sunspec._discovery import Chain, find_chain
from adapters.sunspec._mapping import Models
from adapters.sunspec._model import Model

MARK = (0x5375, 0x6E53)
END = (0xFFFF, 0)

Points = Mapping[str, object]


def chain_registers(models: Mapping[int, Points], end: Sequence[int] = END) -> list[int]:
    """The registers of a device with these raw points, as pysunspec2 encodes them."""
    registers = list(MARK)
    for model_id, points in models.items():
        model = PeerModel(model_id, data={"ID": model_id, "NPrt": 0, "NStr": 0, **points})
        model.points["L"].value = len(model.get_mb()) // 2 - 2
        data = model.get_mb()
        registers += struct.unpack(f">{len(data) // 2}H", data)
    return registers + list(end)


def chain_bank(
    models: Mapping[int, Points], *, base: int = 40000, end: Sequence[int] = END
) -> PlainBank:
    """The same as a device's holding registers."""
    return PlainBank(holding=dict(enumerate(chain_registers(models, end), base)))


class MemoryClient:
    """Stands in for a connection: requests go to a bank at once."""

    def __init__(self, bank: Any) -> None:
        self._bank = bank
        self.requests: list[Span] = []

    async def ask(self, spans: Sequence[Span]) -> Image:
        """Read."""
        self.requests += spans
        return Image(spans, [self._answer(span) for span in spans])

    async def read(self, spans: Sequence[Span]) -> Image:
        """Read, as `ModbusClient` does."""
        image = await self.ask(spans)
        if image.refusal is not None:
            raise DeviceError(str(image.refusal))
        return image

    async def write(self, writes: Sequence[Write]) -> None:
        """Write, as `ModbusClient` does."""
        for write in writes:
            if not self._bank.write(write.start, write.registers):
                raise DeviceError(str(Refusal(2)))

    def _answer(self, span: Span) -> Answer:
        items = self._bank.read(str(span.table), span.start, span.count)
        return Refusal(2) if items is None else tuple(items)


async def chain_of(bank: Any, bases: Sequence[int] = (40000,)) -> Chain:
    """What is found in a bank."""
    client = MemoryClient(bank)

    async def read(start: int, count: int) -> Answer:
        span = Span(Table.HOLDING, start, count)
        return (await client.ask([span])).at(span)

    return await find_chain(read, bases)


async def models_of(bank: Any) -> Models:
    """The models of a bank, wholly read."""
    models = {}
    for place in await chain_of(bank):
        span = Span(Table.HOLDING, place.address, place.length + 2)
        models[place.model_id] = Model(place, await MemoryClient(bank).read([span]))
    return models
