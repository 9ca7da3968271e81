"""The one place where Trio meets asyncio: the loop, the connections, and who waits for them.

asyncpg lives on asyncio; everybody else here lives on Trio and hands in a piece of work: an
async function that is given a connection and awaits nothing but that connection (and
`breathe`). It runs as one asyncio task, so that no transaction is ever cut in half between
the two worlds.
"""

import asyncio  # noqa: TID251  # this is the bridge
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeAlias, TypeVar

import asyncpg
import msgspec
import structlog
import trio
import trio_asyncio  # type: ignore[import-untyped]  # it has no stubs

from dercp.model.backoff import full_jitter
from dercp.store.errors import StoreAway, StoreClosed
from dercp.store.postgres._errors import SAID_BY_DRIVER, judge, place_of

T = TypeVar("T")

Db: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
"""A connection, inside of a piece of work."""

Row: TypeAlias = asyncpg.Record
"""What a query gives: its values by number and by name of the column."""

Work: TypeAlias = Callable[[Db], Coroutine[Any, Any, T]]
"""A piece of work, in asyncio's world."""

log = structlog.get_logger()

_CLOSE_WITHIN_S = 2.0
_BACKOFF_FIRST_S = 0.2


class PostgresSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the server is used. Times bound what a hung server or network can cost."""

    connections_max: int = 8
    connect_within_s: float = 5.0
    # One statement; the server itself ends it.
    statement_s: float = 20.0
    # A whole piece of work, with connecting; then the connection is given up.
    answer_within_s: float = 30.0
    # While the server is away: at most one attempt to connect in a time that grows up to this.
    reconnect_max_s: float = 5.0


class Bridge:
    """Runs pieces of work on connections of its own, each for one at a time.

    Characteristics:
        Bound: `connections_max` pieces at work, the others wait in order.
        Time: none takes longer than `answer_within_s`, whatever server and network do.
        Cancellation: the connection is cut, so the server undoes what was not committed; the
            next piece gets a new one. Cut off during its commit, work is done wholly or not.
        Alone: whatever `hold` takes, on a connection of its own, is held before any work is
            done, and taken again when that connection was lost.
        Connection lost: whoever is at work is told `StoreAway`. Nothing is sent again by
            itself. While the server is away callers are told at once, without a new attempt
            each.
    """

    def __init__(
        self,
        loop: Any,
        url: str,
        place: str,
        settings: PostgresSettings,
        prepare: Work[None],
        hold: Work[None] | None,
    ) -> None:
        self._loop = loop
        self._url = url
        self._settings = settings
        self._prepare = prepare
        self._hold = hold
        self._holder: Db | None = None
        self._connecting = trio.Lock()
        self._turns = trio.Semaphore(settings.connections_max)
        self._idle: list[Db] = []
        self._at_work: set[Db] = set()
        self._closed = False
        self._attempts = 0
        self._next_attempt_at = 0.0
        self._draw = random.Random()  # noqa: S311  # spreads reconnects, keeps no secret
        self.place = place
        self.away: str | None = None
        self.connects = 0
        self.commits = 0
        self.waiting = 0

    async def read(self, work: Work[T]) -> T:
        """The result of the work, each of its statements by itself.

        Raises:
            StoreError: What the server said, in our words.
        """
        return await self._run(work)

    async def snapshot(self, work: Work[T]) -> T:
        """The result of the work, which sees the database as of one moment."""
        return await self._run(partial(_in_snapshot, work))

    async def write(self, work: Work[T]) -> T:
        """The result of the work, once its transaction is durable.

        Raises:
            StoreError: What the server said, in our words.
        """
        value = await self._run(partial(_in_transaction, work))
        self.commits += 1
        return value

    @property
    def waiting_max(self) -> int:
        """How many pieces are at work at once."""
        return self._settings.connections_max

    async def close(self) -> None:
        """End all connections, those at work at once; what comes later is told so."""
        self._closed = True
        with trio.CancelScope(shield=True):
            holders = [] if self._holder is None else [self._holder]
            await self._asyncio(_end(self._at_work, [*self._idle, *holders]))

    async def _run(self, work: Work[T]) -> T:
        self._check_open()
        self.waiting += 1
        try:
            async with self._turns:
                self._check_open()
                with trio.move_on_after(self._settings.answer_within_s):
                    return await self._perform(work)
        finally:
            self.waiting -= 1
        self._drop_all()
        raise self._told(
            StoreAway(
                f"{self.place} did not answer within {self._settings.answer_within_s:g} s; "
                "see whether the server is overloaded, or hangs"
            )
        )

    async def _perform(self, work: Work[T]) -> T:
        db = await self._take()
        self._at_work.add(db)
        try:
            value: T = await self._asyncio(_attempt(work, db))
        except SAID_BY_DRIVER as error:
            told = judge(error, self.place)
            if isinstance(told, StoreAway):
                db.terminate()  # such a server, a demoted one perhaps, is not asked again
                self._drop_all()
            raise self._told(told) from error
        else:
            self.away = None
            return value
        finally:
            self._at_work.discard(db)
            self._put_back(db)

    async def _take(self) -> Db:
        await self._see_held()
        while self._idle:
            db = self._idle.pop()
            if not db.is_closed():
                return db
        return await self._connect(self._prepare)

    async def _see_held(self) -> None:
        async with self._connecting:
            if self._hold is not None and (self._holder is None or self._holder.is_closed()):
                self._holder = await self._connect(self._hold)

    def _put_back(self, db: Db) -> None:
        if db.is_closed():
            return
        if self._closed or db.is_in_transaction():
            db.terminate()
        else:
            self._idle.append(db)

    async def _connect(self, prepare: Work[None]) -> Db:
        """A new connection, made fit for its use, unless the last attempt failed a moment ago."""
        if self.away is not None and trio.current_time() < self._next_attempt_at:
            raise StoreAway(self.away)
        try:
            db: Db = await self._asyncio(_open(self._url, self._settings, prepare))
        except SAID_BY_DRIVER as error:
            wait_s = full_jitter(
                self._attempts,
                draw=self._draw.random(),
                first_s=_BACKOFF_FIRST_S,
                max_s=self._settings.reconnect_max_s,
            )
            self._attempts += 1
            self._next_attempt_at = trio.current_time() + wait_s
            # No cause: asyncpg quotes from a URL that it cannot read.
            raise self._told(judge(error, self.place)) from None
        self._attempts = 0
        self.connects += 1
        return db

    def _drop_all(self) -> None:
        """Give up what is idle: it is of the same server, and is not tried one by one.

        What is held may be held no more: a server that lost its power does not say so.
        """
        for db in (*self._idle, self._holder):
            if db is not None:
                db.terminate()
        self._idle.clear()

    def _told(self, error: Exception) -> Exception:
        """The error as the caller gets it; that the server is away is remembered."""
        if self._closed:
            return StoreClosed(f"{self.place} was closed meanwhile")
        if isinstance(error, StoreAway):
            self.away = str(error)
        return error

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed(f"{self.place} was closed")

    async def _asyncio(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            value: T = await self._loop.run_aio_coroutine(coroutine)
        except asyncio.CancelledError:
            # Not of Trio's cancelling, which comes out as Trio's: the loop has ended.
            raise StoreClosed(f"{self.place} was closed meanwhile") from None
        return value


@asynccontextmanager
async def open_bridge(
    url: str, settings: PostgresSettings, prepare: Work[None], hold: Work[None] | None = None
) -> AsyncIterator[Bridge]:
    """A bridge for the length of the block.

    Args:
        url: Of the database.
        settings: Connections and times.
        prepare: Done on each connection for work.
        hold: Done on the connection that holds what only one may hold; None: nothing is held.

    Raises:
        StoreUnusable: The URL cannot be right.
    """
    place = place_of(url)
    failure: Exception | None = None
    async with trio_asyncio.open_loop() as loop:
        # First of all: its own handler ends the program at the first complaint.
        loop.set_exception_handler(_note_complaint)
        bridge = Bridge(loop, url, place, settings, prepare, hold)
        try:
            yield bridge
        except Exception as error:  # noqa: BLE001  # raised below
            failure = error
        finally:
            await bridge.close()
    # Out here: the loop is a nursery, which would wrap it in a group.
    if failure is not None:
        raise failure


async def breathe() -> None:
    """Let others run, from within a piece of work that computes for long."""
    await asyncio.sleep(0)


# --- from here on asyncio's world


async def _open(url: str, settings: PostgresSettings, prepare: Work[None]) -> Db:
    db: Db = await asyncpg.connect(
        url,
        timeout=settings.connect_within_s,
        server_settings={
            "application_name": "dercp",
            "search_path": "dercp",
            "timezone": "UTC",
            "jit": "off",
            # A plan for all times looks through a day where a second was asked for.
            "plan_cache_mode": "force_custom_plan",
            "statement_timeout": str(round(settings.statement_s * 1_000)),
            "lock_timeout": str(round(settings.statement_s * 1_000)),
            # A machine that lost its power does not hold its locks for ever,
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
            # nor does a headend that stands still.
            "idle_in_transaction_session_timeout": str(round(settings.answer_within_s * 1_000)),
        },
    )
    try:
        await prepare(db)
    except (Exception, asyncio.CancelledError):
        db.terminate()
        raise
    return db


async def _attempt(work: Work[T], db: Db) -> T:
    """Do the work. Cancelled, it cuts the connection: asyncpg would ask the server's leave."""
    task = asyncio.ensure_future(work(db))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        db.terminate()
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # looked at, or asyncio complains that nobody did
        raise


async def _in_transaction(work: Work[T], db: Db) -> T:
    async with db.transaction():
        return await work(db)


async def _in_snapshot(work: Work[T], db: Db) -> T:
    async with db.transaction(isolation="repeatable_read", readonly=True):
        return await work(db)


async def _end(at_work: set[Db], idle: list[Db]) -> None:
    for db in at_work:
        db.terminate()
    closing: list[Awaitable[None]] = [asyncio.ensure_future(db.close()) for db in idle]
    await asyncio.gather(
        *(asyncio.wait_for(each, _CLOSE_WITHIN_S) for each in closing), return_exceptions=True
    )
    for db in idle:
        db.terminate()


def _note_complaint(_loop: object, context: dict[str, Any]) -> None:
    log.warning(
        "asyncio_complained", message=context.get("message"), error=context.get("exception")
    )
