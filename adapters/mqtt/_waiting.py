"""Waits until a device says that it does what it was told."""

from collections.abc import Callable

import trio

from adapters.mqtt._link import Link, Sink
from dercp.model.asset import AssetSpec
from dercp.model.guardrail import readback_agrees

__all__ = ["confirmed"]


async def confirmed(
    asked_mw: float,
    state_mw: Callable[[], float | None],
    sink: Sink,
    link: Link,
    within_s: float,
    asset: AssetSpec,
) -> float | None:
    """What is in force, as soon as that is what was asked; else the last word within the time.

    A device that speaks every second may first repeat what was in force before.

    Args:
        asked_mw: What was asked.
        state_mw: What the device has said since; None = nothing.
        sink: Where it says it.
        link: Whose end ends the waiting.
        within_s: How long to wait.
        asset: By whose size agreement is judged.

    Raises:
        DeviceError: The connection ended meanwhile.
    """
    with trio.move_on_after(within_s):
        while True:
            link.check()
            found_mw = state_mw()
            if found_mw is not None and readback_agrees(asked_mw, found_mw, asset.nameplate_mw):
                return found_mw
            await sink.wait_news()
    return state_mw()
