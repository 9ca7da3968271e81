"""Keeps a spool's file at work on a disk that fills up, fails, or has damaged it."""

import os
import secrets
import sys
from pathlib import Path
from typing import Final, Self

import apsw
from msgspec.structs import replace

from dercp.edge.spool.file import SpoolFile
from dercp.edge.spool.job import Job
from dercp.edge.spool.lanes import Reading
from dercp.edge.spool.mark import RESERVED, Mark, MarkFile, boot_id, read_mark
from dercp.edge.spool.opening import Opened, Place, open_in_memory, open_on_disk
from dercp.edge.spool.outbox import Batch, DropReason
from dercp.edge.spool.records import Done, SpoolLimits
from dercp.edge.spool.settings import SpoolSettings, Sync

__all__ = ["Disk", "DiskTrouble"]

# With less room on the disk the spool grows no more: once SQLite's log cannot be written back
# for want of room, only room helps.
FREE_BYTES_MIN: Final = 64 * 1024 * 1024
# Which it may always take.
ROOM_BYTES_MIN: Final = 1024 * 1024


class DiskTrouble(Exception):
    """Nothing was done; the next try may succeed. The sentence says what to mend.

    Attributes:
        word: The same for programs: `disk_full`, `disk_locked` or `disk_failed`.
    """

    def __init__(self, error: Exception) -> None:
        self.word, sentence = _told(error)
        super().__init__(sentence)


class Disk:
    """A spool's file, its mark, and how it is brought back. One thread at a time.

    Full: when less than 64 MiB are free, what the spool holds is its limit, so that the new
        takes the place of the old inside the file.
    Damaged: mended at once.
    Failing: closed, and opened again at the next job. After a failed fsync nobody knows what
        the disk holds; opening writes it afresh, and doing a job again does no harm.
    """

    def __init__(
        self,
        opened: Opened,
        settings: SpoolSettings,
        began_s: float,
        place: Place | None = None,
    ) -> None:
        self.identity = opened.identity
        self.dispatches = opened.dispatches
        self.registrations = opened.registrations
        self.tally = opened.tally
        # Why it cannot do what it is there for, in a word.
        self.trouble = ""
        self._file: SpoolFile | None = opened.file
        self._place = place
        self._settings = settings
        self._limits = SpoolLimits(
            bytes_max=settings.bytes_max,
            age_max_s=settings.age_max_h * 3600.0,
            policy=settings.policy,
        )
        self._born_s = began_s - opened.identity.age_s
        identity = opened.identity
        self._mark = self._kept = Mark(
            spool_id=identity.spool_id,
            sequence=identity.sequence,
            samples=identity.samples,
            to_us=identity.to_us,
            boot=boot_id(),
        )
        self._keep_mark()
        self._mark_file = None if place is None else MarkFile(place.paths.mark)
        self._write_mark(self._kept)

    @classmethod
    def open(cls, place: Place, settings: SpoolSettings, began_s: float) -> Self:
        """Open what is there; in memory, when the disk cannot hold any spool now."""
        try:
            opened = open_on_disk(place, read_mark(place.paths.mark))
        except (apsw.Error, OSError) as error:
            place.log.error("spool_in_memory_only", why=str(DiskTrouble(error)))
            disk = cls.in_memory(replace(settings, bytes_max=32 * 1024 * 1024), began_s)
            disk.trouble = "memory_only"
            return disk
        return cls(opened, settings, began_s, place)

    @classmethod
    def in_memory(cls, settings: SpoolSettings, began_s: float) -> Self:
        """A spool that goes with the process."""
        return cls(open_in_memory(secrets.token_hex(8)), settings, began_s)

    @property
    def bytes_max(self) -> int:
        """How much may be kept, if the disk has room for it."""
        return self._limits.bytes_max

    def do(
        self, job: Job, *, at_s: float, in_hand: frozenset[int], reading: Reading | None
    ) -> Done:
        """Do a job.

        Raises:
            DiskTrouble: Nothing of it was done.
        """
        age_s = at_s - self._born_s
        self._advance_mark(job)
        try:
            file = self._reopened()
            done = self._do(file, job, age_s, in_hand, reading)
        except (apsw.CorruptError, apsw.NotADBError) as error:
            done = self._do_mended(error, job, age_s, in_hand)
        except apsw.FullError as error:
            raise DiskTrouble(error) from error
        except (apsw.Error, OSError) as error:
            self._let_go()
            raise DiskTrouble(error) from error
        self.tally = done.tally
        if not job.is_empty:
            self._keep_mark()
            self._write_mark(self._kept)
        return done

    def close(self) -> None:
        """Let go of the files, in order."""
        self._let_go()
        if self._mark_file is not None:
            with self._mark_file:
                self._write_mark(replace(self._mark, closed=True))
                self._mark_file.sync()

    # ----------------------------------------------------------------- details

    def _do(
        self,
        file: SpoolFile,
        job: Job,
        age_s: float,
        in_hand: frozenset[int],
        reading: Reading | None,
    ) -> Done:
        limits = self._limits
        if self._is_disk_full():
            room = min(limits.bytes_max, max(self.tally.bytes, ROOM_BYTES_MIN))
            limits = replace(limits, bytes_max=room, reason=DropReason.DISK_FULL)
        return file.do(job, limits, age_s=age_s, in_hand=in_hand, reading=reading)

    def _is_disk_full(self) -> bool:
        """Whether the spool must not grow, said loudly when it begins."""
        if self._place is None:
            return False
        full = free_bytes(self._place.paths.directory) < FREE_BYTES_MIN
        if full and not self.trouble:
            self._place.log.error("spool_disk_full", bytes=self.tally.bytes)
        self.trouble = "disk_full" if full else ""
        return full

    def _do_mended(
        self, error: apsw.Error, job: Job, age_s: float, in_hand: frozenset[int]
    ) -> Done:
        self._let_go()
        if self._place is not None:
            self._place.log.error("spool_damaged", why=repr(error))
        try:
            done = self._do(self._reopened(), job, age_s, in_hand, None)
        except (apsw.Error, OSError) as again:
            self._let_go()
            raise DiskTrouble(again) from again
        # Everything is read anew: any of it may be a gap now.
        return replace(done, gaps=(0, *done.gaps))

    def _reopened(self) -> SpoolFile:
        if self._file is None:
            assert self._place is not None  # noqa: S101 - memory neither fails nor is damaged
            opened = open_on_disk(self._place, self._kept)
            self._file, self.tally = opened.file, opened.tally
        return self._file

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _advance_mark(self, job: Job) -> None:
        """Before the spool knows of a number, the mark does."""
        new = [one for one in job.inserts if one.sequences.last > self._mark.sequence]
        if not new:
            return
        last = new[-1]
        counted = sum(one.frame.samples if isinstance(one, Batch) else one.samples for one in new)
        self._mark = replace(
            self._mark,
            sequence=last.sequences.last,
            samples=self._mark.samples + counted,
            to_us=last.frame.to_us if isinstance(last, Batch) else last.to_us,
            waiting_first=self._kept.waiting_first or new[0].sequences.first,
            waiting_samples=self._mark.waiting_samples + counted,
        )
        self._write_mark(self._mark)

    def _keep_mark(self) -> None:
        """What the mark says is in the file."""
        tally = self.tally
        self._mark = self._kept = replace(
            self._mark,
            waiting_first=tally.first or 0,
            waiting_samples=tally.samples,
            waiting_from_us=tally.from_us or 0,
        )

    def _write_mark(self, mark: Mark) -> None:
        if self._mark_file is None:
            return
        if self._settings.sync is Sync.NORMAL and mark.sequence >= mark.reserved:
            mark = replace(mark, reserved=mark.sequence + RESERVED)
            self._mark = replace(self._mark, reserved=mark.reserved)
            self._mark_file.write(mark)
            self._mark_file.sync()
        else:
            self._mark_file.write(mark)


def free_bytes(directory: Path) -> int:
    """How much the disk of a directory has room for; a disk that does not say has enough."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return sys.maxsize
    return found.f_bavail * found.f_frsize


def _told(error: Exception) -> tuple[str, str]:
    """A word and a sentence."""
    match error:
        case apsw.FullError():
            return "disk_full", "no room on the disk; free some"
        case apsw.BusyError() | apsw.LockedError():
            return "disk_locked", "another program keeps the spool's file locked; end it"
        case apsw.Error():
            code: int = getattr(error, "extendedresult", -1)
            name = apsw.mapping_extended_result_codes.get(code) or type(error).__name__
            return "disk_failed", f"the disk failed ({name}: {error}); check it"
        case _:
            return "disk_failed", f"the disk failed ({error}); check it"
