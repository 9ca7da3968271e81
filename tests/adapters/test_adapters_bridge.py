"""The bridge to asyncio: results, errors, cancellation, complaints, its end."""

import asyncio  # noqa: TID251  # what is on the other side

import pytest
import trio
from structlog.testing import capture_logs

from adapters import DeviceError
from adapters._bridge import COMPLAINTS_LOGGED_MAX, open_bridge


async def twice(number: int) -> int:
    """Some work."""
    await asyncio.sleep(0)
    return 2 * number


async def test_work_gives_its_result() -> None:
    """A coroutine function and its arguments go in, its value comes out."""
    async with open_bridge("bess-1") as bridge:
        assert await bridge.run(twice, 21) == 42


async def test_the_error_of_work_comes_out_as_it_is() -> None:
    """Not in a group, neither from the work nor from the block."""

    async def fail() -> None:
        raise KeyError("register")

    with pytest.raises(KeyError, match="register"):
        async with open_bridge("bess-1") as bridge:
            await bridge.run(fail)


async def test_bridges_live_side_by_side_and_are_used_from_other_tasks() -> None:
    """The edge opens a device in one task and polls it from another."""
    async with (
        open_bridge("a") as first,
        open_bridge("b") as second,
        trio.open_nursery() as nursery,
    ):
        results: list[int] = []

        async def poll(number: int) -> None:
            results.append(await first.run(twice, number))
            results.append(await second.run(twice, number))

        for number in range(5):
            nursery.start_soon(poll, number)
    assert sorted(results) == [0, 0, 2, 2, 4, 4, 6, 6, 8, 8]


async def test_cancelled_work_cleans_up_before_its_caller_goes_on() -> None:
    """Asyncio cancels once, so clean-up that awaits is done."""
    heard: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            heard.append("cleaned up")

    async with open_bridge("bess-1") as bridge:
        with trio.move_on_after(0.01) as scope:
            await bridge.run(hang)
        assert scope.cancelled_caught
        assert heard == ["cleaned up"]
        assert await bridge.run(twice, 1) == 2


async def test_a_late_error_is_counted_and_ends_nothing() -> None:
    """A task that nobody awaits fails, as a library's reader does on a peer's bytes."""

    async def leave_callbacks_that_fail(count: int) -> None:
        for _ in range(count):
            asyncio.get_running_loop().call_soon(int, "garbage")
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    with capture_logs() as logs:
        async with open_bridge("bess-1") as bridge:
            await bridge.run(leave_callbacks_that_fail, COMPLAINTS_LOGGED_MAX + 5)
            assert bridge.complaints == COMPLAINTS_LOGGED_MAX + 5
            assert await bridge.run(twice, 1) == 2
    assert [entry["event"] for entry in logs] == ["asyncio_complained"] * COMPLAINTS_LOGGED_MAX
    assert logs[0]["device"] == "bess-1"


async def test_the_end_of_the_block_tells_who_still_waits() -> None:
    """Closing a device from one task while another polls it."""

    async def hang() -> None:
        await asyncio.sleep(60)

    async with trio.open_nursery() as nursery, open_bridge("bess-1") as bridge:

        async def poll() -> None:
            with pytest.raises(DeviceError, match="bess-1: the connection was closed"):
                await bridge.run(hang)

        nursery.start_soon(poll)
        await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(DeviceError, match="closed"):
        await bridge.run(twice, 1)


async def test_cancelling_the_block_ends_it_as_cancelled() -> None:
    """The edge bounds the opening of a device from outside."""
    with trio.move_on_after(0.01) as scope:
        async with open_bridge("bess-1") as bridge:
            await bridge.run(asyncio.sleep, 60)
    assert scope.cancelled_caught


async def test_a_goodbye_is_said_while_being_cancelled_and_takes_only_so_long() -> None:
    """The device is told that its user leaves, if it listens."""
    heard: list[str] = []

    async def say_goodbye() -> None:
        await asyncio.sleep(0)
        heard.append("goodbye")

    with capture_logs() as logs, trio.move_on_after(0.01):
        async with open_bridge("bess-1") as bridge:
            try:
                await trio.sleep_forever()
            finally:
                await bridge.finish(say_goodbye, within_s=1)
                await bridge.finish(asyncio.sleep, 60, within_s=0.01)
    assert heard == ["goodbye"]
    assert [entry["error"] for entry in logs] == ["no answer within 0.01 s"]
