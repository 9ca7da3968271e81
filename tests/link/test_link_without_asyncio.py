"""grpclib is written for asyncio; the link needs none of it."""

import asyncio  # noqa: TID251 - to see that nobody makes a loop
from functools import partial

import pytest
import trio
from link_ends import PATH, echo

from dercp.link import ServerCall, open_call, serve_link


def test_a_call_in_plain_trio(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ends over real sockets in `trio.run`, and no event loop is ever made."""

    def forbidden() -> None:
        raise AssertionError("somebody made an asyncio event loop")

    monkeypatch.setattr(asyncio, "new_event_loop", forbidden)
    monkeypatch.setattr(asyncio.events, "new_event_loop", forbidden)
    monkeypatch.setattr(asyncio.DefaultEventLoopPolicy, "new_event_loop", forbidden)

    async def handler(call: ServerCall) -> None:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        await echo(call)

    async def main() -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                server = await nursery.start(partial(serve_link, listeners, {PATH: handler}))
                async with open_call("127.0.0.1", server.port, PATH) as call:
                    await call.send(bytes(1_000_000))
                    assert await call.receive() == bytes(1_000_000)
                    await call.end()
                    assert await call.receive() is None
                await server.drain(1)

    trio.run(main)
