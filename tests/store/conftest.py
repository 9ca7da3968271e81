"""One contract, several stores: every test that asks for `open_store` runs on each of them."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from faulty_disk import Disk
from memory_store import MemoryDisk, open_memory, open_memory_history
from postgres_history import open_postgres_history

from dercp.model.dispatch import (
    AssetTarget,
    Dispatch,
    DispatchRequest,
    DispatchState,
    Source,
    TimelineEntry,
)
from dercp.store import (
    History,
    Store,
    open_history,
    open_sqlite,
)
from dercp.store.postgres import open_postgres


@pytest.fixture(params=["sqlite", "memory", "postgres"])
def open_store(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[[], AbstractAsyncContextManager[Store]]:
    """Opens the same place at each call: what was durable must be there again."""
    if request.param == "sqlite":
        return lambda: open_sqlite(tmp_path)
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        return lambda: open_postgres(url)
    disk = MemoryDisk()
    return lambda: open_memory(disk)


@pytest.fixture(scope="session")
def a_dispatch() -> Callable[..., Dispatch]:
    """Makes a dispatch of two megawatts that stands in the given state."""

    def make(
        dispatch_id: str,
        state: DispatchState = DispatchState.SUBMITTED,
        *,
        asset_id: str = "bess-1",
        tenant_id: str = "default",
    ) -> Dispatch:
        return Dispatch(
            dispatch_id=dispatch_id,
            tenant_id=tenant_id,
            request=DispatchRequest(
                target=AssetTarget(asset_id),
                setpoint_mw=2.0,
                start_us=1_000_000,
                until_us=901_000_000,
                deliver_by_us=31_000_000,
            ),
            state=state,
            timeline=(TimelineEntry(state=state, time_us=1_000_000, source=Source.OPERATOR),),
        )

    return make


@pytest.fixture(params=["sqlite", "memory", "postgres"])
def open_log(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[..., AbstractAsyncContextManager[History]]:
    """Opens the same history at each call, with limits or without."""
    if request.param == "sqlite":
        return lambda limits=None: open_history(tmp_path, limits)
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        return lambda limits=None: open_postgres_history(url, limits)
    disk = MemoryDisk()
    return lambda limits=None: open_memory_history(disk, limits)


@pytest.fixture
def disk() -> Iterator[Disk]:
    """A disk that is well, registered under the name "test_disk"."""
    disk = Disk("test_disk")
    yield disk
    disk.unregister()
