"""The `mqtt` adapter: opens devices behind brokers."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ClassVar

from adapters import Device, DeviceError
from adapters.mqtt._json_device import open_json
from adapters.mqtt._options import MqttOptions
from adapters.mqtt._sharing import joined
from adapters.mqtt._sparkplug_device import open_sparkplug
from dercp.model.asset import AssetSpec

__all__ = ["MqttAdapter"]


def _wall_clock_us() -> int:
    return time.time_ns() // 1000


class MqttAdapter:
    """Opens devices behind MQTT brokers. Those behind the same one share its connection."""

    options: ClassVar[type[MqttOptions]] = MqttOptions

    def __init__(self, clock_us: Callable[[], int] = _wall_clock_us) -> None:
        self._clock_us = clock_us

    @asynccontextmanager
    async def open(self, asset: AssetSpec, options: MqttOptions) -> AsyncIterator[Device]:
        """Join the broker's connection and listen to the device; it need not have said anything.

        Raises:
            DeviceError: The broker is away, refuses us, or a point is mapped that the asset
                has not.
        """
        _check_points(asset, options)
        sparkplug = options.sparkplug
        host_id = None if sparkplug is None else sparkplug.host_id
        async with joined(options.broker, host_id, self._clock_us) as session:
            if options.json is not None:
                async with open_json(asset, options.json, session, self._clock_us) as device:
                    yield device
            elif sparkplug is not None:
                async with open_sparkplug(asset, sparkplug, session, self._clock_us) as metrics:
                    yield metrics


def _check_points(asset: AssetSpec, options: MqttOptions) -> None:
    protocol = options.json or options.sparkplug
    names = {point.name for point in asset.points}
    for index, point in enumerate(() if protocol is None else protocol.points):
        if point.point not in names:
            way = "json" if options.json is not None else "sparkplug"
            raise DeviceError(
                f"{asset.asset_id}: options.{way}.points[{index}].point: the asset has no point "
                f'"{point.point}"; add it to its points or custom_points'
            )
