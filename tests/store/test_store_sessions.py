"""The contract of SessionLog."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from dercp.store import (
    PAGE_MAX,
    SESSIONS_KEPT,
    DuplicateSession,
    SessionRecord,
    Store,
)

OpenStore = Callable[[], AbstractAsyncContextManager[Store]]


def session(number: int, agent_id: str = "alpha-gw", tenant_id: str = "default") -> SessionRecord:
    """The agent's session of that number, just opened."""
    return SessionRecord(
        tenant_id=tenant_id,
        session_id=f"{tenant_id}-{agent_id}-{number}",
        agent_id=agent_id,
        epoch=number,
        peer="192.0.2.7:50123",
        connected_us=1_000_000 * number,
    )


async def test_a_session_is_open_until_its_end_is_known(open_store: OpenStore) -> None:
    """Opening and closing are each durable on return."""
    async with open_store() as store:
        await store.sessions.opened(session(1))
    async with open_store() as store:
        assert await store.sessions.recent("alpha-gw", 10) == (session(1),)
        await store.sessions.closed(
            "default-alpha-gw-1", 5_000_000, "drained", 40, 4_000, rejects=2
        )
    async with open_store() as store:
        (ended,) = await store.sessions.recent("alpha-gw", 10)
    assert (ended.disconnected_us, ended.reason) == (5_000_000, "drained")
    assert (ended.frames, ended.samples, ended.rejects) == (40, 4_000, 2)


async def test_sessions_come_newest_first(open_store: OpenStore) -> None:
    """In the order they were opened, whatever the wall clock said meanwhile."""
    async with open_store() as store:
        for number in (3, 1, 2):
            await store.sessions.opened(session(number))
        assert [s.epoch for s in await store.sessions.recent("alpha-gw", 10)] == [2, 1, 3]
        assert [s.epoch for s in await store.sessions.recent("alpha-gw", 2)] == [2, 1]


async def test_the_history_of_an_agent_is_bounded(open_store: OpenStore) -> None:
    """One session more forgets the agent's oldest, and nobody else's."""
    async with open_store() as store:
        await store.sessions.opened(session(1, "beta-gw"))
        for number in range(SESSIONS_KEPT + 5):
            await store.sessions.opened(session(number))
        kept = await store.sessions.recent("alpha-gw", PAGE_MAX)
        assert [s.epoch for s in kept] == list(range(SESSIONS_KEPT + 4, 4, -1))
        assert len(await store.sessions.recent("beta-gw", PAGE_MAX)) == 1


async def test_the_first_word_on_an_end_stands(open_store: OpenStore) -> None:
    """A late second reason does not rewrite history."""
    async with open_store() as store:
        await store.sessions.opened(session(1))
        await store.sessions.closed("default-alpha-gw-1", 5, "superseded", 1, 1)
        await store.sessions.closed("default-alpha-gw-1", 9, "link_lost", 7, 7)
        (ended,) = await store.sessions.recent("alpha-gw", 1)
    assert (ended.disconnected_us, ended.reason, ended.frames) == (5, "superseded", 1)


async def test_the_end_of_a_forgotten_session_is_dropped(open_store: OpenStore) -> None:
    """Its row is gone; that is no error."""
    async with open_store() as store:
        await store.sessions.closed("nobody-knows", 5, "link_lost", 0, 0)
        assert await store.sessions.recent("alpha-gw", 1) == ()


async def test_a_killed_headend_left_sessions_that_its_successor_ends(
    open_store: OpenStore,
) -> None:
    """All that were open, and only those."""
    async with open_store() as store:
        for number in (1, 2, 3):
            await store.sessions.opened(session(number))
        await store.sessions.closed("default-alpha-gw-1", 5, "drained", 0, 0)
    async with open_store() as store:
        assert await store.sessions.close_open(77, "headend_restarted") == 2
        assert await store.sessions.close_open(88, "headend_restarted") == 0
        ends = [(s.disconnected_us, s.reason) for s in await store.sessions.recent("alpha-gw", 3)]
    assert ends == [(77, "headend_restarted"), (77, "headend_restarted"), (5, "drained")]


async def test_a_session_is_opened_once(open_store: OpenStore) -> None:
    """A second session of that id is refused and changes nothing."""
    async with open_store() as store:
        await store.sessions.opened(session(1))
        with pytest.raises(DuplicateSession, match="default-alpha-gw-1"):
            await store.sessions.opened(session(1))
        assert await store.sessions.recent("alpha-gw", 9) == (session(1),)


async def test_tenants_have_their_own_sessions(open_store: OpenStore) -> None:
    """The same agent id under another tenant is another agent."""
    async with open_store() as store:
        await store.sessions.opened(session(1))
        await store.sessions.opened(session(8, tenant_id="other"))
        (ours,) = await store.sessions.recent("alpha-gw", 9)
        (theirs,) = await store.sessions.recent("alpha-gw", 9, tenant_id="other")
    assert (ours.epoch, theirs.epoch) == (1, 8)


@pytest.mark.parametrize("limit", [0, -1, PAGE_MAX + 1])
async def test_a_page_is_neither_empty_nor_endless(open_store: OpenStore, limit: int) -> None:
    """A limit outside the bound is the caller's mistake."""
    async with open_store() as store:
        with pytest.raises(ValueError, match="limit: expected 1 to"):
            await store.sessions.recent("alpha-gw", limit)
