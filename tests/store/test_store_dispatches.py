"""The contract of DispatchLedger."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import msgspec
import pytest
import trio

from dercp.model.dispatch import (
    FINAL,
    Dispatch,
    DispatchState,
    PortfolioTarget,
    SiteTarget,
    Source,
    TimelineEntry,
)
from dercp.store import (
    COMMIT_ITEMS_MAX,
    PAGE_MAX,
    DispatchFilter,
    DuplicateKey,
    IdempotencyRecord,
    Store,
)

OpenStore = Callable[[], AbstractAsyncContextManager[Store]]
MakeDispatch = Callable[..., Dispatch]


def key(text: str, dispatch_id: str, tenant_id: str = "default") -> IdempotencyRecord:
    """An idempotency key used for that dispatch."""
    return IdempotencyRecord(
        tenant_id=tenant_id,
        key=text,
        fingerprint="sha256:77",
        dispatch_id=dispatch_id,
        created_us=1_000_000,
    )


async def test_what_was_committed_is_there_after_reopening(
    open_store: OpenStore, a_dispatch: MakeDispatch
) -> None:
    """Every field of a dispatch and its key come back as they were."""
    entry = TimelineEntry(
        state=DispatchState.FAILED,
        time_us=2**53 + 1,
        source=Source.EDGE,
        reason="write_failed",
        detail="Gerät antwortet nicht",
        source_time_us=-5,
    )
    plain = a_dispatch("d-1")
    dispatch = msgspec.structs.replace(
        plain,
        state=entry.state,
        timeline=(*plain.timeline, entry),
        readback_mw=-0.1,
        ever_sent=True,
        superseded_by="d-0",
    )
    async with open_store() as store:
        await store.dispatches.commit([dispatch], [key("k", "d-1")])
    async with open_store() as store:
        assert await store.dispatches.get("d-1") == dispatch
        assert await store.dispatches.find_key("default", "k") == key("k", "d-1")


async def test_nothing_is_known_of_what_nobody_committed(open_store: OpenStore) -> None:
    """An unknown id or key is None, not an error."""
    async with open_store() as store:
        assert await store.dispatches.get("d-1") is None
        assert await store.dispatches.find_key("default", "k") is None
        assert await store.dispatches.open() == []
        page = await store.dispatches.page(None, 5)
        assert (page.dispatches, page.next_before) == ((), None)


async def test_the_newest_state_replaces_the_one_before(
    open_store: OpenStore, a_dispatch: MakeDispatch
) -> None:
    """A dispatch is one row in its newest state; it keeps its place in the order."""
    async with open_store() as store:
        await store.dispatches.commit([a_dispatch("d-1"), a_dispatch("d-2")])
        await store.dispatches.commit([a_dispatch("d-1", DispatchState.ACKED)])
        changed = await store.dispatches.get("d-1")
        page = await store.dispatches.page(None, 5)
    assert changed == a_dispatch("d-1", DispatchState.ACKED)
    assert [d.dispatch_id for d in page.dispatches] == ["d-2", "d-1"]


async def test_what_has_not_ended_is_found_at_start_up(
    open_store: OpenStore, a_dispatch: MakeDispatch
) -> None:
    """Each state that is not final, of every tenant, oldest first."""
    states = list(DispatchState)
    async with open_store() as store:
        await store.dispatches.commit([a_dispatch(f"d-{s}", s) for s in states])
        await store.dispatches.commit([a_dispatch("theirs", tenant_id="other")])
    async with open_store() as store:
        found = [d.dispatch_id for d in await store.dispatches.open()]
    assert found == [f"d-{s}" for s in states if s not in FINAL] + ["theirs"]


async def test_a_taken_key_refuses_the_whole_commit(
    open_store: OpenStore, a_dispatch: MakeDispatch
) -> None:
    """Neither the dispatches nor the other keys of a refused commit are there."""
    async with open_store() as store:
        await store.dispatches.commit([a_dispatch("d-1")], [key("k", "d-1")])
        with pytest.raises(DuplicateKey, match="belongs to dispatch d-1") as refused:
            await store.dispatches.commit(
                [a_dispatch("d-1", DispatchState.SENT), a_dispatch("d-2"), a_dispatch("d-3")],
                [key("fresh", "d-2"), key("k", "d-3")],
            )
        assert refused.value.existing == key("k", "d-1")
        assert await store.dispatches.get("d-1") == a_dispatch("d-1")
        assert await store.dispatches.get("d-2") is None
        assert await store.dispatches.find_key("default", "fresh") is None


async def test_of_many_with_one_key_exactly_one_wins(
    open_store: OpenStore, a_dispatch: MakeDispatch
) -> None:
    """The losers are told who won, although all of them share one transaction."""
    winners: list[str] = []
    told: list[str] = []

    async def post(store: Store, number: int) -> None:
        mine = f"d-{number}"
        try:
            await store.dispatches.commit([a_dispatch(mine)], [key("k", mine)])
        except DuplicateKey as taken:
            told.append(taken.existing.dispatch_id)
        else:
            winners.append(mine)

    async with open_store() as store:
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(post, store, number)
        page = await store.dispatches.page(None, PAGE_MAX)
    assert len(winners) == 1
    assert told == winners * 99
    assert [d.dispatch_id for d in page.dispatches] == winners


async def test_a_key_belongs_to_its_tenant(open_store: OpenStore, a_dispatch: MakeDispatch) -> None:
    """The same text from two tenants is two keys."""
    async with open_store() as store:
        await store.dispatches.commit([a_dispatch("d-1")], [key("k", "d-1")])
        theirs = key("k", "d-2", tenant_id="other")
        await store.dispatches.commit([a_dispatch("d-2", tenant_id="other")], [theirs])
        assert await store.dispatches.find_key("other", "k") == theirs


async def test_pages_stay_put_while_dispatches_are_added(
    open_store: OpenStore, a_dispatch: MakeDispatch
) -> None:
    """Who follows the pages sees each dispatch that was there at the beginning once."""
    seen: list[str] = []
    async with open_store() as store:
        await store.dispatches.commit([a_dispatch(f"d-{n:02}") for n in range(10)])
        before: int | None = None
        for turn in range(4):
            page = await store.dispatches.page(before, 3)
            seen += [d.dispatch_id for d in page.dispatches]
            before = page.next_before
            await store.dispatches.commit([a_dispatch(f"later-{turn}")])
    assert seen == [f"d-{n:02}" for n in range(9, -1, -1)]
    assert before is None


async def test_a_last_page_that_is_full_says_that_it_is_the_last(
    open_store: OpenStore, a_dispatch: MakeDispatch
) -> None:
    """No empty page follows."""
    async with open_store() as store:
        await store.dispatches.commit([a_dispatch("d-1"), a_dispatch("d-2")])
        page = await store.dispatches.page(None, 2)
    assert len(page.dispatches) == 2
    assert page.next_before is None


async def test_a_page_may_be_of_one_asset(open_store: OpenStore, a_dispatch: MakeDispatch) -> None:
    """Only what targets the asset itself; a site's dispatch is the site's."""
    site = a_dispatch("d-site")
    site = msgspec.structs.replace(
        site, request=msgspec.structs.replace(site.request, target=SiteTarget("bess-1"))
    )
    dispatches = [a_dispatch(f"d-{n}", asset_id=f"bess-{n % 2}") for n in range(6)]
    async with open_store() as store:
        await store.dispatches.commit([*dispatches, site])
        page = await store.dispatches.page(None, 2, DispatchFilter(asset_id="bess-1"))
        rest = await store.dispatches.page(page.next_before, 2, DispatchFilter(asset_id="bess-1"))
        assert await store.dispatches.get("d-site") == site
    assert [d.dispatch_id for d in page.dispatches] == ["d-5", "d-3"]
    assert [d.dispatch_id for d in rest.dispatches] == ["d-1"]
    assert rest.next_before is None


async def test_a_page_may_be_of_what_belongs_together(
    open_store: OpenStore, a_dispatch: MakeDispatch
) -> None:
    """By target, by schedule, by parent, by being open; several conditions at once."""
    kinds = {
        "d-site": ("target", SiteTarget("north")),
        "d-folio": ("target", PortfolioTarget("all")),
        "d-block": ("schedule_id", "plan-1"),
    }
    dispatches = [a_dispatch("d-plain")]
    for dispatch_id, (field, value) in kinds.items():
        made = a_dispatch(dispatch_id)
        request = msgspec.structs.replace(made.request, **{field: value})
        dispatches.append(msgspec.structs.replace(made, request=request))
    part = msgspec.structs.replace(a_dispatch("d-part"), parent_id="d-folio")
    ended = msgspec.structs.replace(part, dispatch_id="d-ended", state=DispatchState.CANCELLED)
    asked = {
        "d-site": DispatchFilter(site_id="north"),
        "d-folio": DispatchFilter(portfolio_id="all"),
        "d-block": DispatchFilter(schedule_id="plan-1"),
        "d-part": DispatchFilter(
            parent_id="d-folio", states=(DispatchState.SUBMITTED, DispatchState.SENT)
        ),
        "d-ended": DispatchFilter(parent_id="d-folio", states=(DispatchState.CANCELLED,)),
    }
    async with open_store() as store:
        await store.dispatches.commit([*dispatches, part, ended])
        for dispatch_id, which in asked.items():
            page = await store.dispatches.page(None, 9, which)
            assert [d.dispatch_id for d in page.dispatches] == [dispatch_id]


async def test_a_page_is_of_one_tenant(open_store: OpenStore, a_dispatch: MakeDispatch) -> None:
    """The other tenant's dispatches are not shown."""
    async with open_store() as store:
        await store.dispatches.commit([a_dispatch("d-1"), a_dispatch("d-2", tenant_id="other")])
        page = await store.dispatches.page(None, 9)
        theirs = await store.dispatches.page(None, 9, tenant_id="other")
    assert [d.dispatch_id for d in page.dispatches] == ["d-1"]
    assert [d.dispatch_id for d in theirs.dispatches] == ["d-2"]


@pytest.mark.parametrize("limit", [0, PAGE_MAX + 1])
async def test_a_page_of_dispatches_is_neither_empty_nor_endless(
    open_store: OpenStore, limit: int
) -> None:
    """A limit outside the bound is the caller's mistake."""
    async with open_store() as store:
        with pytest.raises(ValueError, match="limit: expected 1 to"):
            await store.dispatches.page(None, limit)


async def test_a_commit_is_bounded(open_store: OpenStore, a_dispatch: MakeDispatch) -> None:
    """More than the bound is refused before anything is written."""
    async with open_store() as store:
        with pytest.raises(ValueError, match="at most"):
            await store.dispatches.commit([a_dispatch("d-1")] * (COMMIT_ITEMS_MAX + 1))
        assert await store.dispatches.get("d-1") is None
        assert store.statistics().writes == 0


async def test_a_cancelled_caller_takes_nobody_with_it(
    open_store: OpenStore, a_dispatch: MakeDispatch
) -> None:
    """Cut off before, during and after the commit, a write is there wholly or not at all."""
    answered: list[str] = []

    async def commit(store: Store, name: str, scope: trio.CancelScope) -> None:
        with scope:
            await store.dispatches.commit([a_dispatch(name)], [key(name, name)])
            answered.append(name)

    async with open_store() as store:
        for turns in range(30):
            async with trio.open_nursery() as nursery:
                scopes = [trio.CancelScope() for _ in range(3)]
                for place, scope in enumerate(scopes):
                    nursery.start_soon(commit, store, f"{turns}-{place}", scope)
                for _ in range(turns):
                    await trio.lowlevel.checkpoint()
                # The one who commits, one who waits for him, or both.
                for scope in scopes[: 1 + turns % 2]:
                    scope.cancel()
            assert f"{turns}-2" in answered
        assert (store.statistics().waiting, store.statistics().failure) == (0, None)
        with trio.CancelScope() as scope:
            scope.cancel()
            await store.dispatches.open()
        assert scope.cancelled_caught
    async with open_store() as store:
        for dispatch in await store.dispatches.open():
            found = await store.dispatches.find_key("default", dispatch.dispatch_id)
            assert found is not None
        for name in answered:
            assert await store.dispatches.get(name) is not None
