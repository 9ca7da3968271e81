"""How a call becomes a session, or does not."""

import time
from typing import Any

import pytest
import trio
from headend_plant import Caller, Plant, open_plant, site_of

from dercp.wire import v1
from dercp.wire.v1 import RejectCode
from dercp.wire.v1 import edge_link_pb2 as upb

Clock = trio.abc.Clock


async def assert_sent_away(plant: Plant, caller: Caller, code: RejectCode) -> v1.Reject:
    """The caller is told why, the call ends, nothing of the session is left."""
    reject = await caller.expect_reject(code)
    assert reject.final
    assert reject.detail
    await caller.expect_end()
    assert await plant.ended_as(f"rejected_{(code.name or '').lower()}")
    assert plant.count(f"rejects_{(code.name or '').lower()}") == 1
    assert plant.headend.reader.agent(caller.agent_id) is None
    plant.assert_unharmed()
    return reject


async def test_a_hello_is_answered_with_a_welcome(autojump_clock: Clock) -> None:
    """Session id, epoch, heartbeat interval and limit are told; the assets are online."""
    async with open_plant() as plant, plant.agent(assets=("bess-1", "bess-2")) as agent:
        assert agent.welcome is not None
        assert agent.welcome.session_id == "edge-1:1"
        assert agent.welcome.epoch == 1
        assert agent.welcome.heartbeat_interval_ms == 10_000
        assert agent.welcome.message_bytes_max == 4 * 1024 * 1024
        assert [asset.online for asset in plant.headend.reader.assets()] == [True, True]
        assert plant.headend.operations.system().agents_connected == 1
        plant.assert_unharmed()


async def test_a_call_without_a_hello_is_ended(autojump_clock: Clock) -> None:
    """HELLO_EXPECTED after ten seconds, and the call is over."""
    async with open_plant() as plant, plant.caller("edge-1", site_of("site-1")) as caller:
        await assert_sent_away(plant, caller, RejectCode.HELLO_EXPECTED)
        # And two more, in which it could have ended the call itself.
        assert trio.current_time() == pytest.approx(12, abs=0.1)


async def test_a_call_that_ends_before_its_hello_leaves_nothing(autojump_clock: Clock) -> None:
    """A port scanner that speaks gRPC is counted, no more."""
    async with open_plant() as plant, plant.caller("edge-1", site_of("site-1")) as caller:
        await caller.call.end()
        await caller.expect_end()
        assert await plant.ended_as("agent_closed")
        assert plant.headend.reader.agents() == []
        plant.assert_unharmed()


async def test_a_hello_in_the_last_second_is_taken(autojump_clock: Clock) -> None:
    """Late is only what comes after the time."""
    async with open_plant() as plant, plant.caller("edge-1", site_of("site-1")) as caller:
        await trio.sleep(9.9)
        assert (await caller.hello()).epoch == 1


async def test_garbage_instead_of_a_hello_is_malformed(autojump_clock: Clock) -> None:
    """The first bytes are no Uplink at all."""
    async with open_plant() as plant, plant.caller("edge-1", site_of("site-1")) as caller:
        await caller.call.send(b"\xff" * 100)
        await assert_sent_away(plant, caller, RejectCode.MALFORMED)


async def test_the_first_message_must_be_a_hello(autojump_clock: Clock) -> None:
    """Telemetry before the Hello is not taken."""
    async with open_plant() as plant, plant.caller("e", site_of("site-1", "bess-1")) as caller:
        await caller.sample()
        await assert_sent_away(plant, caller, RejectCode.HELLO_EXPECTED)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"agent_id": ""}, RejectCode.MALFORMED),
        ({"agent_id": "no spaces"}, RejectCode.MALFORMED),
        ({"agent_id": "x" * 65}, RejectCode.MALFORMED),
        ({"spool_id": "/etc/passwd"}, RejectCode.MALFORMED),
        ({"registration": b"\xff\xff"}, RejectCode.BAD_REGISTRATION),
        ({"registration": b""}, RejectCode.BAD_REGISTRATION),
        ({"software_version": "v" * 100_000}, RejectCode.TOO_LARGE),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_a_hello_that_cannot_be_right_is_refused(
    autojump_clock: Clock, fields: dict[str, Any], code: RejectCode
) -> None:
    """Ids of another shape, a registration that is none, texts without end."""
    async with open_plant() as plant, plant.caller("edge-1", site_of("site-1")) as caller:
        await caller.say_hello(**fields)
        await assert_sent_away(plant, caller, code)


async def test_a_million_assets_are_refused_cheaply() -> None:
    """TOO_MANY_ASSETS before any of them is looked at: well below a second, no memory."""
    million = upb.Registration(site_id="s").SerializeToString() + b"\x1a\x00" * 1_000_000
    # Decoded in a thread, of which a virtual clock knows nothing: so this runs on the real one.
    async with open_plant() as plant, plant.caller("edge-1", site_of("site-1")) as caller:
        began = time.process_time()
        await caller.say_hello(registration=million)
        await assert_sent_away(plant, caller, RejectCode.TOO_MANY_ASSETS)
        assert time.process_time() - began < 1.0


async def test_a_message_over_the_limit_is_not_taken_in(autojump_clock: Clock) -> None:
    """TOO_LARGE, before it is buffered; the neighbour does not feel it."""
    async with (
        open_plant(message_bytes_max=100_000) as plant,
        plant.agent("edge-2", "site-2", assets=("bess-2",)) as neighbour,
        plant.caller("edge-1", site_of("site-1")) as caller,
    ):
        await caller.call.send(bytes(100_001))
        await assert_sent_away(plant, caller, RejectCode.TOO_LARGE)
        await neighbour.sample(1.5)
        await plant.settle()
        assert plant.power_mw("bess-2") == 1.5


async def test_what_a_dead_agent_asked_for_is_undone(autojump_clock: Clock) -> None:
    """Admitted after it had given up: the fleet learns of its end all the same."""
    async with open_plant(admit_within_s=1.0) as plant:
        plant.disk.write_takes_s = 5.0
        async with plant.caller("edge-1", site_of("site-1", "bess-1")) as caller:
            await caller.say_hello()
            reject = await caller.expect_reject(RejectCode.OVERLOADED)
            assert reject.final
            assert reject.retry_after_ms == 5_000
            await caller.expect_end()
        await trio.sleep(30)
        agent = plant.headend.reader.agent("edge-1")
        assert agent is not None
        assert agent.session is None
        assert [each.reason for each in agent.recent_sessions] == ["rejected_overloaded"]
        asset = plant.headend.reader.asset("bess-1")
        assert asset is not None
        assert not asset.online
        plant.assert_unharmed()


async def test_a_full_disk_lets_nobody_in_and_then_everybody(autojump_clock: Clock) -> None:
    """OVERLOADED with a hint when to come back; nothing is left of the attempt."""
    async with open_plant() as plant:
        plant.disk.full = True
        async with plant.caller("edge-1", site_of("site-1", "bess-1")) as caller:
            await caller.say_hello()
            reject = await assert_sent_away(plant, caller, RejectCode.OVERLOADED)
            assert reject.retry_after_ms == 5_000
        plant.disk.full = False
        async with plant.agent() as agent:
            assert agent.welcome is not None
            assert agent.welcome.epoch == 1
        plant.assert_unharmed()
