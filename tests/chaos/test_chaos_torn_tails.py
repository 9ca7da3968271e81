"""The last records of the spool and of the log, torn and garbled at every single byte.

Pages of 512 bytes and tiny batches keep a record so small (some WAL frames, 3,000 bytes)
that every byte of it has its turn; what SQLite does with a byte depends on neither.
DERCP_CHAOS_TAIL=20 goes twenty records back.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import apsw
import pytest
import structlog
from history_samples import EVER, frame
from outbox_plant import draft

from dercp.edge.spool.file import SpoolFile
from dercp.edge.spool.job import Job
from dercp.edge.spool.mark import RESERVED, Mark, _encoded, boot_id, read_mark
from dercp.edge.spool.opening import Opened, Place, SpoolPaths, open_on_disk
from dercp.edge.spool.outbox import Batch, DropReason
from dercp.edge.spool.records import NO_LIMITS
from dercp.edge.spool.rows import READ, parcel_of
from dercp.edge.spool.settings import Sync
from dercp.model.completeness import Stretch, complete_until, joined
from dercp.store import HistoryLimits, open_history
from dercp.store.records import Purpose
from dercp.store.sqlite import HISTORY_NAME
from dercp.store.sqlite._file import _prepare
from dercp.store.sqlite._log import Append, Log
from dercp.store.sqlite._pages import find_frames
from dercp.store.sqlite._segments import Wanted

# So many records of the spool are torn, byte for byte; those of the log are a page each.
TAIL: Final = int(os.environ.get("DERCP_CHAOS_TAIL", "1"))
LOG_TAIL: Final = 4 * TAIL
RECORDS: Final = 4 * TAIL + 4
PAGE_BYTES: Final = 512
LOG = structlog.get_logger()
HOWS = ["torn", "garbled"]


class Unsynced(apsw.VFS):
    """A disk that is asked for no fsync: nothing here loses its power."""

    def __init__(self) -> None:
        super().__init__("unsynced", "")

    def xOpen(self, name: Any, flags: list[int]) -> "UnsyncedFile":  # noqa: N802  # SQLite's name
        return UnsyncedFile("", name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: FBT001, N802  # SQLite's
        super().xDelete(filename, False)  # noqa: FBT003  # SQLite's


class UnsyncedFile(apsw.VFSFile):
    def xSync(self, flags: int) -> None:  # noqa: N802  # SQLite's name
        pass


@pytest.fixture(autouse=True)
def _swift() -> Iterator[None]:
    """A disk without fsync, and no reserve to write at each opening."""
    vfs = Unsynced()
    with patch("dercp.edge.spool.file.RESERVE_BYTES", 16):
        yield
    vfs.unregister()


def begin_small(path: Path) -> None:
    """An empty database of small pages: whoever opens it keeps to them."""
    db = apsw.Connection(str(path))
    db.execute(f"PRAGMA page_size = {PAGE_BYTES}; PRAGMA auto_vacuum = incremental")
    db.execute("CREATE TABLE blank (x); DROP TABLE blank")
    db.close()


class Picture:
    """A database and its WAL as a killed process leaves them, and the WAL's size by record."""

    def __init__(self, path: Path, sizes: list[int]) -> None:
        self.path = path
        self.sizes = sizes
        self._database = path.read_bytes()
        self._wal = self._beside("-wal").read_bytes()
        assert len(self._wal) == sizes[-1]

    def tail(self, records: int) -> range:
        """The offsets in the WAL of so many last records, all of them."""
        tail = range(self.sizes[-1 - records], self.sizes[-1])
        assert len(tail) > 3 * PAGE_BYTES, "a tail is some pages of the WAL"
        return tail

    def restore(self, offset: int, how: str) -> int:
        """Put it back with this byte cut off or garbled; how many records are whole before it."""
        self.path.write_bytes(self._database)
        wal = bytearray(self._wal)
        if how == "torn":
            del wal[offset:]
        else:
            wal[offset] ^= 0xFF
        self._beside("-wal").write_bytes(wal)
        self._beside("-shm").unlink(missing_ok=True)
        return sum(size <= offset for size in self.sizes[1:])

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)


# ---------------------------------------------------------------------- spool


def opened_spool(paths: SpoolPaths, mark: Mark | None) -> Opened:
    """The spool as an agent finds it."""
    place = Place(paths=paths, registration=b"", sync=Sync.FULL, log=LOG, vfs="unsynced")
    return open_on_disk(place, mark)


def spool_left_behind(paths: SpoolPaths) -> tuple[Picture, Mark]:
    """A spool of some batches, each a transaction of its own, and its mark."""
    begin_small(paths.file)
    opened = opened_spool(paths, None)
    # So that it is as long as what is in it.
    opened.file._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    sizes = []
    wal = paths.file.with_name(paths.file.name + "-wal")
    for number in range(RECORDS + 1):
        if number:
            job = Job(inserts=[Batch(number, draft(number, size=16))])
            opened.file.do(job, NO_LIMITS, age_s=0.0)
        sizes.append(wal.stat().st_size)
    picture = Picture(paths.file, sizes)
    opened.file.close()
    mark = Mark(
        spool_id=opened.identity.spool_id,
        sequence=RECORDS,
        samples=RECORDS,
        to_us=RECORDS * 1_000_000,
        waiting_first=1,
        waiting_samples=RECORDS,
        boot=boot_id(),
    )
    return picture, mark


def parcels(file: SpoolFile) -> list[tuple[int, int, int, str]]:
    """What waits: first and last number, samples, and the reason of a gap; payloads as put."""
    found = []
    for row in file._db.execute(READ, (0, 2**62, 1000)):
        parcel = parcel_of(row)
        assert parcel is not None
        if isinstance(parcel, Batch):
            assert parcel.frame == draft(parcel.sequence, size=16)
            found.append((parcel.sequence, parcel.sequence, 1, ""))
        else:
            first, last = parcel.sequences.first, parcel.sequences.last
            found.append((first, last, parcel.samples, str(parcel.reason)))
    return found


@pytest.mark.parametrize("how", HOWS)
def test_a_spool_keeps_what_is_before_the_torn_byte_and_declares_the_rest(
    tmp_path: Path, how: str
) -> None:
    """At every byte of its last records, to the sample; and it always opens."""
    paths = SpoolPaths(tmp_path, "edge-1")
    picture, mark = spool_left_behind(paths)
    for offset in picture.tail(TAIL):
        whole = picture.restore(offset, how)
        opened = opened_spool(paths, mark)
        kept = [(number, number, 1, "") for number in range(1, whole + 1)]
        lost = RECORDS - whole
        gap = (whole + 1, RECORDS, lost, str(DropReason.TORN))
        assert parcels(opened.file) == [*kept, gap], f"at byte {offset}"
        assert opened.identity.sequence == RECORDS
        assert opened.identity.samples == RECORDS
        opened.file.close()


@pytest.mark.parametrize("how", HOWS)
def test_a_mark_may_lose_any_byte(tmp_path: Path, how: str) -> None:
    """Nothing is lost with it; numbers that may have been used are passed over."""
    paths = SpoolPaths(tmp_path, "edge-1")
    picture, mark = spool_left_behind(paths)
    content = _encoded(mark)
    # Behind its text there are blanks only, which say nothing.
    for offset in range(len(content.rstrip()) + 2):
        torn = bytearray(content)
        if how == "torn":
            del torn[offset:]
        else:
            torn[offset] ^= 0xFF
        paths.mark.write_bytes(torn)
        picture.restore(picture.sizes[-1], "torn")
        read = read_mark(paths.mark)
        opened = opened_spool(paths, read)
        found = parcels(opened.file)
        opened.file.close()
        assert found[:RECORDS] == [(number, number, 1, "") for number in range(1, RECORDS + 1)]
        passed_over = (RECORDS + 1, RECORDS + RESERVED, 0, str(DropReason.TORN))
        assert found[RECORDS:] == ([] if read == mark else [passed_over])


# ------------------------------------------------------------------------ log


class OpenLog:
    """The log as `open_history` opens it, without its threads."""

    def __init__(self, path: Path) -> None:
        self._db = apsw.Connection(str(path), vfs="unsynced")
        _prepare(path, "history", Purpose.PRODUCTION, self._db)
        self._log = Log(path, HistoryLimits(disk_reserve_bytes=0))
        self._log.check(self._db, None)

    def truncate_wal(self) -> None:
        """Make the WAL as long as what is in it."""
        self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def append(self, number: int) -> None:
        """A commit of one batch."""
        self._log.perform([Append([frame(number)])], self._db)

    def frames(self) -> list[int]:
        """The numbers of all batches, each of which is as it was logged."""
        wanted = Wanted(0, EVER, "default", "alpha-gw")
        found = find_frames(self._db, wanted, 0, 1000, self._log.held.last_position)
        assert not found.corrupt
        numbers = [each.sequence for each in found.page.frames]
        assert list(found.page.frames) == [frame(number) for number in numbers]
        return numbers

    def stored(self) -> list[Stretch]:
        """What it says to have logged."""
        spools = self._log.contents(self._db).sequences("default", "alpha-gw")
        return [stretch for spool in spools for stretch in spool.stored]

    def close(self) -> None:
        """Let go."""
        self._db.close()


def log_left_behind(path: Path) -> Picture:
    """A log of some batches, each a commit of its own."""
    begin_small(path)
    log = OpenLog(path)
    log.truncate_wal()
    wal = path.with_name(path.name + "-wal")
    sizes = [wal.stat().st_size]
    for number in range(1, RECORDS + 1):
        log.append(number)
        sizes.append(wal.stat().st_size)
    picture = Picture(path, sizes)
    log.close()
    return picture


@pytest.mark.parametrize("how", HOWS)
def test_a_log_keeps_what_is_before_the_torn_byte_and_hides_no_hole(
    tmp_path: Path, how: str
) -> None:
    """At every byte of its last commits: none of it pretends to be there, or to be complete."""
    path = tmp_path / HISTORY_NAME
    picture = log_left_behind(path)
    for offset in picture.tail(LOG_TAIL):
        whole = picture.restore(offset, how)
        log = OpenLog(path)
        assert log.frames() == list(range(1, whole + 1)), f"at byte {offset}"
        (stretch,) = log.stored()
        assert (stretch.first, stretch.last) == (1, whole)
        if offset % 50 == 0:
            # The edge goes on with its numbers: what is missing stays to be seen.
            log.append(RECORDS + 1)
            assert complete_until([joined(log.stored(), ())]) == frame(whole).last_time_us
            log.append(whole + 1)
        log.close()


async def test_a_log_with_a_torn_tail_takes_in_what_comes_again(tmp_path: Path) -> None:
    """Opened as a headend does, at some of the bytes: what was not acknowledged is no duplicate."""
    path = tmp_path / HISTORY_NAME
    picture = log_left_behind(path)
    for offset in picture.tail(LOG_TAIL)[::400]:
        whole = picture.restore(offset, "garbled")
        async with open_history(tmp_path, HistoryLimits(disk_reserve_bytes=0)) as history:
            again = [frame(number) for number in range(1, RECORDS + 1)]
            appended = await history.append(again)
            assert (appended.stored, appended.duplicates) == (RECORDS - whole, whole)
            assert history.statistics().set_aside == ()
