"""The helpers for tests, and that a seed repeats a run."""

import pytest
import trio
import trio._core._run as trio_scheduler
import trio.testing
from puppets import crash, note, puppet
from trio.testing import MockClock

import actors
from actors import Restart
from actors.testing import EventRecorder, Probe, run_deterministic


async def crowd() -> list[str]:
    """Twenty actors that race each other, some of which crash; the order of what they did."""
    diary: list[str] = []
    async with actors.open_system("sys", seed=1, restart=Restart(limit=99)) as system:
        refs = [await system.root.start(puppet(f"p{index}", diary)) for index in range(20)]
        for index, ref in enumerate(refs):
            ref.tell_nowait(note(f"note {index}"))
            if index % 4 == 0:
                ref.tell_nowait(crash)
        await trio.sleep(5)
    return diary


def test_the_same_seed_gives_the_same_interleaving() -> None:
    """Run for run; and another seed another one."""
    runs = [run_deterministic(seed, crowd) for seed in (1, 1, 1, 2)]

    assert runs[0] == runs[1] == runs[2]
    assert runs[0] != runs[3]
    assert sorted(runs[0]) == sorted(runs[3])


def test_the_scheduler_is_left_as_it_was() -> None:
    """Other tests are not made deterministic behind their back."""
    before = trio_scheduler._r.getstate()
    flag = trio_scheduler._ALLOW_DETERMINISTIC_SCHEDULING

    run_deterministic(3, crowd)

    assert trio_scheduler._r.getstate() == before
    assert flag == trio_scheduler._ALLOW_DETERMINISTIC_SCHEDULING


def test_arguments_and_result_pass_through() -> None:
    """As with `trio.run`."""

    async def add(left: int, right: int) -> int:
        await trio.sleep(3600)
        return left + right

    assert run_deterministic(0, add, 2, 3) == 5


async def test_a_recorder_finds_what_was_and_what_will_be(autojump_clock: MockClock) -> None:
    """Waiting for an event of the past returns at once."""
    async with actors.open_system("sys") as system:
        recorder = EventRecorder(system.events)
        ref = await system.root.start(puppet())
        with trio.fail_after(5):
            started = await recorder.wait_for(actors.Started)
            ref.tell_nowait(crash)
            crashed = await recorder.wait_for(actors.Crashed, lambda e: e.path == "sys/puppet")

        assert started.path == crashed.path == "sys/puppet"
        with pytest.raises(trio.TooSlowError), trio.fail_after(5):
            await recorder.wait_for(actors.Escalated)


async def test_a_probe_gives_out_what_it_was_told(autojump_clock: MockClock) -> None:
    """In order, waiting if need be."""
    async with actors.open_system("sys") as system:
        probe = Probe[int]("probe")
        ref = await system.root.start(probe.spec)
        ref.tell_nowait(1)
        ref.tell_nowait(2)
        with trio.fail_after(5):
            assert [await probe.receive(), await probe.receive()] == [1, 2]
        with pytest.raises(trio.TooSlowError), trio.fail_after(5):
            await probe.receive()
