"""Stories of dispatches: what an operator sees is durable, and true."""

from functools import partial

import pytest
import trio
from headend_plant import Plant, open_plant
from memory_store import MemoryDisk

from actors import Crashed
from actors.testing import run_deterministic
from dercp.headend.errors import DeskBusy, KeyReused, UnknownTarget
from dercp.model.dispatch import Dispatch, DispatchError

Clock = trio.abc.Clock


async def reasons(plant: Plant, dispatch_id: str) -> list[tuple[str, str]]:
    """The story with its reasons."""
    timeline = (await plant.dispatch(dispatch_id)).timeline
    return [(entry.state.value, entry.reason) for entry in timeline]


# --- the good way


async def test_a_dispatch_goes_all_the_way(autojump_clock: Clock) -> None:
    """Submitted, sent, acked, applied, following, completed; each step durable and counted."""
    async with open_plant() as plant, plant.agent() as agent:
        taken = await plant.submit(1.5)
        order = await agent.expect_dispatch()
        assert (order.dispatch_id, order.revision) == (taken.dispatch_id, 1)
        assert (order.asset_id, order.setpoint_mw) == ("bess-1", 1.5)
        states = ["acked", "applied", "following", "deviating", "following", "completed"]
        for state in states:
            readback = {"readback_mw": 1.5} if state == "applied" else {}
            await agent.update(taken.dispatch_id, state, **readback)
        assert await plant.story(taken.dispatch_id) == ["submitted", "sent", *states]
        assert (await plant.dispatch(taken.dispatch_id)).readback_mw == 1.5
        assert plant.count("dispatches_following") == 2
        assert plant.count("dispatches_submitted") == 1
        plant.assert_unharmed()


async def test_a_post_is_answered_when_it_is_durable(autojump_clock: Clock) -> None:
    """Not before the disk has it; and nothing is sent before."""
    async with open_plant() as plant, plant.agent() as agent:
        plant.disk.write_takes_s = 2.0
        began_s = trio.current_time()
        taken = await plant.submit()
        assert trio.current_time() - began_s >= 2
        assert plant.disk.dispatches[taken.dispatch_id].state == "sent"
        await agent.expect_dispatch()


async def test_an_offline_asset_gets_its_dispatch_when_it_connects(autojump_clock: Clock) -> None:
    """Submitted until then; delivered within deliver_by."""
    async with open_plant() as plant:
        async with plant.agent():
            pass
        taken = await plant.submit()
        assert await plant.story(taken.dispatch_id) == ["submitted"]
        await trio.sleep(20)
        async with plant.agent() as agent:
            assert (await agent.expect_dispatch()).dispatch_id == taken.dispatch_id
            assert await plant.story(taken.dispatch_id) == ["submitted", "sent"]
        plant.assert_unharmed()


async def test_a_dispatch_that_could_not_be_delivered_expires(autojump_clock: Clock) -> None:
    """At deliver_by, to the second; an asset that connects later never hears of it."""
    async with open_plant() as plant:
        async with plant.agent():
            pass
        taken = await plant.submit(deliver_within_s=30)
        await trio.sleep(29.9)
        assert await plant.story(taken.dispatch_id) == ["submitted"]
        await trio.sleep(0.2)
        assert await reasons(plant, taken.dispatch_id) == [
            ("submitted", ""),
            ("expired", "not_delivered"),
        ]
        async with plant.agent() as agent:
            with trio.move_on_after(60):
                await agent.expect_dispatch()
                pytest.fail("a stale command was delivered")
        plant.assert_unharmed()


async def test_a_lost_link_takes_a_dispatch_back_and_the_next_one_delivers_it(
    autojump_clock: Clock,
) -> None:
    """Undelivered when the session ends unanswered; then the same id and revision again."""
    async with open_plant() as plant:
        async with plant.agent() as agent:
            taken = await plant.submit()
            first = await agent.expect_dispatch()
            await agent.wire.cut()
            await plant.settle()
            assert await reasons(plant, taken.dispatch_id) == [
                ("submitted", ""),
                ("sent", ""),
                ("submitted", "link_lost"),
            ]
        await trio.sleep(10)
        async with plant.agent() as agent:
            assert await agent.expect_dispatch() == first
            await agent.update(taken.dispatch_id, "acked")
            assert (await plant.story(taken.dispatch_id))[-2:] == ["sent", "acked"]
        plant.assert_unharmed()


async def test_what_was_acked_is_not_sent_again(autojump_clock: Clock) -> None:
    """The edge has it: a new session goes on where the old one stopped."""
    async with open_plant() as plant:
        async with plant.agent() as agent:
            taken = await plant.submit()
            await agent.expect_dispatch()
            await agent.update(taken.dispatch_id, "acked")
            await plant.settle()
        async with plant.agent() as agent:
            with trio.move_on_after(5):
                await agent.expect_dispatch()
                pytest.fail("sent twice")
            await agent.update(taken.dispatch_id, "completed")
            assert await plant.story(taken.dispatch_id) == [
                "submitted",
                "sent",
                "acked",
                "completed",
            ]


async def test_a_superseding_session_gets_what_the_older_did_not_answer(
    autojump_clock: Clock,
) -> None:
    """In seconds, while the asset is never offline."""
    async with open_plant() as plant, plant.agent() as older:
        taken = await plant.submit()
        await older.expect_dispatch()
        async with plant.agent() as newer:
            assert (await newer.expect_dispatch()).dispatch_id == taken.dispatch_id
        plant.assert_unharmed()


# --- the end nobody told


async def test_a_dispatch_whose_end_nobody_told_is_unknown(autojump_clock: Clock) -> None:
    """At until plus grace; a late word of the edge resolves it, nothing else does."""
    async with open_plant() as plant, plant.agent() as agent:
        taken = await plant.submit(lasts_s=60)
        await agent.expect_dispatch()
        await agent.update(taken.dispatch_id, "applied")
        await trio.sleep(89)
        assert (await plant.dispatch(taken.dispatch_id)).state == "applied"
        await trio.sleep(2)
        assert (await reasons(plant, taken.dispatch_id))[-1] == ("unknown", "no_end_heard")
        await agent.update(taken.dispatch_id, "following")
        assert (await plant.dispatch(taken.dispatch_id)).state == "unknown"
        await agent.update(taken.dispatch_id, "completed")
        assert (await plant.dispatch(taken.dispatch_id)).state == "completed"
        await agent.update(taken.dispatch_id, "failed")
        assert (await plant.dispatch(taken.dispatch_id)).state == "completed"
        plant.assert_unharmed()


async def test_a_forgotten_dispatch_is_read_from_the_ledger(autojump_clock: Clock) -> None:
    """Ended ones leave memory; they can be looked up, and resolved by a late word."""
    async with (
        open_plant(dispatches_remembered_max=2) as plant,
        plant.agent() as agent,
    ):
        taken = await plant.submit(lasts_s=1)
        await agent.expect_dispatch()
        for _ in range(5):
            other = await plant.submit()
            await agent.expect_dispatch()
            await agent.update(other.dispatch_id, "rejected", reason="not_remote")
        await trio.sleep(40)
        for _ in range(3):
            other = await plant.submit()
            await agent.expect_dispatch()
            await agent.update(other.dispatch_id, "rejected", reason="not_remote")
        assert (await plant.dispatch(taken.dispatch_id)).state == "unknown"
        await agent.update(taken.dispatch_id, "completed")
        assert (await plant.dispatch(taken.dispatch_id)).state == "completed"
        plant.assert_unharmed()


# --- what is refused


async def test_an_unknown_asset_is_refused(autojump_clock: Clock) -> None:
    """Nobody registered it."""
    async with open_plant() as plant:
        with pytest.raises(UnknownTarget, match="no asset bess-9"):
            await plant.submit(asset_id="bess-9")
        assert plant.disk.dispatches == {}


async def test_a_setpoint_outside_the_nameplate_is_refused(autojump_clock: Clock) -> None:
    """With the range in the sentence; nothing is stored."""
    async with open_plant() as plant, plant.agent():
        with pytest.raises(DispatchError, match="outside the nameplate of bess-1, -2 to 2 MW"):
            await plant.submit(2.1)
        assert plant.disk.dispatches == {}
        plant.assert_unharmed()


async def test_words_of_others_are_refused_and_counted(autojump_clock: Clock) -> None:
    """A foreign agent, an unknown id, another revision: nothing changes."""
    async with (
        open_plant() as plant,
        plant.agent() as agent,
        plant.agent("edge-2", "site-2", assets=("bess-2",)) as foreign,
    ):
        taken = await plant.submit()
        await foreign.update(taken.dispatch_id, "completed")
        await agent.update("d-nobody-knows", "completed")
        await agent.update(taken.dispatch_id, "completed", revision=2)
        assert (await plant.dispatch(taken.dispatch_id)).state == "sent"
        assert plant.count("dispatch_updates_refused") == 3
        plant.assert_unharmed()


# --- idempotency


async def test_the_same_key_and_body_return_the_same_dispatch(autojump_clock: Clock) -> None:
    """In its newest state; another body is refused; both survive a restart."""
    disk = MemoryDisk()
    async with open_plant(disk) as plant, plant.agent() as agent:
        first = await plant.submit(key="k")
        await agent.expect_dispatch()
        await agent.update(first.dispatch_id, "acked")
        await plant.settle()
        again = await plant.submit(key="k")
        assert (again.dispatch_id, again.state) == (first.dispatch_id, "acked")
        with pytest.raises(KeyReused):
            await plant.submit(key="k", fingerprint="another")
    async with open_plant(disk) as plant:
        assert (await plant.submit(key="k")).dispatch_id == first.dispatch_id
        with pytest.raises(KeyReused):
            await plant.submit(key="k", fingerprint="another")
    assert len(disk.dispatches) == 1


async def test_a_thousand_posts_with_one_key_make_one_dispatch(autojump_clock: Clock) -> None:
    """At the same time, on a slow disk: one id for all, sent once."""
    async with open_plant() as plant, plant.agent() as agent:
        plant.disk.write_takes_s = 0.1
        taken: list[Dispatch] = []

        async def post() -> None:
            taken.append(await plant.submit(key="k"))

        async with trio.open_nursery() as nursery:
            for _ in range(1_000):
                nursery.start_soon(post)
        assert len(taken) == 1_000
        assert {each.dispatch_id for each in taken} == {"d-1"}
        await agent.expect_dispatch()
        with trio.move_on_after(5):
            await agent.expect_dispatch()
            pytest.fail("sent twice")


# --- too much, and a full disk


async def test_a_full_disk_is_said_and_recovers_by_itself(autojump_clock: Clock) -> None:
    """DeskBusy, nothing shown that is not durable; it goes on once there is room."""
    async with open_plant() as plant, plant.agent() as agent:
        waiting = await plant.submit()
        await agent.expect_dispatch()
        plant.disk.full = True
        with pytest.raises(DeskBusy) as busy:
            await plant.submit()
        assert busy.value.retry_after_s == 1.0
        await agent.update(waiting.dispatch_id, "acked")
        await trio.sleep(20)
        assert (await plant.dispatch(waiting.dispatch_id)).state == "sent"
        assert not plant.headend.operations.system().ready
        assert len(plant.disk.dispatches) == 1
        plant.disk.full = False
        await trio.sleep(2)
        assert (await plant.dispatch(waiting.dispatch_id)).state == "acked"
        assert plant.headend.operations.system().ready
        await plant.submit()
        await agent.expect_dispatch()
        plant.assert_unharmed()


async def test_a_delivery_that_was_due_on_a_full_disk_is_made_up_for(
    autojump_clock: Clock,
) -> None:
    """What was to go out again while nothing could be written goes out once there is room."""
    async with open_plant() as plant, plant.agent() as older:
        taken = await plant.submit()
        await older.expect_dispatch()
        async with plant.agent() as newer:
            await older.expect("reject")
            await older.call.end()
            await plant.settle()
            assert (await plant.dispatch(taken.dispatch_id)).state == "submitted"
            plant.disk.full = True
            await trio.sleep(5)
            assert (await plant.dispatch(taken.dispatch_id)).state == "submitted"
            plant.disk.full = False
            assert (await newer.expect_dispatch()).dispatch_id == taken.dispatch_id
        plant.assert_unharmed()


async def test_a_full_mailbox_is_said(autojump_clock: Clock) -> None:
    """More posts than the desk takes on a stuck disk: DeskBusy in time, none is lost."""
    async with (
        open_plant(desk_mailbox_max=4, desk_batch_max=2) as plant,
        plant.agent(),
    ):
        plant.disk.write_takes_s = 3.0
        answers: list[str] = []

        async def post() -> None:
            try:
                await plant.submit()
            except DeskBusy:
                answers.append("busy")
            else:
                answers.append("taken")

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(post)
        assert answers.count("taken") + answers.count("busy") == 20
        assert answers.count("busy") > 0
        await trio.sleep(10)
        assert len(plant.disk.dispatches) < 20
        plant.assert_unharmed()


async def test_open_dispatches_are_bounded(autojump_clock: Clock) -> None:
    """Beyond dispatches_open_max a post is turned away and counted, until one has ended."""
    async with open_plant(dispatches_open_max=2) as plant, plant.agent() as agent:
        first = await plant.submit()
        await plant.submit()
        with pytest.raises(DeskBusy, match="have not ended"):
            await plant.submit()
        assert plant.count("dispatches_turned_away") == 1
        await agent.update(first.dispatch_id, "completed")
        await plant.settle()
        await plant.submit()


async def test_a_burst_for_a_busy_session_is_delivered_in_turns(autojump_clock: Clock) -> None:
    """What finds no room goes back to submitted and out again; nothing is lost."""
    async with (
        open_plant(session_mailbox_max=2) as plant,
        plant.agent(assets=[f"bess-{i}" for i in range(10)]) as agent,
    ):
        async with trio.open_nursery() as nursery:
            for i in range(10):
                nursery.start_soon(partial(plant.submit, asset_id=f"bess-{i}"))
        got = [(await agent.expect_dispatch()).asset_id for _ in range(10)]
        assert sorted(str(each) for each in got) == [f"bess-{i}" for i in range(10)]
        assert plant.count("mailbox_overflows") > 0
        assert plant.count("dispatches_sent") > 10
        plant.assert_unharmed()


# --- restarts


STEPS = ["submitted", "sent", "acked", "applied", "following", "completed"]


@pytest.mark.parametrize("step", STEPS)
async def test_a_restarted_headend_goes_on_where_it_was(autojump_clock: Clock, step: str) -> None:
    """At every step: what the edge has answered stands, what it has not is sent again."""
    disk = MemoryDisk()
    with trio.CancelScope() as kill:
        async with open_plant(disk) as plant, plant.agent() as agent:
            if step == "submitted":
                await agent.wire.cut()
                await plant.settle()
            taken = await plant.submit()
            for state in STEPS[2 : STEPS.index(step) + 1]:
                await agent.update(taken.dispatch_id, state)
            assert (await plant.dispatch(taken.dispatch_id)).state == step
            kill.cancel()
            await trio.lowlevel.checkpoint()
    async with open_plant(disk) as plant:
        unanswered = step in {"submitted", "sent"}
        expected = "submitted" if unanswered else step
        assert (await plant.dispatch(taken.dispatch_id)).state == expected
        async with plant.agent() as agent:
            if unanswered:
                assert (await agent.expect_dispatch()).dispatch_id == taken.dispatch_id
            await agent.update(taken.dispatch_id, "completed")
            assert (await plant.dispatch(taken.dispatch_id)).state == "completed"
        plant.assert_unharmed()


async def test_time_passes_while_the_headend_is_down(autojump_clock: Clock) -> None:
    """A dispatch that ran out meanwhile is expired or unknown when it is back."""
    disk = MemoryDisk()
    async with open_plant(disk) as plant:
        async with plant.agent() as agent:
            sent = await plant.submit(lasts_s=60)
            await agent.expect_dispatch()
        never = await plant.submit(lasts_s=60)
    await trio.sleep(600)
    async with open_plant(disk) as plant:
        assert (await plant.dispatch(sent.dispatch_id)).state == "unknown"
        assert (await plant.dispatch(never.dispatch_id)).state == "expired"


async def test_a_headend_starts_on_a_full_disk(autojump_clock: Clock) -> None:
    """Dispatches that were out stay as they are on the disk, until there is room."""
    disk = MemoryDisk()
    async with open_plant(disk) as plant, plant.agent():
        taken = await plant.submit()
        await plant.settle()
        disk.full = True
    disk.full = False
    disk.dispatches[taken.dispatch_id] = taken
    async with open_plant(disk) as plant:
        disk.full = True
        await trio.sleep(5)
        plant.assert_unharmed()
        disk.full = False
        await trio.sleep(2)
        assert (await plant.dispatch(taken.dispatch_id)).state == "submitted"


async def test_a_crashed_desk_takes_up_its_work(autojump_clock: Clock) -> None:
    """Its state is the ledger's; links live on, and what was out goes out again."""
    async with open_plant() as plant, plant.agent() as agent:
        taken = await plant.submit()
        await agent.expect_dispatch()
        plant.disk.keys.clear()
        plant.disk.broken = True
        with pytest.raises(DeskBusy):
            await plant.submit()
        assert len(plant.events.of(Crashed)) == 1
        plant.disk.broken = False
        assert (await agent.expect_dispatch()).dispatch_id == taken.dispatch_id
        await agent.update(taken.dispatch_id, "acked")
        assert (await plant.dispatch(taken.dispatch_id)).state == "acked"


def test_the_same_seed_tells_the_same_story() -> None:
    """The plant is deterministic: one seed, one interleaving, one set of timelines."""

    async def story() -> dict[str, Dispatch]:
        async with open_plant() as plant, plant.agent(assets=("bess-1", "bess-2")) as agent:
            async with trio.open_nursery() as nursery:
                for i in range(10):
                    nursery.start_soon(partial(plant.submit, asset_id=f"bess-{1 + i % 2}"))
            for _ in range(10):
                order = await agent.expect_dispatch()
                await agent.update(order.dispatch_id, "acked")
            await plant.settle()
            return dict(plant.disk.dispatches)

    assert run_deterministic(7, story) == run_deterministic(7, story)
