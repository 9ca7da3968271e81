"""What an agent says of its past: registrations under which its backlog was written."""

import pytest
import trio
from headend_plant import Caller, Plant, battery, open_plant, site_of
from memory_store import MemoryDisk
from trio.abc import Clock

from dercp.headend.history.views import HistorySpan
from dercp.model.asset import Registration
from dercp.wire import v1
from dercp.wire.payload import RowDraft, encode_payload
from dercp.wire.registration import encode_registration, registration_id

# Last week: another order of points, and an asset that is gone since.
EARLIER = Registration(
    site_id="site-1",
    site_name="Site 1",
    assets=(battery("bess-0"), battery("bess-1", points=("soc_pct", "active_power_mw"))),
)
CONTENT = encode_registration(EARLIER)


async def tell(agent: Caller, registration: Registration = EARLIER) -> None:
    """Say an earlier registration."""
    content = encode_registration(registration)
    await agent.say(earlier_registration=v1.EarlierRegistration(registration=content))


async def backlog(agent: Caller, plant: Plant, sequence: int) -> None:
    """Send a batch that was written under it: a row of each of its assets."""
    taken_us = plant.clock() - 60_000_000
    rows = [RowDraft(0, taken_us, [-1.0, 40.0]), RowDraft(1, taken_us, [50.0, 1.5])]
    await agent.payload(
        encode_payload(taken_us, rows),
        sequence=sequence,
        registration_id=registration_id(CONTENT),
        lane=v1.Lane.BACKLOG,
    )


async def test_a_backlog_is_read_under_what_the_agent_tells_of(autojump_clock: Clock) -> None:
    """Stored whole, and the registration with it, before it is acknowledged."""
    disk = MemoryDisk()
    async with open_plant(disk) as plant, plant.agent() as agent:
        await tell(agent)
        await backlog(agent, plant, 7)
        assert await agent.expect_ack() == [(7, 7)]
        assert disk.registrations[registration_id(CONTENT)].content == CONTENT
        assert [frame.samples for frame in disk.frames.values()] == [2]
        plant.assert_unharmed()


async def test_history_under_it_is_read_by_its_own_schema(autojump_clock: Clock) -> None:
    """After a restart too; of an asset that is gone, for whoever asks the log for it."""
    disk = MemoryDisk()
    async with open_plant(disk) as plant, plant.agent() as agent:
        await tell(agent)
        await backlog(agent, plant, 1)
        await agent.expect_ack()
    async with open_plant(disk) as plant:
        assert plant.headend.reader.asset("bess-0") is None
        for asset_id, power_mw in (("bess-0", -1.0), ("bess-1", 1.5)):
            span = HistorySpan(
                agent_id="edge-1",
                asset_id=asset_id,
                points=EARLIER.assets[0].points,
                from_us=0,
                to_us=plant.clock() + 1,
            )
            page = await plant.headend.history.samples(span, after=None, limit=10)
            values = {each.point: each.value for each in page.samples[0].readings}
            assert values["active_power_mw"] == power_mw


async def test_the_past_is_not_shown_as_the_present(autojump_clock: Clock) -> None:
    """An asset that stands there no more does not come back."""
    async with open_plant() as plant, plant.agent() as agent:
        await agent.sample(0.25)
        await agent.expect_ack()
        await tell(agent)
        await backlog(agent, plant, 2)
        await agent.expect_ack()
        assert plant.power_mw("bess-1") == 0.25
        assert plant.headend.reader.telemetry("bess-0") is None


@pytest.mark.parametrize(
    ("registration", "code"),
    [
        (encode_registration(site_of("site-2", "bess-1")), v1.RejectCode.NOT_YOURS),
        (b"\xff", v1.RejectCode.BAD_REGISTRATION),
        (b"", v1.RejectCode.BAD_REGISTRATION),
    ],
    ids=["another site's", "garbled", "empty"],
)
async def test_what_is_no_registration_of_this_site_is_refused(
    autojump_clock: Clock, registration: bytes, code: v1.RejectCode
) -> None:
    """Typed and counted; batches under it too, and the session goes on."""
    disk = MemoryDisk()
    async with open_plant(disk) as plant, plant.agent() as agent:
        said = v1.EarlierRegistration(registration=registration)
        await agent.say(earlier_registration=said)
        await agent.expect_reject(code)
        await agent.payload(b"", sequence=9, registration_id=registration_id(registration))
        reject = await agent.expect_reject(v1.RejectCode.UNKNOWN_REGISTRATION)
        assert (reject.sequence, reject.final) == (9, False)
        await agent.sample()
        assert await agent.expect_ack() == [(2, 2)]
        assert plant.count(f"rejects_{(code.name or '').lower()}") == 1
        assert registration_id(registration) not in disk.registrations


async def test_while_the_registry_takes_nothing_a_backlog_waits(autojump_clock: Clock) -> None:
    """It is neither refused nor acknowledged, and is taken when it comes again."""
    disk = MemoryDisk()
    async with open_plant(disk) as plant, plant.agent() as agent:
        disk.full = True
        await tell(agent)
        await backlog(agent, plant, 1)
        await trio.sleep(1)
        assert plant.count("frames_not_taken") == 1
        disk.full = False
        await backlog(agent, plant, 1)
        assert await agent.expect_ack() == [(1, 1)]
        assert plant.count("rejects_unknown_registration") == 0


async def test_too_many_in_one_session_end_it(autojump_clock: Clock) -> None:
    """The agent comes back in a moment and goes on; what it told of is known by then."""
    async with open_plant(registrations_per_session_max=2) as plant, plant.agent() as agent:
        for number in range(3):
            await tell(agent, site_of("site-1", f"bess-{number}"))
        reject = await agent.expect_reject(v1.RejectCode.OVERLOADED)
        assert reject.final
        assert reject.retry_after_ms > 0
        await agent.expect_end()
        assert await plant.ended_as("rejected_overloaded")
