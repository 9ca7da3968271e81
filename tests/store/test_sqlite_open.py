"""Opening the data directory: each thing that may be wrong is one sentence with its mend."""

import os
import threading
from pathlib import Path

import apsw
import pytest
import trio

from dercp.store import (
    StoreBusy,
    StoreClosed,
    StoreDamaged,
    StoreError,
    StoreFailed,
    StoreNewer,
    StoreUnusable,
    open_sqlite,
)
from dercp.store.sqlite import FILE_NAME
from dercp.store.sqlite._schema import _steps


async def refusal(directory: Path, kind: type[StoreError]) -> str:
    """The sentence with which the directory is refused."""
    with pytest.raises(kind) as refused:
        async with open_sqlite(directory):
            pass
    return str(refused.value)


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """It is not created: a typing error must not start an empty headend."""
    sentence = await refusal(tmp_path / "nowhere", StoreUnusable)
    assert sentence.startswith(f"{tmp_path}/nowhere: ")
    assert "create it, or correct the data directory" in sentence


async def test_a_file_is_no_directory(tmp_path: Path) -> None:
    """The mend says to name a directory."""
    (tmp_path / "data").touch()
    assert "name a directory, not a file" in await refusal(tmp_path / "data", StoreUnusable)


async def test_an_unwritable_directory_is_named() -> None:
    """No user may create files in /sys, not even root."""
    assert "must be able to write there" in await refusal(Path("/sys"), StoreUnusable)


async def test_the_second_headend_is_told_who_was_first(tmp_path: Path) -> None:
    """One data directory has one headend; the first is not disturbed."""
    async with open_sqlite(tmp_path) as store:
        assert f"another headend (process {os.getpid()})" in await refusal(tmp_path, StoreBusy)
        assert await store.dispatches.open() == []
    async with open_sqlite(tmp_path):
        pass


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    """An older release never writes into the file of a newer one."""
    async with open_sqlite(tmp_path):
        pass
    with apsw.Connection(str(tmp_path / FILE_NAME)) as db:
        db.execute("INSERT INTO schema_version (version, name) VALUES (999, 'of_tomorrow')")
    db.close()
    assert "written by a newer release (schema 999, this one knows" in await refusal(
        tmp_path, StoreNewer
    )


async def test_a_file_that_is_no_database_is_kept(tmp_path: Path) -> None:
    """It is named and not overwritten."""
    content = b"this is not SQLite\n" * 200
    (tmp_path / FILE_NAME).write_bytes(content)
    assert "keep the file for inspection" in await refusal(tmp_path, StoreDamaged)
    assert (tmp_path / FILE_NAME).read_bytes() == content


async def test_a_stranger_who_locks_the_file_is_named_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell that holds the file is not the headend's failure: writes work when it is gone."""
    monkeypatch.setattr("dercp.store.sqlite._file._BUSY_TIMEOUT_MS", 1)
    async with open_sqlite(tmp_path) as store:
        shell = apsw.Connection(str(tmp_path / FILE_NAME))
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy, match="another program keeps the file locked"):
            await store.dispatches.commit([])
        shell.close()
        await store.dispatches.commit([])


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    """Who kept it beyond its block is told, for reads and writes alike."""
    async with open_sqlite(tmp_path) as store:
        pass
    with pytest.raises(StoreClosed):
        await store.dispatches.commit([])
    with pytest.raises(StoreClosed):
        await store.dispatches.open()


async def test_refusals_leave_no_thread_behind(tmp_path: Path) -> None:
    """Apsw's threads would keep the process from ending."""
    (tmp_path / FILE_NAME).mkdir()
    assert "cannot be opened for writing (SQLITE_CANTOPEN" in await refusal(tmp_path, StoreUnusable)
    for thread in threading.enumerate():
        if "apsw" in thread.name:
            await trio.to_thread.run_sync(thread.join, 5)
            assert not thread.is_alive()


async def test_a_step_that_fails_leaves_the_file_at_the_step_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps are applied whole, and an upgrade goes on where it stopped."""
    released = _steps("headend")
    good, bad = "CREATE TABLE later (a TEXT) STRICT", "CREATE TABLE half (a TEXT); SELECT nonsense"
    async with open_sqlite(tmp_path):
        pass
    with monkeypatch.context() as release:
        steps = [*released, ("good", good), ("bad", bad)]
        release.setattr("dercp.store.sqlite._schema._steps", lambda _kind: steps)
        assert "nonsense" in await refusal(tmp_path, StoreFailed)
    steps = [*released, ("good", good), ("mended", "CREATE TABLE half (a TEXT) STRICT")]
    monkeypatch.setattr("dercp.store.sqlite._schema._steps", lambda _kind: steps)
    async with open_sqlite(tmp_path) as store:
        assert await store.dispatches.open() == []
    db = apsw.Connection(str(tmp_path / FILE_NAME))
    names = db.execute("SELECT name FROM schema_version ORDER BY version").fetchall()
    db.close()
    assert names == [(name,) for name, _ in steps]


def test_migrations_are_numbered_without_gaps() -> None:
    """The number in a file's name is the version it makes."""
    assert [int(name.split("_")[0]) for name, _ in _steps("headend")] == list(
        range(1, len(_steps("headend")) + 1)
    )
