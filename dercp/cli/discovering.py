"""`dercp edge discover`: asks a device at an address who it is, for the site.toml to be written."""

import re
from typing import Final

import trio

from adapters import DeviceError
from dercp.cli.exits import CommandError, Exit

__all__ = ["discover_device"]

MODBUS_PORT: Final = 502
WITHIN_S: Final = 30.0

_ADDRESS = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.%]+)\]|(?P<host>[^\s:\[\]/]+))(?::(?P<port>\d{1,5}))?"
)


def discover_device(address: str, unit_id: int) -> str:
    """The section of a site.toml for the SunSpec device at this address.

    Raises:
        CommandError: It cannot be asked, does not answer, or is no SunSpec device.
    """
    host, port = _host_and_port(address)
    try:
        from adapters.sunspec import SunSpecOptions, describe
    except ImportError as error:
        raise CommandError(str(error), code=Exit.UNAVAILABLE) from None
    options = SunSpecOptions(host=host, port=port, unit_id=unit_id)

    async def ask() -> str:
        with trio.move_on_after(WITHIN_S):
            return await describe(options)
        raise DeviceError(f"{options.endpoint}: no answer within {WITHIN_S:g} s")

    try:
        return trio.run(ask)
    except DeviceError as error:
        raise CommandError(str(error), code=Exit.UNAVAILABLE) from None


def _host_and_port(address: str) -> tuple[str, int]:
    found = _ADDRESS.fullmatch(address)
    port = MODBUS_PORT if found is None or found["port"] is None else int(found["port"])
    if found is None or not 0 < port < 65536:
        raise CommandError(
            f'expected HOST or HOST:PORT, as "10.0.0.5:502", got "{address:.80}"', code=Exit.USAGE
        )
    return found["ipv6"] or found["host"], port
