"""Runs the servers of virtual devices as supervised services."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn

import msgspec
import structlog
import trio

from actors import (
    Actor,
    Backoff,
    ChildSpec,
    Context,
    Crashed,
    Event,
    MailboxSpec,
    OnFull,
    Restart,
    open_system,
)

__all__ = ["Endpoint", "Station", "StationsDown", "open_stations"]

START_WITHIN_S: Final = 30.0
STOP_WITHIN_S: Final = 5.0
# One that cannot live must not take the others along, so nothing reaches the limit.
_PATIENT: Final = Restart(
    limit=1_000_000, within_s=60.0, backoff=Backoff(first_s=1.0, max_s=10.0, reset_after_s=5.0)
)

log = structlog.get_logger()


class StationsDown(Exception):
    """Some stations did not come up in time; the text says which."""


class Endpoint(msgspec.Struct, frozen=True):
    """Where an asset's device is to be found, as people are told."""

    asset_id: str
    protocol: str
    address: str
    place: str


class Station:
    """A server in the field, with the devices behind it.

    Attributes:
        name: Its name in the logs.
        serve: Serves until cancelled, and says when it has started. What stands behind it is
            made before, so that a machine outlives its server.
        endpoints: Those of its devices.
        listening: Set once it has started for the first time.
    """

    def __init__(
        self,
        name: str,
        serve: Callable[[trio.TaskStatus[Any]], Awaitable[None]],
        endpoints: Sequence[Endpoint] = (),
    ) -> None:
        self.name = name
        self.serve = serve
        self.endpoints = tuple(endpoints)
        self.listening = trio.Event()


class _Told:
    """Hears that a station has started; each of its incarnations may say so."""

    def __init__(self, event: trio.Event) -> None:
        self._event = event

    def started(self, _value: Any = None) -> None:
        self._event.set()


class _StationActor(Actor[NoReturn]):
    def __init__(self, station: Station) -> None:
        self._station = station

    async def run(self, context: Context[NoReturn]) -> None:
        await self._station.serve(_Told(self._station.listening))


@asynccontextmanager
async def open_stations(stations: Sequence[Station]) -> AsyncIterator[None]:
    """Run these beside the block, each one started when those before it are.

    Raises:
        StationsDown: One did not start in time.
    """
    async with open_system("field", restart=_PATIENT, grace_s=STOP_WITHIN_S) as system:
        system.events.listen(_note)
        with trio.move_on_after(START_WITHIN_S) as scope:
            for station in stations:
                await system.root.start(_spec(station))
                await station.listening.wait()
        if scope.cancelled_caught:
            down = ", ".join(each.name for each in stations if not each.listening.is_set())
            raise StationsDown(f"virtual devices did not start within {START_WITHIN_S:g} s: {down}")
        yield


def _spec(station: Station) -> ChildSpec[NoReturn]:
    return ChildSpec(
        name=station.name,
        factory=lambda: _StationActor(station),
        # Nobody writes to it: it listens to its clients.
        mailbox=MailboxSpec(capacity=1, on_full=OnFull.REJECT),
        # It is cancelled, and does not watch for its end.
        grace_s=0,
    )


def _note(event: Event) -> None:
    match event:
        case Crashed(path=path, error=error):
            log.warning("field_station_down", path=path, error=_told_of(error))
        case _:
            pass


def _told_of(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or repr(error)
