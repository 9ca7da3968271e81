"""Troubles on order: a device that is slow, fails at times, or goes away for a while."""

import trio

from adapters import DeviceError
from sim.options import SimulatedOptions
from sim.seeded import seeded

__all__ = ["Faults"]


class Faults:
    """Decides for each exchange with a device how long it takes and whether it succeeds.

    As the options say; the same seed and asset id fail the same exchanges.
    """

    def __init__(self, asset_id: str, options: SimulatedOptions) -> None:
        self._asset_id = asset_id
        self._options = options
        self._draw = seeded(options.seed, asset_id, "faults")
        self._exchanges = 0

    async def exchange(self) -> None:
        """Wait as long as the device takes.

        Raises:
            DeviceError: This exchange was chosen to fail.
        """
        options = self._options
        await trio.sleep(options.latency_s)
        self._exchanges += 1
        if options.fail_every and self._exchanges % options.fail_every == 0:
            raise self._error(f"exchange {self._exchanges} failed, as each {options.fail_every}th")
        if options.fail_probability and self._draw.random() < options.fail_probability:
            raise self._error(f"exchange {self._exchanges} failed by chance")

    def check_reachable(self, site_time_s: float) -> None:
        """Refuse while an outage lasts; the first begins `outage_every_s` after the start.

        Raises:
            DeviceError: The device is away, for the rest of the outage.
        """
        options = self._options
        left_s = _left_s(site_time_s, options.outage_every_s, options.outage_for_s)
        if left_s > 0:
            raise self._error(f"away for another {left_s:.1f} s")

    def is_local(self, site_time_s: float) -> bool:
        """Whether its switch stands on local control."""
        options = self._options
        return _left_s(site_time_s, options.local_every_s, options.local_for_s) > 0

    def check_remote(self, site_time_s: float) -> None:
        """Refuse setpoints under local control.

        Raises:
            DeviceError: Somebody at the site has turned the switch.
        """
        if self.is_local(site_time_s):
            raise self._error("under local control")

    def _error(self, what: str) -> DeviceError:
        return DeviceError(f"{self._asset_id}: {what} (a fault ordered in its options)")


def _left_s(site_time_s: float, every_s: float, for_s: float) -> float:
    """How much is left of what comes that often and takes so long; the first time after once."""
    if not every_s:
        return 0.0
    times, into_s = divmod(site_time_s, every_s)
    return max(0.0, for_s - into_s) if times else 0.0
