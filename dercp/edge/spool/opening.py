"""Opens a spool, whatever state it is found in, and says what was lost with it."""

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw
import msgspec
import structlog
from msgspec.structs import asdict

from dercp.edge.spool.file import SpoolFile
from dercp.edge.spool.job import Job
from dercp.edge.spool.mark import RESERVED, Mark, boot_id
from dercp.edge.spool.mending import finish_mending, mend
from dercp.edge.spool.outbox import DropReason, Gap, Sequences
from dercp.edge.spool.records import NO_LIMITS, Identity, Tally
from dercp.edge.spool.settings import Sync
from dercp.wire.registration import registration_id

__all__ = [
    "Opened",
    "Place",
    "SpoolPaths",
    "SpoolUnusable",
    "hold",
    "open_in_memory",
    "open_on_disk",
]

_BUSY_TIMEOUT_MS: Final = 5_000


class SpoolUnusable(Exception):
    """The place for the spool cannot be used; the sentence says what to do."""


class SpoolPaths(msgspec.Struct, frozen=True):
    """The files of one agent's spool; SQLite adds its own `-wal` and `-shm`."""

    directory: Path
    agent_id: str

    @property
    def file(self) -> Path:
        """The spool itself."""
        return self.directory / f"{self.agent_id}.spool"

    @property
    def mark(self) -> Path:
        """How far it has come."""
        return self.directory / f"{self.agent_id}.mark"

    @property
    def lock(self) -> Path:
        """Held by the agent that works on it."""
        return self.directory / f"{self.agent_id}.lock"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a spool is, and how it is opened there."""

    paths: SpoolPaths
    # Under which batches come.
    registration: bytes
    # How sure each transaction is.
    sync: Sync
    # Told of what was lost.
    log: structlog.typing.FilteringBoundLogger
    # A registered SQLite VFS other than the system's.
    vfs: str | None = None


class Opened(msgspec.Struct, kw_only=True):
    """A spool that is ready for work."""

    file: SpoolFile
    identity: Identity
    tally: Tally
    dispatches: dict[str, bytes]
    # By id: that of what comes, and those of batches that wait.
    registrations: dict[bytes, bytes]


@contextmanager
def hold(paths: SpoolPaths) -> Iterator[None]:
    """Make the directory and keep every other process off this agent's spool.

    Raises:
        SpoolUnusable: Somebody has it, or the directory cannot be written.
    """
    try:
        paths.directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise SpoolUnusable(
            f"{paths.directory}: cannot be the data directory ({error.strerror}); the user the "
            "agent runs as must be able to write there (agent.data_dir in site.toml)"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        raise SpoolUnusable(
            f"{paths.lock}: another agent with this id works here; stop it, or give this one "
            "an id (agent.id) or a directory (agent.data_dir) of its own"
        ) from error
    finally:
        os.close(descriptor)


def connect(place: Place) -> apsw.Connection:
    """Open the file for writing."""
    db = apsw.Connection(str(place.paths.file), vfs=place.vfs)
    try:
        db.set_busy_timeout(_BUSY_TIMEOUT_MS)
        db.pragma("cell_size_check", "on")
        db.pragma("journal_mode", "wal")
        db.pragma("synchronous", place.sync.value)
        # What follows a transaction whose fsync failed could be lost with it: write all afresh.
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.Error:
        db.close()
        raise
    return db


def open_in_memory(spool_id: str) -> Opened:
    """A spool for as long as the process lives, and so for one registration."""
    file = SpoolFile(apsw.Connection(":memory:"))
    identity = Identity(spool_id)
    file.create(identity)
    return _begun(file, identity, b"")


def open_on_disk(place: Place, mark: Mark | None) -> Opened:
    """Open the spool that is there, mended if need be, or a new one.

    Args:
        place: Where and how.
        mark: How far it had come, as far as that is known.

    Raises:
        apsw.Error: The disk can hold no spool at all now: it is full, or failing.
    """
    opened = _open_or_mend(place, mark)
    reason = DropReason.TORN
    if opened is None:
        opened = _open_new(place, mark)
        reason = DropReason.SPOOL_LOST
    if (lost := _lost_end(opened.identity, mark, reason)) is not None:
        place.log.error(
            "spool_torn",
            spool_id=opened.identity.spool_id,
            first=lost.sequences.first,
            last=lost.sequences.last,
            samples=lost.samples,
        )
        _insert(opened, lost)
    try:
        opened.file.reserve()
    except apsw.FullError:
        place.log.error("spool_disk_full", file=str(place.paths.file))
    return opened


def _open_or_mend(place: Place, mark: Mark | None) -> Opened | None:
    """The spool that is there; None if there is none."""
    path, log = place.paths.file, place.log
    finish_mending(path)
    if not path.exists():
        return None
    try:
        return _open(place)
    except _ENVIRONMENT:
        raise
    except (apsw.Error, ValueError, TypeError) as error:
        log.error("spool_damaged", file=str(path), why=repr(error))
    salvaged = mend(path, mark, place.vfs)
    if salvaged is None:
        return None
    log.error("spool_mended", file=str(path), **asdict(salvaged))
    return _open(place)


# Not of the file's making, so that nothing about it is to be mended.
_ENVIRONMENT = (apsw.FullError, apsw.BusyError, apsw.LockedError, apsw.IOError)


def _open(place: Place) -> Opened | None:
    """What is in the file; None if there is nothing in it."""
    file = SpoolFile(connect(place))
    try:
        identity = file.identity()
        if identity is None:
            file.close()
            return None
        opened = _begun(file, identity, place.registration)
        for dispatch_id, content in file.dispatches():
            if content is None:
                place.log.error("journal_entry_corrupt", dispatch_id=dispatch_id)
            else:
                opened.dispatches[dispatch_id] = content
    except Exception:
        file.close()
        raise
    return opened


def _open_new(place: Place, mark: Mark | None) -> Opened:
    """A new spool; by the mark of a lost one it goes on with its numbers and says what is lost."""
    file = SpoolFile(connect(place))
    if mark is None:
        identity = Identity(secrets.token_hex(8))
        place.log.info("spool_begun", spool_id=identity.spool_id, file=str(place.paths.file))
    else:
        known = mark.waiting_first - 1 if mark.waiting_first else mark.sequence
        samples = mark.samples - mark.waiting_samples
        identity = Identity(mark.spool_id, known, samples, mark.waiting_from_us)
        place.log.error("spool_lost", spool_id=mark.spool_id, samples=mark.waiting_samples)
    file.create(identity)
    return _begun(file, identity, place.registration)


def _begun(file: SpoolFile, identity: Identity, registration: bytes) -> Opened:
    return Opened(
        file=file,
        identity=identity,
        tally=file.begin(registration),
        dispatches={},
        registrations={
            registration_id(kept.content): kept.content for kept in file.registrations()
        },
    )


def _lost_end(identity: Identity, mark: Mark | None, reason: DropReason) -> Gap | None:
    """What the spool has forgotten of its last numbers; see `spool_mark`."""
    if identity.sequence == 0 and mark is None:
        return None
    if mark is None or mark.spool_id != identity.spool_id:
        # The mark was lost: there is nothing to compare with, so pass over what may be used.
        last, samples, to_us = identity.sequence + RESERVED, 0, identity.to_us
    elif mark.reserved and not mark.closed and mark.boot != boot_id():
        last = max(mark.reserved, identity.sequence)
        samples, to_us = max(0, mark.samples - identity.samples), max(mark.to_us, identity.to_us)
    else:
        last, samples, to_us = mark.sequence, mark.samples - identity.samples, mark.to_us
    if last <= identity.sequence:
        return None
    return Gap(
        sequences=Sequences(identity.sequence + 1, last),
        from_us=identity.to_us,
        to_us=to_us,
        samples=samples,
        reason=reason,
    )


def _insert(opened: Opened, gap: Gap) -> None:
    done = opened.file.do(Job(inserts=[gap]), NO_LIMITS, age_s=opened.identity.age_s)
    identity = opened.file.identity()
    assert identity is not None  # noqa: S101 - it was there a line ago
    opened.identity, opened.tally = identity, done.tally
