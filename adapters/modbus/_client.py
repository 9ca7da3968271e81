"""Talks Modbus over TCP through pymodbus: reads spans, writes registers, and nothing more."""

import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any, TypeVar, TypeVarTuple, assert_never

import msgspec
import trio
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerType

from adapters import DeviceError
from adapters._bridge import Bridge, open_bridge
from adapters.modbus._spans import Answer, Image, Refusal, Span, Table

__all__ = ["Endpoint", "Framing", "ModbusClient", "Write", "open_modbus"]

# It logs each lost answer with the frames before it, byte by byte. Ours say more, and once.
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Framing(StrEnum):
    """How messages are framed on the TCP connection."""

    TCP = "tcp"
    RTU = "rtu"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a device is, and how long it may take to answer one request."""

    host: str
    port: int = 502
    unit_id: int = 1
    framing: Framing = Framing.TCP
    timeout_s: float = 2.0

    def __str__(self) -> str:
        return f"{self.host}:{self.port} unit {self.unit_id}"


class Write(msgspec.Struct, frozen=True):
    """Holding registers from `start` on, written in one request."""

    start: int
    registers: tuple[int, ...]


class ModbusClient:
    """One open connection.

    Characteristics:
        Bound: one request on its way; callers wait in order, and bound that time themselves.
        Retries: none. A write that is sent twice is an order given twice.
        Failure: after a request without its answer (lost, late, cancelled) the connection is
            no longer used: a late answer must not be taken for that of the next question.
    """

    def __init__(self, bridge: Bridge, client: AsyncModbusTcpClient, endpoint: Endpoint) -> None:
        self._bridge = bridge
        self._client = client
        self._endpoint = endpoint
        self._turn = trio.Lock()
        self._is_whole = True

    async def ask(self, spans: Sequence[Span]) -> Image:
        """Ask for these spans, one request each, in this order; any may be refused.

        Raises:
            DeviceError: No answer, or a nonsensical one.
        """
        unit_id = self._endpoint.unit_id
        return Image(spans, await self._exchange(_read_all, self._client, unit_id, spans))

    async def read(self, spans: Sequence[Span]) -> Image:
        """Ask for these spans, as `ask` does.

        Raises:
            DeviceError: No answer, a nonsensical one, exceptions only, or a gateway's.
        """
        image = await self.ask(spans)
        if image.refusal is not None:
            raise DeviceError(f"{self._endpoint}: answered {image.refusal}")
        return image

    async def write(self, writes: Sequence[Write]) -> None:
        """Write these, one request each, in this order; the first refusal ends it.

        Raises:
            DeviceError: No answer, or an exception.
        """
        unit_id = self._endpoint.unit_id
        refusal = await self._exchange(_write_all, self._client, unit_id, writes)
        if refusal is not None:
            raise DeviceError(f"{self._endpoint}: a write was answered with {refusal}")

    async def _exchange(self, work: Callable[[*Ts], Coroutine[Any, Any, T]], *args: *Ts) -> T:
        async with self._turn:
            if not (self._is_whole and self._client.connected):
                raise DeviceError(f"{self._endpoint}: the connection was lost")
            self._is_whole = False
            try:
                result = await self._bridge.run(work, *args)
            except (ModbusException, OSError, ValueError) as error:
                raise DeviceError(f"{self._endpoint}: {_sentence(error, self._endpoint)}") from None
            self._is_whole = True
            return result


@asynccontextmanager
async def open_modbus(endpoint: Endpoint, device: str) -> AsyncIterator[ModbusClient]:
    """Connect; leaving the block closes the connection.

    Args:
        endpoint: Where to.
        device: Who it is, for the log.

    Raises:
        DeviceError: From entering, when nobody takes the connection.
    """
    async with open_bridge(device) as bridge:
        client = await bridge.run(_connect, endpoint)
        try:
            yield ModbusClient(bridge, client, endpoint)
        finally:
            client.close()


def _sentence(error: Exception, endpoint: Endpoint) -> str:
    if isinstance(error, ModbusException) and "No response" in str(error):
        return f"no answer within {endpoint.timeout_s:g} s"
    return str(error).removeprefix("Modbus Error: ")


# --- from here on asyncio's world


async def _connect(endpoint: Endpoint) -> AsyncModbusTcpClient:
    client = AsyncModbusTcpClient(
        endpoint.host,
        port=endpoint.port,
        framer=FramerType.SOCKET if endpoint.framing is Framing.TCP else FramerType.RTU,
        timeout=endpoint.timeout_s,
        retries=0,
        # The edge opens a device again, with a backoff of its own.
        reconnect_delay=0,
    )
    is_open = False
    try:
        is_open = await client.connect()
    finally:
        if not is_open:  # or cancelled
            client.close()
    if not is_open:
        raise DeviceError(f"{endpoint}: no connection within {endpoint.timeout_s:g} s")
    return client


async def _read_all(
    client: AsyncModbusTcpClient, unit_id: int, spans: Sequence[Span]
) -> list[Answer]:
    answers: list[Answer] = []
    for span in spans:
        answer = await _read(client, unit_id, span)
        if isinstance(answer, Refusal) and answer.is_of_gateway:
            return [answer] * len(spans)
        answers.append(answer)
    return answers


async def _read(client: AsyncModbusTcpClient, unit_id: int, span: Span) -> Answer:
    start, count = span.start, span.count
    match span.table:
        case Table.HOLDING:
            pdu = await client.read_holding_registers(start, count=count, device_id=unit_id)
        case Table.INPUT:
            pdu = await client.read_input_registers(start, count=count, device_id=unit_id)
        case Table.COIL:
            pdu = await client.read_coils(start, count=count, device_id=unit_id)
        case Table.DISCRETE:
            pdu = await client.read_discrete_inputs(start, count=count, device_id=unit_id)
        case _:
            assert_never(span.table)
    if pdu.isError():
        return Refusal(pdu.exception_code)
    # Bits come in whole bytes.
    items = pdu.bits[:count] if span.table.holds_bits else pdu.registers
    if len(items) != count:
        raise ValueError(f"asked for {count} from {span.table} {start}, got {len(items)}")
    return tuple(int(item) for item in items)


async def _write_all(
    client: AsyncModbusTcpClient, unit_id: int, writes: Sequence[Write]
) -> Refusal | None:
    for write in writes:
        pdu = await client.write_registers(write.start, list(write.registers), device_id=unit_id)
        if pdu.isError():
            return Refusal(pdu.exception_code)
    return None
