"""The live stream over real sockets: Server-Sent Events, WebSockets, and the Python client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest
import trio
from api_client import CheckedClient
from api_fakes import FakeHeadend
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    wrap_client_stream,
)

from dercp.api import ApiSettings, serve_api
from dercp.client import Lost, NoHeadend, Refused, Wanted, open_stream, samples

QUICK = ApiSettings(stream_tick_s=0.2, write_within_s=0.3, stop_within_s=1.0)


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version": "13",
}


class Served:
    """A fake headend behind a real port."""

    def __init__(self, headend: FakeHeadend, url: str, stop: trio.Event) -> None:
        self.headend = headend
        self.url = url
        self._stop = stop

    def stop(self) -> None:
        """As the API's actor does it."""
        self.headend.live.close()
        self._stop.set()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        url = httpx.URL(self.url)
        assert url.port is not None
        return url.host, url.port

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[WebSocketConnection]:
        """A WebSocket."""
        async with (
            await trio.open_tcp_stream(*self.address) as stream,
            trio.open_nursery() as nursery,
        ):
            host = self.url.removeprefix("http://")
            headers = [(b"Origin", self.url.encode())]
            yield await wrap_client_stream(nursery, stream, host, "/v1/ws", extra_headers=headers)
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def served(settings: ApiSettings = QUICK) -> AsyncIterator[Served]:
    """Serve a headend of fakes; told to stop at the end."""
    headend, stop = FakeHeadend(settings), trio.Event()
    with trio.fail_after(20):
        async with trio.open_nursery() as ticking:
            ticking.start_soon(headend.live.run)
            async with trio.open_nursery() as nursery:
                serve = partial(serve_api, headend.app, ["127.0.0.1:0"], settings=settings)
                [url] = await nursery.start(partial(serve, shutdown_trigger=stop.wait))
                yield Served(headend, url, stop)
                headend.live.close()
                stop.set()
            ticking.cancel_scope.cancel()


class Reader:
    """Reads Server-Sent Events; HTTP/1.0 has no chunks between them."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._content = b""

    async def _until(self, mark: bytes) -> str | None:
        """What comes before the mark; None at the end."""
        while mark not in self._content:
            more = await self._stream.receive_some()
            if not more:
                return None
            self._content += more
        found, _, self._content = self._content.partition(mark)
        return found.decode()

    async def head(self) -> str:
        """Status and headers."""
        return await self._until(b"\r\n\r\n") or ""

    async def event(self) -> dict[str, str] | None:
        """The next event, as a browser would take it; None at the end."""
        while (block := await self._until(b"\n\n")) is not None:
            fields = dict(line.split(": ", 1) for line in block.splitlines())
            if "event" in fields:
                return fields
        return None

    async def until(self, kind: str) -> list[str]:
        """The kinds of the next events, up to one of this kind."""
        kinds: list[str] = []
        while kind not in kinds:
            event = await self.event()
            assert event is not None
            kinds.append(event["event"])
        return kinds


@asynccontextmanager
async def reading(at: Served, path: str = "/stream", headers: str = "") -> AsyncIterator[Reader]:
    """A stream, its head read."""
    async with await trio.open_tcp_stream(*at.address) as stream:
        request = f"GET {path} HTTP/1.0\r\nHost: here\r\n{headers}\r\n"
        await stream.send_all(request.encode())
        reader = Reader(stream)
        head = await reader.head()
        assert head.startswith("HTTP/1.1 200")
        assert "content-type: text/event-stream" in head
        assert "x-accel-buffering: no" in head
        assert "cache-control: no-store" in head
        yield reader


async def heard(socket: WebSocketConnection) -> Any:
    """The next message."""
    return msgspec.json.decode(await socket.get_message())


async def code_at_the_end(socket: WebSocketConnection) -> int | None:
    """With which code the server closes, whatever it says before."""
    try:
        while True:
            await socket.get_message()
    except ConnectionClosed as closed:
        return None if closed.reason is None else closed.reason.code


async def test_server_sent_events() -> None:
    """A snapshot, then changes; who comes back with the last id goes on from there."""
    async with served() as at:
        async with reading(at, "/stream?events=telemetry") as reader:
            assert await reader.until("live") == ["snapshot", "telemetry", "live"]
            at.headend.feed.sampled = ["pv-1"]
            told = await reader.event()
            assert told is not None
            assert msgspec.json.decode(told["data"])["tables"][0]["rows"][0][0] == "pv-1"
        headers = f"Last-Event-ID: {told['id']}\r\n"
        async with reading(at, "/v1/stream", headers) as reader:
            assert (await reader.until("live"))[0] == "resume"


async def test_one_stream_too_many() -> None:
    """Is a problem that says when to come back; so is one WebSocket too many."""
    settings = ApiSettings(streams_max=1)
    async with served(settings) as at, httpx.AsyncClient(base_url=at.url) as http:
        async with reading(at) as reader:
            await reader.event()
            refused = await http.get("/stream")
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "5"
            assert refused.json()["type"] == "/problems/too-many-streams"
            assert (await http.get("/ws", headers=UPGRADE)).status_code == 503
            with pytest.raises(NoHeadend):
                async with open_stream(at.url):
                    pass
        assert at.headend.live.counts["refused"] == 3


async def test_a_reader_that_takes_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the stated time; it is counted, and it gives its place back."""
    async with served() as at:
        samples_of = at.headend.feed.sample("bess-1")
        assert samples_of is not None
        # Rows of a megabyte fill the buffers of any kernel.
        large = msgspec.structs.replace(samples_of, asset_id="x" * 1_000_000)
        monkeypatch.setattr(at.headend.feed, "sample", lambda _asset_id: large)
        async with await trio.open_tcp_stream(*at.address) as stream:
            await stream.send_all(b"GET /stream HTTP/1.1\r\nHost: here\r\n\r\n")
            while not at.headend.live.counts["cut"] or at.headend.live.clients:
                at.headend.feed.sampled = ["bess-1"]
                await trio.sleep(0.05)
            assert at.headend.live.counts["cut"] == 1


async def test_open_streams_do_not_hold_up_the_stop() -> None:
    """Each is told, and ends; a socket says that the server goes away."""
    async with served() as at, at.socket() as socket:
        await socket.send_message('{"subscribe": {}, "id": "a"}')
        await heard(socket)
        async with reading(at) as reader:
            await reader.event()
            began = trio.current_time()
            at.stop()
            await reader.until("bye")
            assert await reader.event() is None
            assert await code_at_the_end(socket) == 1001
            assert trio.current_time() - began < QUICK.stop_within_s


async def test_a_socket_with_several_subscriptions() -> None:
    """Each has its own events, until it is unsubscribed."""
    async with served() as at, at.socket() as socket:
        await socket.send_message('{"subscribe": {"events": ["telemetry"]}, "id": "all"}')
        north = {"subscribe": {"site_id": "north", "events": ["asset"]}, "id": "north"}
        await socket.send_message(msgspec.json.encode(north).decode())
        told: dict[str, list[str]] = {"all": [], "north": []}
        while not all(kinds[-1:] == ["live"] for kinds in told.values()):
            message = await heard(socket)
            told[message["id"]].append(message["event"])
        assert told == {
            "all": ["snapshot", "telemetry", "live"],
            "north": ["snapshot", "asset", "live"],
        }
        await socket.send_message('{"unsubscribe": "north"}')
        assert (await heard(socket))["event"] == "unsubscribed"
        at.headend.feed.sampled = ["pv-1"]
        message = await heard(socket)
        assert (message["id"], message["event"]) == ("all", "telemetry")
        assert message["event_id"]


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("{", "cannot be read"),
        ("[]", "must be a JSON object"),
        ("{}", "expected either"),
        ('{"subscribe": {}}', "id: is required"),
        ('{"subscribe": {"sites": "a"}, "id": "a"}', "unknown field `sites`"),
        ('{"subscribe": {"events": ["nix"]}, "id": "a"}', "nix"),
        ('{"subskribe": {}}', "did you mean 'subscribe'?"),
        ('{"unsubscribe": "a"}', "there is no subscription 'a'"),
        (b"{}", "expected text"),
    ],
)
async def test_a_message_that_is_none_is_answered(text: str | bytes, detail: str) -> None:
    """With a problem; the socket goes on."""
    async with served() as at, at.socket() as socket:
        await socket.send_message(text)
        problem = (await heard(socket))["error"]
        assert problem["type"] in {"/problems/malformed-json", "/problems/invalid-body"}
        assert detail in problem["detail"]
        await socket.send_message('{"subscribe": {}, "id": "a"}')
        assert (await heard(socket))["event"] == "snapshot"


async def test_who_only_makes_faults_is_closed() -> None:
    """One more than is borne, with the code for it."""
    async with served(ApiSettings(socket_faults_max=2)) as at, at.socket() as socket:
        for _ in range(3):
            await socket.send_message("{")
            assert "error" in await heard(socket)
        assert await code_at_the_end(socket) == 1008


async def test_subscriptions_are_counted() -> None:
    """An id twice, and one subscription too many, are refused."""
    settings = ApiSettings(subscriptions_max=1)
    async with served(settings) as at, at.socket() as socket:
        for name in ("a", "a", "b"):
            asked = {"subscribe": {"events": ["agent"]}, "id": name}
            await socket.send_message(msgspec.json.encode(asked).decode())
        told = [await heard(socket) for _ in range(5)]
        problems = [each["error"]["type"] for each in told if "error" in each]
        assert problems == ["/problems/invalid-body", "/problems/too-many-subscriptions"]


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
async def test_pages_of_others_are_kept_out(origin: str) -> None:
    """Their user's browser would read for them; the page of this host may."""
    async with served() as at, httpx.AsyncClient(base_url=at.url) as http:
        refused = await http.get("/ws", headers={**UPGRADE, "Origin": origin})
        assert refused.status_code == 403
        assert refused.json()["type"] == "/problems/foreign-origin"
        async with at.socket() as socket:
            await socket.send_message("{")


async def test_a_client_follows_through_a_lost_connection() -> None:
    """It says that it lost the headend, comes back by itself, and goes on where it was."""
    async with served() as at, open_stream(at.url, Wanted(asset_id=("pv-1",)), seed=1) as stream:
        kinds = []
        async for told in stream:
            kinds.append("lost" if isinstance(told, Lost) else told.event)
            if isinstance(told, Lost):
                continue
            if told.event == "telemetry":
                [sample] = samples(told.data)
                assert (sample.asset_id, sample.points["active_power_mw"].value) == ("pv-1", 1.25)
            if kinds.count("live") == 2:
                break
            if told.event == "live":
                assert stream._stream is not None
                await trio.aclose_forcefully(stream._stream)
        first = ["snapshot", "asset", "agent", "telemetry", "live"]
        assert kinds == [*first, "lost", "resume", "telemetry", "live"]


async def test_a_client_says_why_it_will_not_be_told() -> None:
    """A filter that is none, or a server that is none."""
    async with served() as at:
        with pytest.raises(Refused, match="kind"):
            async with open_stream(at.url, Wanted(kind="steam")) as stream:
                await anext(stream)
        with pytest.raises(Refused, match="there is no path"):
            async with open_stream(at.url + "/nowhere") as stream:
                await anext(stream)


async def test_a_hundred_readers() -> None:
    """All are told the same; the memory of it is one look."""
    ready = trio.Semaphore(0)

    async def read(at: Served) -> None:
        async with reading(at) as reader:
            await reader.until("live")
            ready.release()
            await reader.until("telemetry")

    async with served() as at, trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(read, at)
        for _ in range(100):
            await ready.acquire()
        at.headend.feed.read.clear()
        at.headend.feed.sampled = ["bess-1"]
    assert at.headend.feed.read == ["bess-1"]


async def test_parameters_are_checked(client: CheckedClient) -> None:
    """As everywhere: by name, with what is known; repeated ones each."""
    for query, parameter in (
        ("events=nix", "events"),
        ("site=north", "site"),
        ("site_id=a&site_id=b", "site_id"),
        ("asset_id=" + "x" * 65, "asset_id"),
    ):
        answer = await client.get(f"/stream?{query}")
        assert answer.problem == "invalid-parameters"
        assert answer.json["errors"][0]["parameter"] == parameter
