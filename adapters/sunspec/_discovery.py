"""Finds the models of a device: the base address, then the chain from model to model."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from adapters import DeviceError
from adapters.modbus._spans import Answer, Refusal
from adapters.sunspec._layout import HEADER, layout_of
from adapters.sunspec._model import Place

__all__ = ["Chain", "Read", "find_chain"]

Read: TypeAlias = Callable[[int, int], Awaitable[Answer]]
"""Reads so many holding registers from an address on."""

Chain: TypeAlias = tuple[Place, ...]
"""The known models of a device in the order of their addresses."""

MARK: Final = (0x5375, 0x6E53)  # "SunS"
END: Final = 0xFFFF
MODELS_MAX: Final = 100
ADDRESS_MAX: Final = 0xFFFF


async def find_chain(read: Read, bases: Sequence[int]) -> Chain:
    """The models after the first mark that stands at one of these addresses.

    Models that SunSpec does not define (a vendor's own) are passed over.

    Raises:
        DeviceError: There is no mark, or the chain does not end as it must.
    """
    seen = []
    for base in bases:
        match await read(base, len(MARK)):
            case Refusal() as refusal:
                seen.append(f"{base} ({refusal})")
            case registers if registers == MARK:
                return await _follow(read, base + len(MARK))
            case registers:
                seen.append(f"{base} ({registers[0]:#06x} {registers[1]:#06x})")
    raise DeviceError(f'no SunSpec device: "SunS" does not stand at {", ".join(seen)}')


async def _follow(read: Read, address: int) -> Chain:
    chain: list[Place] = []
    for _ in range(MODELS_MAX):
        model_id, length = await _header(read, address)
        if model_id == END:
            return tuple(chain)
        layout = layout_of(model_id)
        if layout is not None:
            chain.append(Place(layout, address, length))
        address += HEADER + length
        if address > ADDRESS_MAX:
            break
    raise DeviceError(
        f"the chain of SunSpec models has no end (within {MODELS_MAX} models and "
        f"{ADDRESS_MAX} registers)"
    )


async def _header(read: Read, address: int) -> tuple[int, int]:
    """The id and length of the model at this address."""
    header = await read(address, HEADER)
    if isinstance(header, Refusal):
        # Some devices end right after the end model's id: its length cannot be read.
        header = await read(address, 1)
        if header == (END,):
            return END, 0
        raise DeviceError(f"the chain of SunSpec models breaks off at register {address}")
    return header[0], header[1]
