"""The listening end: its bounds, its statistics, and how it stops."""

import h2.errors
import h2.events
import h2.settings
import pytest
import trio
import trio.testing
from link_ends import PATH, REQUEST, Hole, MemoryListener, RawPeer, calling, echo, serving

from dercp.link import (
    LinkBroken,
    LinkEventKind,
    LinkLimits,
    LinkRefused,
    LinkUnreachable,
    ServerCall,
    Status,
    open_call_over,
)

Clock = trio.testing.MockClock


async def test_a_wrong_path_is_unimplemented(autojump_clock: Clock) -> None:
    """The client's error names the path."""
    async with serving(echo) as served, calling(served, "/no.Such/Call") as call:
        with pytest.raises(LinkRefused, match=r"/no\.Such/Call") as caught:
            await call.receive()
        assert caught.value.status is Status.UNIMPLEMENTED
        assert served.kinds() == [LinkEventKind.CALL_REFUSED]


@pytest.mark.parametrize(
    ("name", "value", "http_status"),
    [("content-type", "application/json", "415"), ("te", None, "400"), (":method", "PUT", "405")],
)
async def test_a_wrong_request_is_refused_and_its_connection_lives(
    name: str, value: str | None, http_status: str, autojump_clock: Clock
) -> None:
    """One wrong call is no reason to lose the others."""
    async with serving(echo) as served:
        peer = RawPeer(served)
        wrong = [(n, value if n == name else v) for n, v in REQUEST if n != name or value]
        peer.h2.send_headers(1, [(n, v) for n, v in wrong if v is not None])
        await peer.send()
        await peer.listen()
        assert peer.fields()[":status"] == http_status
        peer.h2.send_headers(3, REQUEST, end_stream=True)
        await peer.send()
        await peer.listen()
        assert peer.fields()["grpc-status"] == "0"
        assert served.kinds() == [LinkEventKind.CALL_REFUSED]


async def test_a_fault_in_a_handler_ends_only_its_call(autojump_clock: Clock) -> None:
    """INTERNAL to the client, who learns no detail; the error to the operator."""

    async def faulty(_call: ServerCall) -> None:
        raise ZeroDivisionError("secret detail")

    async def half_faulty(call: ServerCall) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(faulty, call)
            await call.receive()

    routes = {"/faulty": faulty, "/half": half_faulty, PATH: echo}
    async with serving(routes) as served, calling(served) as other:
        for path in ("/faulty", "/half"):
            async with calling(served, path) as call:
                with pytest.raises(LinkRefused) as caught:
                    await call.receive()
                assert caught.value.status is Status.INTERNAL
                assert "secret" not in str(caught.value)
        assert served.kinds() == [LinkEventKind.CALL_FAILED] * 2
        assert isinstance(served.events[0].error, ZeroDivisionError)
        assert isinstance(served.events[1].error, ExceptionGroup)
        await other.send(b"still here")
        assert await other.receive() == b"still here"


async def test_connections_are_bounded(autojump_clock: Clock) -> None:
    """One too many is closed at once; when one leaves there is room again."""
    limits = LinkLimits(connections_max=2)
    async with serving(echo, limits=limits) as served:
        async with calling(served), calling(served):
            with pytest.raises(LinkRefused, match="closed the connection"):
                async with calling(served):
                    pass
            assert served.kinds() == [LinkEventKind.CONNECTION_REFUSED]
        async with calling(served):
            assert served.server.statistics().connections == 1
        assert served.server.statistics().connections_accepted == 4


async def test_calls_of_a_connection_are_bounded_while_handlers_end(autojump_clock: Clock) -> None:
    """A handler which is slow to end still counts: reset and reopen starts no second one."""
    started = 0

    async def slow_to_end(_call: ServerCall) -> None:
        nonlocal started
        started += 1
        await trio.sleep_forever()

    limits = LinkLimits(calls_per_connection_max=1)
    async with serving(slow_to_end, limits=limits) as served:
        peer = RawPeer(served)
        for stream_id in (1, 3):
            peer.h2.send_headers(stream_id, REQUEST)
            peer.h2.reset_stream(stream_id)
        peer.h2.send_headers(5, REQUEST)
        await peer.send()
        await peer.listen()
        resets = [e for e in peer.seen(h2.events.StreamReset) if e.stream_id == 5]
        assert resets[0].error_code is h2.errors.ErrorCodes.REFUSED_STREAM
        assert started == 1
        await trio.sleep(limits.close_within_s)
        peer.h2.send_headers(7, REQUEST)
        await peer.send()
        await trio.testing.wait_all_tasks_blocked()
        assert started == 2


async def test_a_refused_call_is_told_as_refused(autojump_clock: Clock) -> None:
    """REFUSED_STREAM at the client's end: try again later."""

    async def refusing(stream: trio.abc.Stream) -> None:
        import h2.config
        import h2.connection

        server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        server.initiate_connection()
        await stream.send_all(server.data_to_send())
        while True:
            for event in server.receive_data(await stream.receive_some()):
                if isinstance(event, h2.events.RequestReceived):
                    server.reset_stream(1, h2.errors.ErrorCodes.REFUSED_STREAM)
            await stream.send_all(server.data_to_send())

    near, far = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(refusing, far)
        async with open_call_over(near, PATH) as call:
            with pytest.raises(LinkRefused, match="no further call now"):
                await call.receive()
            nursery.cancel_scope.cancel()


async def test_a_handshake_which_stalls_is_cut(autojump_clock: Clock) -> None:
    """Silence, or half a preface: gone after handshake_within_s, and its place is free."""
    limits = LinkLimits(handshakes_max=1, handshake_within_s=3, handshake_wait_s=4)
    async with serving(echo, limits=limits) as served:
        for opening in (b"", b"PRI * HTTP/2.0\r\n"):
            stream = served.listener.connect()
            if opening:
                await stream.send_all(opening)
            began = trio.current_time()
            while await stream.receive_some():
                pass
            assert trio.current_time() - began == pytest.approx(3, abs=0.1)
        assert served.kinds() == [LinkEventKind.HANDSHAKE_FAILED] * 2
        async with calling(served) as call:
            await call.send(b"x")
            assert await call.receive() == b"x"


async def test_a_storm_of_handshakes_waits_its_turn(autojump_clock: Clock) -> None:
    """Beyond the rate they wait, beyond the wait they are refused; live calls go on."""
    limits = LinkLimits(handshakes_per_s=10, handshakes_burst=5, handshake_wait_s=1.05)
    connected: list[float] = []
    refused = 0

    async def connect() -> None:
        nonlocal refused
        try:
            async with calling(served):
                connected.append(trio.current_time() - began)
                await trio.sleep(5)
        except (LinkRefused, LinkUnreachable):
            refused += 1

    async with serving(echo, limits=limits) as served:
        async with calling(served) as live:
            await trio.sleep(1)
            began = trio.current_time()
            async with trio.open_nursery() as nursery:
                for _ in range(30):
                    nursery.start_soon(connect)
                await live.send(b"in the storm")
                assert await live.receive() == b"in the storm"
                assert trio.current_time() - began < 0.01
        assert len([at for at in connected if at < 0.01]) == 5
        assert len(connected) == 15
        assert refused == 15
        assert served.kinds() == [LinkEventKind.CONNECTION_REFUSED] * 15


async def test_drain_lets_handlers_end_and_says_goodbye(autojump_clock: Clock) -> None:
    """Open calls end in order, new ones and new connections are refused, all is closed."""
    leave = trio.Event()

    async def handler(call: ServerCall) -> None:
        await leave.wait()
        await call.send(b"goodbye")

    async with serving(handler) as served:
        peer = RawPeer(served)
        await peer.send()
        await peer.listen()
        async with calling(served) as call, trio.open_nursery() as nursery:
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(served.server.drain, 30)
            await trio.testing.wait_all_tasks_blocked()
            assert served.listener.closed
            peer.h2.send_headers(1, REQUEST)
            await peer.send()
            await peer.listen()
            assert peer.fields()["grpc-status"] == str(Status.UNAVAILABLE.value)
            leave.set()
            assert await call.receive() == b"goodbye"
            assert await call.receive() is None
        await peer.listen()
        assert peer.seen(h2.events.ConnectionTerminated)
        assert peer.closed
        assert served.server.statistics().connections == 0


async def test_drain_cuts_what_does_not_end(autojump_clock: Clock) -> None:
    """A deaf handler is cancelled, its client told; a vanished peer holds nothing up."""
    holes: list[Hole] = []

    def vanishing(stream: trio.abc.Stream) -> Hole:
        holes.append(Hole(stream))
        return holes[-1]

    async def deaf(_call: ServerCall) -> None:
        await trio.sleep_forever()

    listener = MemoryListener(vanishing)
    async with serving(deaf, listener=listener) as served, trio.open_nursery() as nursery:
        nursery.start_soon(_call_until_broken, served.listener.connect())
        await trio.testing.wait_all_tasks_blocked()
        holes[0].swallows = True
        async with calling(served) as call:
            await trio.testing.wait_all_tasks_blocked()
            began = trio.current_time()
            nursery.start_soon(served.server.drain, 5)
            with pytest.raises(LinkRefused, match="stopping") as caught:
                await call.receive()
            assert caught.value.status is Status.UNAVAILABLE
            assert trio.current_time() - began == pytest.approx(5, abs=0.1)
        await trio.sleep(3)
        assert served.server.statistics().connections == 0
        nursery.cancel_scope.cancel()


async def _call_until_broken(stream: trio.abc.Stream) -> None:
    with pytest.raises(LinkBroken):
        async with open_call_over(stream, PATH) as call:
            await call.receive()


async def test_a_cancelled_server_tells_its_clients(autojump_clock: Clock) -> None:
    """Not in order, but at once: nobody waits for a timeout."""
    async with serving(echo) as served:
        stream = served.listener.connect()
        began = trio.current_time()
        with pytest.raises(LinkBroken):  # noqa: PT012 - the block is the story
            async with open_call_over(stream, PATH) as call:
                await call.send(b"x")
                await call.receive()
                served.server._serving.cancel()
                await call.receive()
        assert trio.current_time() - began < 0.1


async def test_statistics_count(autojump_clock: Clock) -> None:
    """What is open now, and what was since the start."""
    async with serving(echo) as served:
        async with calling(served) as call:
            await call.send(b"x")
            await call.receive()
            statistics = served.server.statistics()
            assert (statistics.connections, statistics.calls, statistics.handshakes) == (1, 1, 0)
        await trio.testing.wait_all_tasks_blocked()
        statistics = served.server.statistics()
        assert (statistics.connections, statistics.calls) == (0, 0)
        assert (statistics.connections_accepted, statistics.calls_accepted) == (1, 1)
        assert statistics.events == {}
