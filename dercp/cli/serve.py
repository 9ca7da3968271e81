"""Runs a headend with its API, until a signal says stop."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import structlog
import trio

from actors import Actor, ChildSpec, Context, MailboxSpec, OnFull
from dercp.api import ApiSettings, TlsFiles, create_app, serve_api
from dercp.cli.clock import utc_now_us
from dercp.cli.signals import wait_stop_signal
from dercp.headend.headend import Headend, open_headend
from dercp.headend.listener import Door
from dercp.headend.settings import HeadendSettings
from dercp.store.sqlite import open_sqlite

log = structlog.get_logger()


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """What `dercp headend` and `dercp demo` are asked for."""

    http: tuple[str, int]
    grpc: tuple[str, int]
    data_dir: Path
    grpc_tls: ssl.SSLContext | None = None
    http_tls: TlsFiles | None = None


class ApiActor(Actor[None]):
    """The REST API as a supervised service. The port is kept through restarts."""

    def __init__(self, headend: Headend, serving: Serving, address: list[tuple[str, int]]) -> None:
        self._headend = headend
        self._serving = serving
        self._address = address
        self._sockets: list[socket.socket] = []

    async def on_start(self, context: Context[None]) -> None:
        """Take the port; raises OSError when it is not to be had."""
        host, port = self._address[-1]
        listeners = await trio.open_tcp_listeners(port, host=host)
        self._sockets = [socket.socket(fileno=each.socket.detach()) for each in listeners]
        self._address.append((host, self._sockets[0].getsockname()[1]))

    async def run(self, context: Context[None]) -> None:
        """Serve until told to end."""
        headend = self._headend
        app = create_app(
            headend.reader, headend.desk, headend.operations, utc_now_us, ApiSettings()
        )
        await serve_api(
            app,
            self._sockets,
            shutdown_trigger=context.wait_ending,
            tls=self._serving.http_tls,
        )


class Running(msgspec.Struct, frozen=True):
    """A headend that serves: where its API and its gRPC listener are."""

    headend: Headend
    url: str
    grpc: tuple[str, int]


@asynccontextmanager
async def serving_headend(serving: Serving, settings: HeadendSettings) -> AsyncIterator[Running]:
    """Run store, headend and API beside the block; leaving it stops them in order.

    Raises:
        OSError: An address is not to be had.
        StoreError: The data directory is not to be used.
    """
    door = Door(*serving.grpc, tls=serving.grpc_tls)
    async with (
        open_sqlite(serving.data_dir) as store,
        open_headend(store, door, settings=settings, clock=utc_now_us) as headend,
    ):
        address = [serving.http]
        await headend.system.root.start(
            ChildSpec[None](
                name="api",
                factory=lambda: ApiActor(headend, serving, address),
                mailbox=MailboxSpec(capacity=1, on_full=OnFull.REJECT),
            )
        )
        scheme = "http" if serving.http_tls is None else "https"
        host, port = address[-1]
        url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        yield Running(headend, url, (serving.grpc[0], headend.door.port))


async def serve_until_stopped(serving: Serving, settings: HeadendSettings) -> None:
    """`dercp headend`: serve, and stop in order at the first signal."""
    async with serving_headend(serving, settings) as running:
        log.info("headend_ready", url=running.url, grpc="{}:{}".format(*running.grpc))
        name = await wait_stop_signal()
        log.info("headend_stopping", signal=name)
    log.info("headend_stopped")
