"""Peers that vanish without a word (fault F13), in virtual time."""

import pytest
import trio
import trio.testing
from link_ends import Hole, MemoryListener, calling, client_context, echo, server_context, serving

from dercp.link import LinkBroken, LinkEventKind, LinkLimits, ServerCall

Clock = trio.testing.MockClock
LIMITS = LinkLimits()
WITHIN_S = LIMITS.keepalive_s + LIMITS.keepalive_timeout_s
TLS = {"plain": (None, None), "tls": (server_context(), client_context())}


class Line:
    """A listener in memory whose first connection can vanish, and who noticed when."""

    def __init__(self) -> None:
        self.listener = MemoryListener(self._hole)
        self.holes: list[Hole] = []
        self.vanished_at = 0.0
        self.noticed: dict[str, float] = {}

    def _hole(self, stream: trio.abc.Stream) -> Hole:
        self.holes.append(Hole(stream))
        return self.holes[-1]

    def vanish(self) -> None:
        self.holes[0].swallows = True
        self.vanished_at = trio.current_time()

    def notice(self, who: str) -> None:
        self.noticed[who] = trio.current_time() - self.vanished_at

    async def handler(self, call: ServerCall) -> None:
        try:
            await echo(call)
        except LinkBroken:
            self.notice("server")
            raise


@pytest.mark.parametrize("kind", ["plain", "tls"])
@pytest.mark.parametrize("quiet_s", [0.0, 7.3, 15.0])
async def test_both_ends_notice_a_vanished_peer(
    kind: str, quiet_s: float, autojump_clock: Clock
) -> None:
    """Within the time, whenever it happens; and no end waits for the other's farewell."""
    server_tls, client_tls = TLS[kind]
    line = Line()
    async with serving(line.handler, tls=server_tls, listener=line.listener) as served:
        with pytest.raises(LinkBroken, match="silent"):  # noqa: PT012 - the block is the story
            async with calling(served, tls=client_tls) as call:
                await call.send(b"x")
                assert await call.receive() == b"x"
                await trio.sleep(quiet_s)
                line.vanish()
                try:
                    await call.receive()
                finally:
                    line.notice("client")
        line.notice("client closed")
        await trio.testing.wait_all_tasks_blocked()
        assert line.noticed.keys() == {"server", "client", "client closed"}
        assert max(line.noticed.values()) <= WITHIN_S + 0.01
        assert served.kinds() == [LinkEventKind.PEER_VANISHED]
        assert served.server.statistics().connections == 0


async def test_a_vanished_peer_is_noticed_while_we_send(autojump_clock: Clock) -> None:
    """Our own sending is no sign of life."""
    line = Line()

    async def talk(call: ServerCall) -> None:
        with pytest.raises(LinkBroken):  # noqa: PT012 - the block is the story
            while True:
                await call.send(b"x")
                await trio.sleep(0.5)
        line.notice("server")

    async with serving(talk, listener=line.listener) as served, calling(served) as call:
        await call.receive()
        line.vanish()
        await trio.sleep(WITHIN_S + 0.51)
        assert "server" in line.noticed


async def test_a_line_that_is_closing_is_left_alone(autojump_clock: Clock) -> None:
    """Its peer has been silent long enough for a PING, but HTTP/2 is over."""
    line = Line()
    async with serving(echo, listener=line.listener) as served:
        with pytest.raises(LinkBroken):  # noqa: PT012 - the block is the story
            async with calling(served) as call:
                await trio.sleep(LIMITS.keepalive_s - 1.5)
                line.vanish()
                await served.server.drain(0.1)
                await call.receive()
        assert served.server.statistics().connections == 0


async def test_a_silent_peer_that_lives_is_kept(autojump_clock: Clock) -> None:
    """Hours without a message are no reason to cut."""
    async with serving(echo) as served, calling(served) as call:
        await trio.sleep(4 * 3_600)
        await call.send(b"good morning")
        assert await call.receive() == b"good morning"
        assert served.events == []


async def test_a_slow_line_is_kept(autojump_clock: Clock) -> None:
    """Satellite: each byte takes its time (F15), answers come late but come."""

    class Slow(Hole):
        async def send_all(self, data: bytes | bytearray | memoryview) -> None:
            await trio.sleep(4)
            await super().send_all(data)

    async with serving(echo, listener=MemoryListener(Slow)) as served, calling(served) as call:
        for _ in range(50):
            await trio.sleep(17)
            await call.send(b"x")
            assert await call.receive() == b"x"
        assert served.events == []
