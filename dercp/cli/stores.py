"""Opens what a headend keeps: everything in its data directory, or a Postgres behind its log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec
import structlog
import trio

from dercp.cli.exits import CommandError, Exit
from dercp.headend.history.draining import Drain
from dercp.headend.history.projection import Projection
from dercp.store.errors import StoreAway
from dercp.store.records import Purpose
from dercp.store.sqlite import (
    FILE_NAME,
    HISTORY_NAME,
    open_history,
    open_sqlite,
    purpose_of_history,
    purpose_of_sqlite,
    wipe_history,
    wipe_sqlite,
)

if TYPE_CHECKING:
    from dercp.cli.signals import StopRequest
    from dercp.headend.settings import HeadendSettings
    from dercp.store.ports import DrainableHistory, Store

T = TypeVar("T")

log = structlog.get_logger()

RESET_VARIABLE = "RESET_DB"
# A database that is started together with the headend is there by then.
START_WITHIN_S = 60.0
RETRY_EVERY_S = 1.0


class Demand(StrEnum):
    """What may be asked of a store that is there."""

    RESET = "reset"
    """Wipe it, if it was made for development; else nothing begins."""
    DEVELOPMENT = "development"
    """It was made for development; else nothing begins."""


class StorePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Where a headend keeps what it must not forget.

    Attributes:
        data_dir: Of the embedded store; with a `url` of the ingest log alone.
        url: postgresql://...; it holds a password and is never shown. None: no Postgres.
        purpose: What is not there yet is made for this.
        demands: What else is asked before it is opened.
    """

    data_dir: Path
    url: str | None = None
    purpose: Purpose = Purpose.PRODUCTION
    demands: frozenset[Demand] = frozenset()

    def __repr__(self) -> str:
        """Without the password."""
        kept_in = "data_dir" if self.url is None else "postgres"
        return f"StorePlan({str(self.data_dir)!r}, {kept_in}, {self.purpose})"


class Stores(NamedTuple):
    """An opened plan, as `open_headend` takes it."""

    store: Store
    log: DrainableHistory
    drain: Drain | None


class _Place(NamedTuple):
    """A file or database that the plan uses."""

    name: str
    purpose: Callable[[], Awaitable[Purpose | None]]
    wipe: Callable[[], Awaitable[None]]


def reset_demand(environment: Mapping[str, str]) -> frozenset[Demand]:
    """Whether the environment wants the store wiped and made anew.

    Raises:
        CommandError: The variable says neither yes nor no.
    """
    word = environment.get(RESET_VARIABLE, "")
    if word not in {"", "0", "1"}:
        raise CommandError(
            f"{RESET_VARIABLE}={word}: expected 1 (wipe the store and make it anew) or 0",
            code=Exit.CONFIG,
        )
    return frozenset({Demand.RESET} if word == "1" else ())


async def _see_development(plan: StorePlan, stop: StopRequest) -> None:
    for name in await _made_for_production(plan, stop):
        raise CommandError(
            f"--development: {name} is there already, not made for development; it stays so",
            "leave the option out, or name another place",
            code=Exit.CONFIG,
        )


async def _reset(plan: StorePlan, stop: StopRequest) -> None:
    """Wipe everything the plan names; nothing of it if one part was not made for development."""
    for name in await _made_for_production(plan, stop):
        raise CommandError(
            f"{RESET_VARIABLE}=1 is refused: {name} was not made for development",
            f"unset {RESET_VARIABLE}; a store that may be reset is made by "
            "dercp headend --development",
            code=Exit.CONFIG,
        )
    for place in _places(plan):
        if await _patiently(place.purpose, stop) is not None:
            await place.wipe()
            log.warning("store_wiped", place=place.name)


async def _made_for_production(plan: StorePlan, stop: StopRequest) -> list[str]:
    return [
        place.name
        for place in _places(plan)
        if await _patiently(place.purpose, stop) is Purpose.PRODUCTION
    ]


def _places(plan: StorePlan) -> list[_Place]:
    directory, in_thread = plan.data_dir, trio.to_thread.run_sync
    history = _Place(
        str(directory / HISTORY_NAME),
        partial(in_thread, purpose_of_history, directory),
        partial(in_thread, wipe_history, directory),
    )
    if plan.url is None:
        store = _Place(
            str(directory / FILE_NAME),
            partial(in_thread, purpose_of_sqlite, directory),
            partial(in_thread, wipe_sqlite, directory),
        )
        return [store, history]
    from dercp.store.postgres import place_of, purpose_of_postgres, wipe_postgres

    server = _Place(
        place_of(plan.url),
        partial(purpose_of_postgres, plan.url),
        partial(wipe_postgres, plan.url),
    )
    return [server, history]


@asynccontextmanager
async def open_stores(
    plan: StorePlan, settings: HeadendSettings, stop: StopRequest
) -> AsyncIterator[Stores]:
    """Open it all for the length of the block.

    A Postgres that is away is waited for, for a bounded time.

    Raises:
        CommandError: It stayed away, a signal said stop, or a demand is not met.
        StoreError: Something cannot be used.
    """
    if Demand.RESET in plan.demands:
        await _reset(plan, stop)
    if Demand.DEVELOPMENT in plan.demands:
        await _see_development(plan, stop)
    async with AsyncExitStack() as opened:
        if plan.url is None:
            store = await opened.enter_async_context(
                open_sqlite(plan.data_dir, purpose=plan.purpose)
            )
            history = await opened.enter_async_context(
                open_history(plan.data_dir, purpose=plan.purpose)
            )
            yield Stores(store, history, None)
            return
        from dercp.store.postgres import open_postgres

        projection, url = Projection(settings), plan.url
        server = await _patiently(
            lambda: opened.enter_async_context(
                open_postgres(url, rows_of=projection, purpose=plan.purpose)
            ),
            stop,
        )
        buffer = await opened.enter_async_context(
            open_history(plan.data_dir, destination=server.identity, purpose=plan.purpose)
        )
        yield Stores(server, buffer, Drain(buffer, server.history))


async def _patiently(ask: Callable[[], Awaitable[T]], stop: StopRequest) -> T:
    """What is answered, asked again for a while if the server is away.

    Raises:
        CommandError: It stayed away, or a signal said stop.
    """
    give_up_at = trio.current_time() + START_WITHIN_S
    while True:
        try:
            return await ask()
        except StoreAway as error:
            left_s = give_up_at - trio.current_time()
            if left_s <= 0:
                raise CommandError(
                    str(error), f"gave up after {START_WITHIN_S:g} s", code=Exit.UNAVAILABLE
                ) from error
            log.warning("store_awaited", why=str(error), gives_up_in_s=round(left_s))
        with trio.move_on_after(min(RETRY_EVERY_S, left_s)):
            name = await stop.wait()
            raise CommandError(f"{name} came while the store was awaited", code=Exit.INTERRUPTED)
