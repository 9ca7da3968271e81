"""The history against a list: any story of batches, gaps, pruning and restarts."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from history_samples import EVER, SECOND, frame, gap, numbers, small
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory_store import MemoryDisk, open_memory_history
from postgres_history import open_postgres_history
from postgres_server import PostgresServer

from dercp.store import FrameRecord, History, open_history

AGENTS = ["alpha-gw", "beta-gw"]


class Append(msgspec.Struct, frozen=True):
    """One call of `append`."""

    frames: list[tuple[str, str, int]]

    def records(self) -> Iterator[FrameRecord]:
        """The frames; what is in them depends on their names alone."""
        for agent, spool, sequence in self.frames:
            yield frame(sequence, agent=agent, spool_id=spool)


class Declare(msgspec.Struct, frozen=True):
    """One call of `declare`, with a gap of some batches."""

    agent: str
    spool: str
    first: int
    count: int
    reason: str


class Prune(msgspec.Struct, frozen=True):
    """Ageing out, so many seconds after the first batch."""

    second: int


class Reopen(msgspec.Struct, frozen=True):
    """The headend restarts."""


agents, spools = st.sampled_from(AGENTS), st.sampled_from(["s1", "s2"])
stories = st.lists(
    st.builds(Append, st.lists(st.tuples(agents, spools, st.integers(1, 30)), max_size=8))
    | st.builds(
        Declare, agents, spools, st.integers(1, 30), st.integers(0, 5), st.sampled_from("ab")
    )
    | st.builds(Prune, st.integers(1, 40))
    | st.builds(Reopen),
    max_size=15,
)


@pytest.fixture
def tiny_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment of the log is complete after five frames."""
    monkeypatch.setattr("dercp.store.sqlite._segments.SEGMENT_FRAMES", 5)


Story = list[Append | Declare | Prune | Reopen]
LIMITS = small(retained_s=15.0)


async def tell(story: Story, open_it: Callable[[], AbstractAsyncContextManager[History]]) -> None:
    """Live through the story beside the memory's history; both must always say the same."""
    async with AsyncExitStack() as opened, open_memory_history(MemoryDisk(), LIMITS) as model:
        history = await opened.enter_async_context(open_it())
        for step in story:
            match step:
                case Reopen():
                    await opened.aclose()
                    history = await opened.enter_async_context(open_it())
                case Append():
                    frames = list(step.records())
                    assert await history.append(frames) == await model.append(frames)
                case Declare(agent, spool, first, count, reason):
                    declared = gap(first, first + count, agent=agent, spool_id=spool, reason=reason)
                    await history.declare([declared])
                    await model.declare([declared])
                case Prune(second):
                    now_us = (second + 15) * SECOND
                    assert await history.prune(now_us) == await model.prune(now_us)
            await compare(history, model)


async def compare(history: History, model: History) -> None:
    """Every question has the same answer."""
    for agent in AGENTS:
        assert await numbers(history, agent) == await numbers(model, agent)
        window = ("default", agent, 5 * SECOND, 12 * SECOND)
        assert await history.frames(*window) == await model.frames(*window)
        sequences = await model.sequences("default", agent)
        assert await history.sequences("default", agent) == sequences
    gaps = (await model.gaps("default", None, 0, EVER)).gaps
    assert (await history.gaps("default", None, 0, EVER)).gaps == gaps
    assert history.statistics().frames == model.statistics().frames


@pytest.mark.usefixtures("tiny_segments")
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(story=stories)
async def test_any_story_leaves_what_a_list_would_hold(story: Story) -> None:
    """Frames, gaps, sequences and statistics are those of the memory's history."""
    with TemporaryDirectory() as directory:
        await tell(story, lambda: open_history(Path(directory), LIMITS))


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(story=stories)
async def test_any_story_leaves_the_same_in_postgres(
    story: Story, postgres_server: PostgresServer, postgres_url: str
) -> None:
    """The same, of a database that was empty at the beginning."""
    postgres_server.empty(postgres_url.rpartition("/")[2])
    await tell(story, lambda: open_postgres_history(postgres_url, LIMITS))
