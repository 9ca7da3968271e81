"""The actor that notices when the people at the site lock an asset."""

from collections.abc import Mapping
from typing import Final, NoReturn

import structlog
import trio

from actors import Actor, ActorStopped, Context, MailboxFull, Ref
from dercp.edge.asset.device import DeviceMessage, Lockout
from dercp.edge.asset.lockout import LockoutError, LockoutFile, Lockouts

__all__ = ["LockoutWatch", "locks_now"]

LOOKS_EVERY_S: Final = 0.5


def locks_now(file: LockoutFile | None) -> Lockouts:
    """The locks at the start of an agent; while they cannot be read, everything is locked."""
    if file is None:
        return Lockouts()
    try:
        return file.read()
    except LockoutError as error:
        return Lockouts(all_locked=str(error))


class LockoutWatch(Actor[NoReturn]):
    """Looks at the file of locks twice a second, and tells each asset what has changed.

    While the file cannot be read, what was known stands. A device that has no room for the
    news hears it half a second later.
    """

    def __init__(
        self,
        file: LockoutFile,
        known: Lockouts,
        devices: Mapping[str, Ref[DeviceMessage]],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._file = file
        self._lockouts = known
        self._devices = devices
        self._told = {asset_id: known.of(asset_id) for asset_id in devices}
        self._log = log

    async def run(self, context: Context[NoReturn]) -> None:
        """Until told to end."""
        # Never equal to a stamp: the first look reads.
        seen: object = self
        while not context.is_ending:
            # The inode of a file looked at twice a second is in memory: no thread for 2 us.
            stamp = self._file.stamp()
            if stamp != seen and self._read():
                seen = stamp
            self._tell()
            with trio.move_on_after(LOOKS_EVERY_S):
                await context.wait_ending()

    def _read(self) -> bool:
        try:
            self._lockouts = self._file.read()
        except LockoutError as error:
            self._log.error("locks_unreadable", why=str(error))
            return False
        if self._lockouts.all_locked:
            self._log.error("all_assets_locked", why=self._lockouts.all_locked)
        return True

    def _tell(self) -> None:
        for asset_id, device in self._devices.items():
            reason = self._lockouts.of(asset_id)
            if reason == self._told[asset_id]:
                continue
            try:
                device.tell_nowait(Lockout(reason))
            except (MailboxFull, ActorStopped):
                continue
            self._told[asset_id] = reason
