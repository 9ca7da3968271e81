"""A Modbus server for virtual devices, with the troubles of real ones on order.

It stands on Trio's sockets alone, and so shares no code with the client under test. (The
server of pymodbus 3.16 may answer a slow request with the data of the newest one.)
"""

import struct
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Final, NoReturn, Protocol

import msgspec
import trio

from sim.seeded import seeded

__all__ = ["Bank", "Fault", "FieldFaults", "serve_modbus"]

# Function codes, by which a request is read (Modbus application protocol 1.1b3).
_READS: Final = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
_WRITE_ONE: Final = 6
_WRITE_MANY: Final = 16
_BITS: Final = frozenset({1, 2})
_ILLEGAL_FUNCTION: Final = 1
_ILLEGAL_ADDRESS: Final = 2
_MBAP: Final = struct.Struct(">HHHB")
_PDU_BYTES_MAX: Final = 253
_GARBAGE_BYTES: Final = 300


class Bank(Protocol):
    """The tables of a virtual device."""

    def read(self, table: str, start: int, count: int) -> Sequence[int] | None:
        """The items from this address on; None where there are none."""
        ...

    def write(self, start: int, registers: Sequence[int]) -> bool:
        """Write holding registers; False where there are none to write."""
        ...


class Fault(StrEnum):
    """What can be wrong with a device, or with the way to it."""

    NONE = "none"
    SWAPPED = "swapped"  # the bytes of each register the wrong way round
    EXCEPTION = "exception"
    FROZEN = "frozen"  # the answers of the moment when it froze
    SLOW = "slow"
    SILENT = "silent"
    RESET = "reset"
    GARBAGE = "garbage"


class FieldFaults:
    """What is wrong with one device now; a test, or a demo, sets it.

    Attributes:
        now: The fault.
        exception: The code that it answers with under `EXCEPTION`.
        slow_s: How late it answers under `SLOW`.
    """

    def __init__(self, *, exception: int = 4, slow_s: float = 0.2) -> None:
        self.now = Fault.NONE
        self.exception = exception
        self.slow_s = slow_s
        self.requests = 0
        self._frozen: dict[tuple[str, int, int], Sequence[int] | None] = {}
        self._draw = seeded(0, "field", "garbage")

    def seen(self, bank: Bank, table: str, start: int, count: int) -> Sequence[int] | None:
        """What is read of the device as far as the fault lets it through."""
        if self.now is not Fault.FROZEN:
            self._frozen.clear()
        key = (table, start, count)
        if key in self._frozen:
            return self._frozen[key]
        items = bank.read(table, start, count)
        if self.now is Fault.FROZEN:
            self._frozen[key] = items
        if self.now is Fault.SWAPPED and items is not None:
            return [(item & 0xFF) << 8 | item >> 8 for item in items]
        return items

    def garbage(self) -> bytes:
        """Bytes without a meaning."""
        return self._draw.randbytes(_GARBAGE_BYTES)


class _Request(msgspec.Struct, frozen=True):
    unit_id: int
    pdu: bytes
    # Puts an answer to it into a frame.
    framed: Callable[[bytes], bytes]


async def serve_modbus(
    bank: Bank,
    faults: FieldFaults,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    rtu: bool = False,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Serve the device to whoever connects, on every unit id; tells the port once it listens."""

    async def serve(stream: trio.SocketStream) -> None:
        # A client may go at any moment.
        try:
            await _serve(stream, bank, faults, _read_rtu if rtu else _read_tcp)
        except (trio.BrokenResourceError, trio.ClosedResourceError, _GoneError):
            return

    listeners = await trio.open_tcp_listeners(port, host=host)
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, serve, listeners)
        task_status.started(listeners[0].socket.getsockname()[1])
        await trio.sleep_forever()
    raise AssertionError


class _GoneError(Exception):
    """The client closed the connection."""


async def _serve(
    stream: trio.SocketStream,
    bank: Bank,
    faults: FieldFaults,
    read_request: Callable[["_Receiver"], Awaitable[_Request]],
) -> None:
    receiver = _Receiver(stream)
    async with stream:
        while True:
            request = await read_request(receiver)
            faults.requests += 1
            match faults.now:
                case Fault.SILENT:
                    continue
                case Fault.RESET:
                    _reset(stream)
                    return
                case Fault.GARBAGE:
                    await stream.send_all(faults.garbage())
                    continue
                case Fault.SLOW:
                    await trio.sleep(faults.slow_s)
            await stream.send_all(request.framed(_answer(request.pdu, bank, faults)))


def _answer(pdu: bytes, bank: Bank, faults: FieldFaults) -> bytes:
    code = pdu[0]
    if faults.now is Fault.EXCEPTION:
        return bytes((code | 0x80, faults.exception))
    if code in _READS:
        start, count = struct.unpack(">HH", pdu[1:5])
        items = faults.seen(bank, _READS[code], start, count)
        if items is None:
            return bytes((code | 0x80, _ILLEGAL_ADDRESS))
        data = _packed(items) if code in _BITS else struct.pack(f">{count}H", *items)
        return bytes((code, len(data))) + data
    if code in {_WRITE_ONE, _WRITE_MANY}:
        start = int.from_bytes(pdu[1:3], "big")
        values = pdu[3:5] if code == _WRITE_ONE else pdu[6:]
        registers = struct.unpack(f">{len(values) // 2}H", values)
        taken = bank.write(start, registers)
        return pdu[:5] if taken else bytes((code | 0x80, _ILLEGAL_ADDRESS))
    return bytes((code | 0x80, _ILLEGAL_FUNCTION))


def _packed(bits: Sequence[int]) -> bytes:
    """Eight bits a byte, the first one lowest."""
    total = sum(bool(bit) << place for place, bit in enumerate(bits))
    return total.to_bytes((len(bits) + 7) // 8, "little")


def _reset(stream: trio.SocketStream) -> None:
    """Let the closing of the connection be a reset."""
    linger = struct.pack("ii", 1, 0)
    stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, linger)


class _Receiver:
    """Takes bytes off a stream in the pieces that are asked for."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._held = bytearray()

    async def exactly(self, count: int) -> bytes:
        """So many bytes.

        Raises:
            _GoneError: The client closed the connection before.
        """
        while len(self._held) < count:
            data = await self._stream.receive_some()
            if not data:
                raise _GoneError
            self._held += data
        piece = bytes(self._held[:count])
        del self._held[:count]
        return piece


async def _read_tcp(receiver: _Receiver) -> _Request:
    transaction, protocol, length, unit_id = _MBAP.unpack(await receiver.exactly(_MBAP.size))
    if not 1 < length <= _PDU_BYTES_MAX + 1:
        raise _GoneError
    pdu = await receiver.exactly(length - 1)

    def framed(answer: bytes) -> bytes:
        return _MBAP.pack(transaction, protocol, len(answer) + 1, unit_id) + answer

    return _Request(unit_id, pdu, framed)


async def _read_rtu(receiver: _Receiver) -> _Request:
    head = await receiver.exactly(6)
    rest = b""
    if head[1] == _WRITE_MANY:
        count = await receiver.exactly(1)
        rest = count + await receiver.exactly(count[0])
    await receiver.exactly(2)  # the checksum: this way comes over TCP, which has its own

    def framed(answer: bytes) -> bytes:
        frame = head[:1] + answer
        return frame + _crc(frame).to_bytes(2, "little")

    return _Request(head[0], head[1:] + rest, framed)


def _crc(data: bytes) -> int:
    """CRC-16/MODBUS."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc
