"""Runs a headend with its API, until a signal says stop."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import structlog
import trio

from actors import Actor, ChildSpec, Context, MailboxSpec, OnFull
from dercp.api import ApiSettings, LiveStream, create_app, open_live_stream, serve_api
from dercp.cli.clock import utc_now_us
from dercp.cli.collector import calm_the_collector
from dercp.cli.exits import CommandError, Exit
from dercp.cli.parse import Address
from dercp.cli.signals import StopRequest, stop_requests
from dercp.cli.stores import StorePlan, open_stores
from dercp.headend.agents.listener import Door
from dercp.headend.headend import Headend, open_headend
from dercp.headend.settings import HeadendSettings

# After SIGTERM whoever sends work here has so long to see that /readyz says no,
# and the agents have so long to leave by themselves.
NOTICE_S = 0.5
LEAVE_WITHIN_S = 2.0
LOOK_EVERY_S = 0.05

_MENDS = {
    errno.EADDRINUSE: "end the program that uses it, or choose another port",
    errno.EACCES: "ports below 1024 need root; choose another",
}

log = structlog.get_logger()


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """What `dercp headend` and `dercp demo` are asked for."""

    http: Address
    grpc: Address
    stores: StorePlan
    grpc_tls: ssl.SSLContext | None = None


class ApiActor(Actor[None]):
    """The REST API as a supervised service. The port is kept through restarts."""

    def __init__(self, headend: Headend, taken: list[Address]) -> None:
        self._headend = headend
        self._taken = taken
        self._sockets: list[socket.socket] = []

    async def on_start(self, context: Context[None]) -> None:
        """Take the port; raises OSError when it is not to be had."""
        address = self._taken[-1]
        listeners = await trio.open_tcp_listeners(address.port, host=address.host)
        self._sockets = [socket.socket(fileno=each.socket.detach()) for each in listeners]
        self._taken.append(Address(address.host, self._sockets[0].getsockname()[1]))

    async def run(self, context: Context[None]) -> None:
        """Serve until told to end."""
        headend, settings = self._headend, ApiSettings()
        async with open_live_stream(headend.feed, headend.reader, utc_now_us, settings) as live:
            app = create_app(
                headend.reader,
                headend.history,
                headend.desk,
                headend.portfolios,
                headend.operations,
                live,
                utc_now_us,
                settings,
            )
            await serve_api(app, self._sockets, shutdown_trigger=partial(_end, context, live))


async def _end(context: Context[None], live: LiveStream) -> None:
    """Wait until told to end; the streams end first, for nothing else would end them."""
    await context.wait_ending()
    live.close()


class Running(msgspec.Struct, frozen=True):
    """A headend that serves: where its API and its gRPC listener are."""

    headend: Headend
    url: str
    grpc: Address


async def see_free(address: Address) -> None:
    """Take an address and give it back, so that a wrong one is told before anything starts.

    Raises:
        CommandError: It is not to be had.
    """
    try:
        listeners = await trio.open_tcp_listeners(address.port, host=address.host)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        mend = _MENDS.get(error.errno or 0, "choose an address of this machine")
        raise CommandError(f"{address}: {reason}; {mend}", code=Exit.UNAVAILABLE) from None
    for listener in listeners:
        await listener.aclose()


@asynccontextmanager
async def serving_headend(
    serving: Serving, settings: HeadendSettings, stop: StopRequest
) -> AsyncIterator[Running]:
    """Run store, headend and API beside the block; leaving it stops them in order.

    Raises:
        CommandError: An address is not to be had, the data directory cannot be made, or the
            store is not to be used as asked.
        StoreError: The store is not to be used.
    """
    await see_free(serving.http)
    await see_free(serving.grpc)
    make_directory(serving.stores.data_dir)
    door = Door(serving.grpc.host, serving.grpc.port, tls=serving.grpc_tls)
    async with (
        open_stores(serving.stores, settings, stop) as stores,
        open_headend(
            stores.store,
            stores.log,
            door,
            settings=settings,
            clock=utc_now_us,
            drain=stores.drain,
        ) as headend,
    ):
        taken = [serving.http]
        await headend.system.root.start(
            ChildSpec[None](
                name="api",
                factory=lambda: ApiActor(headend, taken),
                mailbox=MailboxSpec(capacity=1, on_full=OnFull.REJECT),
            )
        )
        yield Running(headend, f"http://{taken[-1]}", Address(serving.grpc.host, headend.door.port))


async def serve_until_stopped(serving: Serving, settings: HeadendSettings) -> None:
    """`dercp headend`: serve, and stop in order at the first signal."""
    async with stop_requests() as stop:
        async with serving_headend(serving, settings, stop) as running:
            calm_the_collector()
            log.info("headend_ready", url=running.url, grpc=str(running.grpc))
            name = await stop.wait()
            log.info("headend_stopping", signal=name)
            await _see_agents_off(running.headend)
        log.info("headend_stopped")


async def _see_agents_off(headend: Headend) -> None:
    """Say that this headend stops, and stay until that was heard, for a bounded time."""
    await headend.drain()
    await trio.sleep(NOTICE_S)
    await wait_agents(headend, range(1), within_s=LEAVE_WITHIN_S - NOTICE_S)


async def wait_agents(headend: Headend, wanted: range, *, within_s: float) -> None:
    """Wait until so many agents are connected, but no longer than that."""
    with trio.move_on_after(within_s):
        while headend.operations.system().agents_connected not in wanted:  # noqa: ASYNC110 - no event tells of the count
            await trio.sleep(LOOK_EVERY_S)


def make_directory(path: Path) -> None:
    """See that there is a directory.

    Raises:
        CommandError: There is none, and none can be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "it is a file" if path.is_file() else (error.strerror or str(error)).lower()
        raise CommandError(
            f"{path} cannot be a data directory: {reason}; "
            "name another with --data-dir, where this user may write",
            code=Exit.UNAVAILABLE,
        ) from None
