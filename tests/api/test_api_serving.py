"""The server, over real loopback sockets."""

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio
import trustme
from api_fakes import FakeHeadend
from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, Scope
from structlog.testing import capture_logs

from dercp.api import ApiSettings, TlsFiles, serve_api

LOOPBACK = ["127.0.0.1:0"]


@asynccontextmanager
async def served(
    app: ASGIFramework,
    *,
    bind: list[str] | list[socket.socket] = LOOPBACK,
    settings: ApiSettings = ApiSettings(),  # noqa: B008 - frozen
    tls: TlsFiles | None = None,
) -> AsyncIterator[str]:
    """The URL under which the application is served; told to stop at the end."""
    stop = trio.Event()
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            serve = partial(serve_api, app, bind, settings=settings, tls=tls)
            [url] = await nursery.start(partial(serve, shutdown_trigger=stop.wait))
            yield url
            stop.set()


def app_of(
    answer: Callable[[ASGIReceiveCallable, ASGISendCallable], Awaitable[None]],
) -> ASGIFramework:
    """An application that does the same for each request."""

    async def app(_scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await answer(receive, send)

    return app


async def start(send: ASGISendCallable) -> None:
    """Begin an answer."""
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def test_the_api_is_served(headend: FakeHeadend) -> None:
    """A fleet is read, a dispatch is handed in and followed; requests are logged at debug."""
    with capture_logs() as logs:
        async with served(headend.app) as url, httpx.AsyncClient(base_url=url) as http:
            fleet = (await http.get("/telemetry", params={"site_id": "north"})).json()
            assert [item["asset_id"] for item in fleet["items"]] == ["bess-1", "bess-2"]
            taken = await http.post(
                "/v1/dispatch",
                json={"asset_id": "bess-1", "setpoint_mw": -0.5},
                headers={"Idempotency-Key": "k"},
            )
            assert taken.status_code == 202
            followed = await http.get(taken.headers["location"])
            assert followed.json() == taken.json()
            assert (await http.head("/assets")).content == b""
    request = next(event for event in logs if event.get("method") == "POST")
    assert request["event"] == "http_request"
    assert request["log_level"] == "debug"
    assert request["status"] == 202


async def test_tls(headend: FakeHeadend, tmp_path: Path) -> None:
    """With a certificate, HTTPS and only HTTPS."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    files = TlsFiles(certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with served(headend.app, tls=files) as url:
        assert url.startswith("https://127.0.0.1:")
        local = url.replace("127.0.0.1", "localhost")
        async with httpx.AsyncClient(base_url=local, verify=trusting) as http:
            assert (await http.get("/livez")).json() == {"alive": True}
        async with httpx.AsyncClient(base_url=local.replace("https", "http")) as http:
            with pytest.raises(httpx.RemoteProtocolError):
                await http.get("/livez")


async def test_sockets_that_are_bound_already(headend: FakeHeadend) -> None:
    """As systemd hands them over."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    async with served(headend.app, bind=[bound]) as url:
        assert url == f"http://127.0.0.1:{port}"


async def test_several_addresses(headend: FakeHeadend) -> None:
    """Each is served and told; an IPv6 address is written as URLs have it."""
    async with trio.open_nursery() as nursery:
        serve = partial(serve_api, headend.app, ["127.0.0.1:0", "[::1]:0"])
        urls = await nursery.start(partial(serve, shutdown_trigger=trio.sleep_forever))
        async with httpx.AsyncClient() as http:
            answers = [await http.get(f"{url}/livez") for url in urls]
        nursery.cancel_scope.cancel()
    assert [answer.status_code for answer in answers] == [200, 200]
    assert urls[1].startswith("http://[::1]:")


@pytest.mark.parametrize("address", ["localhost", "localhost:http", ":99999", ""])
async def test_an_address_that_is_none(headend: FakeHeadend, address: str) -> None:
    """The error says what an address looks like."""
    with pytest.raises(ValueError, match="expected host:port"):
        await serve_api(headend.app, [address], shutdown_trigger=trio.sleep_forever)


async def test_an_address_that_is_taken(headend: FakeHeadend) -> None:
    """The error comes before anything is served, and the other addresses are free again."""
    async with served(headend.app) as url:
        taken = url.removeprefix("http://")
        with pytest.raises(OSError, match="in use"):
            await serve_api(headend.app, [*LOOPBACK, taken], shutdown_trigger=trio.sleep_forever)


async def test_a_running_request_may_end(headend: FakeHeadend) -> None:
    """Told to stop, the server finishes what it began and takes nothing new."""
    begun, finish = trio.Event(), trio.Event()

    async def answer(_receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        begun.set()
        await finish.wait()
        await start(send)
        await send({"type": "http.response.body", "body": b"done", "more_body": False})

    got = []

    async def ask(url: str) -> None:
        async with httpx.AsyncClient() as http:
            got.append((await http.get(url)).content)

    async with trio.open_nursery() as nursery, served(app_of(answer)) as url:
        nursery.start_soon(ask, url)
        await begun.wait()
        nursery.start_soon(_set_when_refused, url, finish)
    assert got == [b"done"]


async def _set_when_refused(url: str, event: trio.Event) -> None:
    """Set the event as soon as the server accepts no more."""
    host, _, port = url.removeprefix("http://").partition(":")
    while True:
        try:
            stream = await trio.open_tcp_stream(host, int(port))
        except OSError:
            event.set()
            return
        await stream.aclose()


async def test_a_peer_that_does_not_read_cannot_hold_the_stop() -> None:
    """A write that nobody takes up ends with the time given for stopping."""
    stuck = trio.Event()

    async def answer(_receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await start(send)
        stuck.set()
        for _ in range(1000):
            piece = bytes(1_000_000)
            await send({"type": "http.response.body", "body": piece, "more_body": True})

    settings = ApiSettings(stop_within_s=0.1)
    async with served(app_of(answer), settings=settings) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        stream = await trio.open_tcp_stream(host, int(port))
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await stuck.wait()
        stopping_at = trio.current_time()
    assert trio.current_time() - stopping_at < 2
    await stream.aclose()


async def test_a_peer_that_does_not_read_is_cut_off() -> None:
    """One piece of an answer has a time within which it must be taken up."""
    ended = trio.Event()

    async def answer(_receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await start(send)
        try:
            for _ in range(1000):
                piece = bytes(1_000_000)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        finally:
            ended.set()

    async with served(app_of(answer), settings=ApiSettings(write_within_s=0.1)) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        stream = await trio.open_tcp_stream(host, int(port))
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await ended.wait()
        await stream.aclose()


async def test_connections_are_counted(headend: FakeHeadend) -> None:
    """One more than may be open waits until another closes."""
    async with served(headend.app, settings=ApiSettings(connections_max=1)) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        first = await trio.open_tcp_stream(host, int(port))
        await first.send_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await first.receive_some()
        second = await trio.open_tcp_stream(host, int(port))
        await second.send_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        got: list[bytes] = []

        async def receive() -> None:
            got.append(await second.receive_some())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert got == []
            await first.aclose()
        assert got[0].startswith(b"HTTP/1.1 200")
        await second.aclose()


async def test_a_connection_that_breaks_hypercorn(
    headend: FakeHeadend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error in the handling of one connection is logged and ends that one alone."""
    from hypercorn.protocol import ProtocolWrapper

    handle = ProtocolWrapper.handle

    async def break_once(self: ProtocolWrapper, event: object) -> None:
        monkeypatch.setattr(ProtocolWrapper, "handle", handle)
        raise RuntimeError

    with capture_logs() as logs:
        async with served(headend.app) as url, httpx.AsyncClient(base_url=url) as http:
            monkeypatch.setattr(ProtocolWrapper, "handle", break_once)
            with pytest.raises(httpx.HTTPError):
                await http.get("/livez")
            assert (await http.get("/livez")).status_code == 200
    assert "http_connection_failed" in [event["event"] for event in logs]


async def test_an_application_that_breaks() -> None:
    """An error outside of all handlers is logged and answered with an empty 500."""

    async def answer(_receive: ASGIReceiveCallable, _send: ASGISendCallable) -> None:
        raise RuntimeError

    with capture_logs() as logs:
        async with served(app_of(answer)) as url, httpx.AsyncClient(base_url=url) as http:
            assert (await http.get("/")).status_code == 500
    assert "http_server_failed" in [event["event"] for event in logs]


async def test_an_idle_connection_does_not_hold_up_the_stop(headend: FakeHeadend) -> None:
    """A client that keeps its connection open after an answer is let go at once."""
    async with httpx.AsyncClient() as http:
        async with served(headend.app) as url:
            assert (await http.get(f"{url}/livez")).status_code == httpx.codes.OK
            told_at = trio.current_time()
        assert trio.current_time() - told_at < ApiSettings().stop_within_s / 2


async def test_a_connection_that_stays_idle_is_closed(headend: FakeHeadend) -> None:
    """After its answer, too: an idle client takes nobody's place for ever."""
    settings = ApiSettings(idle_s=0.2)
    async with served(headend.app, settings=settings) as url:
        host, port = httpx.URL(url).host, httpx.URL(url).port
        assert port is not None
        stream = await trio.open_tcp_stream(host, port)
        async with stream:
            await stream.send_all(b"GET /livez HTTP/1.1\r\nHost: here\r\n\r\n")
            answer = b"".join([chunk async for chunk in stream])
    assert answer.startswith(b"HTTP/1.1 200")
