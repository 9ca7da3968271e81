"""Calls between our two ends, in memory and in virtual time."""

import pytest
import trio
import trio.testing
from link_ends import PATH, REQUEST, Hole, MemoryListener, RawPeer, calling, echo, serving

from dercp.link import (
    LinkBroken,
    LinkError,
    LinkEventKind,
    LinkLimits,
    LinkRefused,
    MessageTooLarge,
    ServerCall,
    Status,
    open_call_over,
)

Clock = trio.testing.MockClock


async def idle(_call: ServerCall) -> None:
    """Neither receive nor send."""
    await trio.sleep_forever()


async def test_messages_go_both_ways_and_end_in_order(autojump_clock: Clock) -> None:
    """The whole life of a call."""
    async with serving(echo) as served:
        async with calling(served) as call:
            await call.send(b"one")
            assert await call.receive() == b"one"
            await call.send(b"")
            assert await call.receive() == b""
            await call.end()
            assert await call.receive() is None
            assert await call.receive() is None
            statistics = call.statistics()
        assert statistics.messages_sent == statistics.messages_received == 2
        assert statistics.bytes_sent == 3
        assert served.events == []
        assert served.server.statistics().calls == 0


async def test_the_handler_sees_who_calls(autojump_clock: Clock) -> None:
    """Path and metadata, text and bytes."""
    seen: list[ServerCall] = []

    async def handler(call: ServerCall) -> None:
        seen.append(call)

    async with serving(handler) as served:
        stream = served.listener.connect()
        metadata: dict[str, str | bytes] = {"agent-id": "a-7", "token-bin": b"\0\xff"}
        async with open_call_over(stream, PATH, metadata=metadata) as call:
            assert await call.receive() is None
    assert seen[0].path == PATH
    assert dict(seen[0].metadata) == metadata


@pytest.mark.parametrize("size", [16_379, 16_380, 300_000, 3_000_000])
async def test_a_message_larger_than_frame_and_window_goes_both_ways(
    size: int, autojump_clock: Clock
) -> None:
    """Flow control opens the window as the message comes."""
    message = bytes(range(256)) * (size // 256 + 1)
    async with serving(echo) as served, calling(served) as call:
        await call.send(message)
        assert await call.receive() == message


async def test_messages_that_came_together_are_received_together(autojump_clock: Clock) -> None:
    """One wake-up for a read of many messages, in batches of the asked size."""
    batches: list[int] = []

    async def handler(call: ServerCall) -> None:
        while messages := await call.receive_some(40):
            batches.append(len(messages))

    async with serving(handler) as served, calling(served) as call:
        for _ in range(100):
            call.send_nowait(b"x" * 50)
        await call.end()
        assert await call.receive() is None
    assert sum(batches) == 100
    assert len(batches) == 3


async def test_a_full_window_makes_the_sender_wait(autojump_clock: Clock) -> None:
    """Nothing is lost, nothing is buffered beyond the window."""
    go = trio.Event()
    limits = LinkLimits(write_within_s=60)
    received: list[bytes] = []

    async def handler(call: ServerCall) -> None:
        await go.wait()
        while (message := await call.receive()) is not None:
            received.append(message)

    async with serving(handler, limits=limits) as served, calling(served, limits=limits) as call:
        sent = 0
        with pytest.raises(trio.WouldBlock):  # noqa: PT012 - the block is the story
            while True:
                call.send_nowait(bytes(10_000))
                sent += 1
        assert sent == limits.window_bytes // 10_005
        with trio.move_on_after(30) as patience:
            await call.send(bytes(10_000))
        assert patience.cancelled_caught
        with pytest.raises(LinkBroken, match="half sent"):
            await call.send(b"after half a message")
    assert received == []


async def test_a_message_cancelled_before_its_first_byte_harms_nothing(
    autojump_clock: Clock,
) -> None:
    """It was never sent; what comes after it is."""
    go = trio.Event()
    received: list[bytes] = []

    async def handler(call: ServerCall) -> None:
        await go.wait()
        while (message := await call.receive()) is not None:
            received.append(message)

    limits = LinkLimits(window_bytes=65_536)
    async with serving(handler, limits=limits) as served, calling(served, limits=limits) as call:
        call.send_nowait(bytes(65_536 - 5))
        with trio.move_on_after(1):
            await call.send(b"never")
        go.set()
        await call.send(b"after")
        await call.end()
        assert await call.receive() is None
        await call.end()
    assert received == [bytes(65_536 - 5), b"after"]


async def test_senders_wait_their_turn(autojump_clock: Clock) -> None:
    """A message held back by the window is not overtaken."""
    go = trio.Event()
    received: list[bytes] = []

    async def handler(call: ServerCall) -> None:
        await go.wait()
        while (message := await call.receive()) is not None:
            received.append(message[:1])

    async with (
        serving(handler) as served,
        calling(served) as call,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(call.send, b"a" * 400_000)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.WouldBlock):
            call.send_nowait(b"b")
        nursery.start_soon(call.send, b"b")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(call.end)
        await trio.testing.wait_all_tasks_blocked()
        go.set()
        assert await call.receive() is None
    assert received == [b"a", b"b"]


async def test_a_waiting_sender_goes_on_when_the_window_opens(autojump_clock: Clock) -> None:
    """And messages of several tasks never mix."""
    start = trio.Event()
    limits = LinkLimits(write_within_s=60)

    async def handler(call: ServerCall) -> None:
        await start.wait()
        await echo(call)

    async with (
        serving(handler, limits=limits) as served,
        calling(served, limits=limits) as call,
        trio.open_nursery() as nursery,
    ):
        for letter in b"abcdef":
            nursery.start_soon(call.send, bytes([letter]) * 100_000)
        await trio.testing.wait_all_tasks_blocked()
        start.set()
        messages = [await call.receive() for _ in range(6)]
    assert sorted(message[:1] for message in messages if message) == [bytes([c]) for c in b"abcdef"]
    assert all(message and len(set(message)) == 1 for message in messages)


async def test_a_peer_which_never_opens_its_window_ends_the_call(autojump_clock: Clock) -> None:
    """The wait is bounded, and says what happened."""
    async with serving(idle) as served:
        with pytest.raises(LinkBroken, match="took nothing for 10 s"):  # noqa: PT012 - the block is the story
            async with calling(served) as call:
                while True:
                    await call.send(bytes(50_000))


async def test_a_handler_ends_its_call_with_a_status(autojump_clock: Clock) -> None:
    """Also from within a nursery, and with any text."""

    async def refuse(_call: ServerCall) -> None:
        raise LinkError(Status.PERMISSION_DENIED, "agent ä-7 may not")

    async def refuse_in_nursery(call: ServerCall) -> None:
        await call.send(b"before")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refuse, call)

    async with serving({"/a": refuse, "/b": refuse_in_nursery}) as served:
        async with calling(served, "/a") as call:
            with pytest.raises(LinkRefused, match="agent ä-7 may not") as caught:
                await call.receive()
            assert caught.value.status is Status.PERMISSION_DENIED
        async with calling(served, "/b") as call:
            assert await call.receive() == b"before"
            with pytest.raises(LinkRefused, match="agent ä-7 may not"):
                await call.receive()
            with pytest.raises(LinkRefused, match="agent ä-7 may not"):
                await call.send(b"too late")
    assert served.events == []


async def test_what_came_before_a_loss_can_be_received(autojump_clock: Clock) -> None:
    """Then the loss is raised, each time."""
    async with serving(echo) as served:
        stream = served.listener.connect()
        async with open_call_over(stream, PATH) as call:
            await call.send(b"x")
            await trio.testing.wait_all_tasks_blocked()
            await stream.aclose()
            await trio.testing.wait_all_tasks_blocked()
            assert await call.receive() == b"x"
            for _ in range(2):
                with pytest.raises(LinkBroken):
                    await call.receive()
            with pytest.raises(LinkBroken):
                await call.send(b"y")
            with pytest.raises(LinkBroken):
                await call.end()


async def test_a_client_that_leaves_is_a_broken_call(autojump_clock: Clock) -> None:
    """Not an orderly end; and a handler that does not listen is cancelled in time."""
    heard: list[str] = []

    async def listening(call: ServerCall) -> None:
        try:
            await call.receive()
        except LinkBroken as error:
            heard.append(str(error))
            raise

    async def deaf(_call: ServerCall) -> None:
        began = trio.current_time()
        try:
            await trio.sleep_forever()
        finally:
            heard.append(f"cancelled after {trio.current_time() - began:.1f} s")

    async with serving({"/listening": listening, "/deaf": deaf}) as served:
        async with calling(served, "/listening"):
            await trio.testing.wait_all_tasks_blocked()
        async with calling(served, "/deaf"):
            await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(3)
        assert heard == ["the other end ended the call (CANCELLED)", "cancelled after 2.0 s"]
        assert served.events == []
        assert served.server.statistics().calls == 0


async def test_a_message_over_the_limit_ends_only_its_call(autojump_clock: Clock) -> None:
    """RESOURCE_EXHAUSTED to the sender; the other calls go on."""
    small = LinkLimits(message_bytes_max=1_000)
    async with serving(echo, limits=small) as served, calling(served) as other:
        async with calling(served) as call:
            await call.send(bytes(1_000))
            assert await call.receive() == bytes(1_000)
            await call.send(bytes(1_001))
            with pytest.raises(LinkRefused, match="over the limit") as caught:
                await call.receive()
            assert caught.value.status is Status.RESOURCE_EXHAUSTED
        await other.send(b"still here")
        assert await other.receive() == b"still here"


async def test_a_message_over_the_limit_from_the_server(autojump_clock: Clock) -> None:
    """The client refuses it too."""

    async def talkative(call: ServerCall) -> None:
        await call.send(bytes(5_000))
        await call.receive()

    small = LinkLimits(message_bytes_max=100)
    async with serving(talkative) as served, calling(served, limits=small) as call:
        with pytest.raises(MessageTooLarge):
            await call.receive()
        with pytest.raises(MessageTooLarge, match="our own limit"):
            await call.send(bytes(101))


async def test_two_receivers_are_one_too_many(autojump_clock: Clock) -> None:
    """As everywhere in Trio."""
    async with serving(echo) as served, calling(served) as call, trio.open_nursery() as nursery:
        nursery.start_soon(call.receive)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await call.receive()
        nursery.cancel_scope.cancel()


async def test_sending_after_the_end_is_refused(autojump_clock: Clock) -> None:
    """Whichever side ended."""
    async with serving(echo) as served, calling(served) as call:
        await call.end()
        await call.end()
        with pytest.raises(LinkError):
            await call.send(b"more")


async def test_every_await_is_a_cancellation_point(autojump_clock: Clock) -> None:
    """Also where there is nothing to wait for; a cancelled send sends nothing."""
    async with serving(echo) as served, calling(served) as call:
        with trio.CancelScope() as cancelled:
            cancelled.cancel()
            await call.send(b"never sent")
        assert cancelled.cancelled_caught
        for _ in range(3):
            await call.send(b"x")
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):
            with trio.testing.assert_checkpoints():
                assert await call.receive() == b"x"
        with trio.testing.assert_checkpoints():
            await call.end()


async def test_a_sender_lets_the_others_run(autojump_clock: Clock) -> None:
    """Not at every message, but before long."""
    async with serving(idle) as served, calling(served) as call, trio.open_nursery() as nursery:
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                await trio.lowlevel.checkpoint()
                turns += 1

        nursery.start_soon(count_turns)
        for _ in range(160):
            await call.send(b"x")
        assert 5 <= turns <= 20
        nursery.cancel_scope.cancel()


async def test_messages_can_be_taken_by_the_reading_task(autojump_clock: Clock) -> None:
    """In order, answered on the spot, to the orderly end; nothing before it is left behind."""
    ended: list[str] = []

    async def handler(call: ServerCall) -> None:
        def answer(messages: list[bytes]) -> None:
            for message in messages:
                call.send_nowait(message)

        await call.receive_into(answer)
        ended.append("in order")

    async with serving(handler) as served, calling(served) as call:
        for number in range(200):
            await call.send(bytes([number]))
            if number % 7 == 0:
                await trio.testing.wait_all_tasks_blocked()
        await call.send(bytes(100_000))
        await call.end()
        assert [await call.receive() for _ in range(200)] == [bytes([n]) for n in range(200)]
        assert await call.receive() == bytes(100_000)
        assert await call.receive() is None
    assert ended == ["in order"]


async def test_what_a_taker_raises_ends_its_call_only(autojump_clock: Clock) -> None:
    """The reader reads on for the others."""
    taken: list[bytes] = []

    async def handler(call: ServerCall) -> None:
        def take(messages: list[bytes]) -> None:
            taken.extend(messages)
            raise LinkError(Status.RESOURCE_EXHAUSTED, "no more than one")

        await call.receive_into(take)

    async with (
        serving({PATH: handler, "/echo": echo}) as served,
        calling(served) as call,
        calling(served, "/echo") as other,
    ):
        await call.send(b"one")
        with pytest.raises(LinkRefused, match="no more than one"):
            await call.receive()
        await other.send(b"x")
        assert await other.receive() == b"x"
    assert taken == [b"one"]


async def test_a_loss_ends_the_taking(autojump_clock: Clock) -> None:
    """As it ends a receive."""
    raised: list[LinkBroken] = []

    async def handler(call: ServerCall) -> None:
        with pytest.raises(LinkBroken) as caught:
            await call.receive_into(lambda _messages: None)
        raised.append(caught.value)

    async with serving(handler) as served:
        async with calling(served) as call:
            await call.send(b"x")
            await trio.testing.wait_all_tasks_blocked()
        await trio.testing.wait_all_tasks_blocked()
    assert len(raised) == 1


async def test_a_deadline_of_the_client_ends_the_call(autojump_clock: Clock) -> None:
    """grpc-timeout, which grpcio's clients send."""
    async with serving(idle) as served:
        peer = RawPeer(served)
        peer.h2.send_headers(1, [*REQUEST, ("grpc-timeout", "200m")])
        await peer.send()
        await peer.listen()
        assert peer.fields()["grpc-status"] == str(Status.DEADLINE_EXCEEDED.value)


async def test_a_slow_reader_is_cut_with_bounded_memory(autojump_clock: Clock) -> None:
    """Nothing leaves for write_within_s: the connection goes, not the server's memory."""
    ended: list[str] = []

    async def flood(call: ServerCall) -> None:
        try:
            while True:
                await call.send(bytes(10_000))
        except LinkBroken as error:
            ended.append(str(error))
            raise

    holes: list[Hole] = []

    def jammable(stream: trio.abc.Stream) -> Hole:
        holes.append(Hole(stream))
        return holes[-1]

    limits = LinkLimits(window_bytes=2**24, send_buffer_bytes_max=100_000)
    async with serving(flood, limits=limits, listener=MemoryListener(jammable)) as served:
        with pytest.raises(LinkBroken):  # noqa: PT012 - the block is the story
            async with calling(served, limits=limits) as call:
                await call.receive()
                holes[0].is_jammed = True
                jammed_at = holes[0].sent
                while True:
                    await call.receive()
        await trio.testing.wait_all_tasks_blocked()
        assert served.kinds() == [LinkEventKind.PEER_TOO_SLOW]
        assert holes[0].sent - jammed_at < 2 * limits.send_buffer_bytes_max
    assert ended
