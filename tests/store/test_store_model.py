"""The ledger against a dict: any story of commits, refusals and restarts."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from dercp.model.dispatch import Dispatch, DispatchState
from dercp.store import DuplicateKey, IdempotencyRecord, Store, open_sqlite

IDS = [f"d-{n}" for n in range(5)]


class Commit(msgspec.Struct, frozen=True):
    """One call of `commit`: new states of some dispatches, and keys for some of them."""

    states: dict[str, DispatchState]
    keys: dict[str, str]


class Reopen(msgspec.Struct, frozen=True):
    """The headend restarts."""


@st.composite
def commits(draw: st.DrawFn) -> Commit:
    """A commit whose keys name dispatches that it writes."""
    states = draw(st.dictionaries(st.sampled_from(IDS), st.sampled_from(DispatchState), min_size=1))
    keys = st.dictionaries(st.sampled_from(["k1", "k2", "k3"]), st.sampled_from(sorted(states)))
    return Commit(states, draw(keys))


stories = st.lists(commits() | st.just(Reopen()), max_size=12)


class Model:
    """What a ledger is, in two dicts."""

    def __init__(self) -> None:
        # In the order of their first commit, as dicts are.
        self.dispatches: dict[str, Dispatch] = {}
        self.keys: dict[str, IdempotencyRecord] = {}

    def commit(self, dispatches: list[Dispatch], keys: list[IdempotencyRecord]) -> bool:
        """All of it or nothing; says which."""
        if any(key.key in self.keys for key in keys):
            return False
        self.dispatches |= {dispatch.dispatch_id: dispatch for dispatch in dispatches}
        self.keys |= {key.key: key for key in keys}
        return True

    async def check(self, store: Store) -> None:
        """The store answers every question as the model does."""
        everything = list(self.dispatches.values())
        assert await store.dispatches.open() == [d for d in everything if not d.is_final]
        assert (await store.dispatches.page(None, 9)).dispatches == tuple(reversed(everything))
        for dispatch_id in IDS:
            assert await store.dispatches.get(dispatch_id) == self.dispatches.get(dispatch_id)
        for key in ("k1", "k2", "k3"):
            assert await store.dispatches.find_key("default", key) == self.keys.get(key)


@settings(max_examples=25, deadline=None)
@given(story=stories)
async def test_any_story_leaves_what_a_dict_would_hold(
    story: list[Commit | Reopen], a_dispatch: Callable[..., Dispatch]
) -> None:
    """Refused commits leave no trace, restarts change nothing."""
    model = Model()
    with TemporaryDirectory() as directory:
        async with AsyncExitStack() as opened:
            store = await opened.enter_async_context(open_sqlite(Path(directory)))
            for step in story:
                match step:
                    case Reopen():
                        await opened.aclose()
                        store = await opened.enter_async_context(open_sqlite(Path(directory)))
                    case Commit(states=states, keys=names):
                        dispatches = [a_dispatch(name, state) for name, state in states.items()]
                        keys = [
                            IdempotencyRecord(
                                tenant_id="default",
                                key=key,
                                fingerprint="f",
                                dispatch_id=dispatch_id,
                                created_us=1,
                            )
                            for key, dispatch_id in names.items()
                        ]
                        try:
                            await store.dispatches.commit(dispatches, keys)
                        except DuplicateKey:
                            assert not model.commit(dispatches, keys)
                        else:
                            assert model.commit(dispatches, keys)
                await model.check(store)
