"""`dercp edge lock`, `unlock` and `locks`: assets that the people at the site have locked."""

from pathlib import Path

from rich.table import Table

from dercp.cli.edge import load_config
from dercp.cli.exits import CommandError, Exit
from dercp.edge.asset.lockout import Lock, LockoutError, LockoutFile, Lockouts
from dercp.model.time import format_rfc3339

__all__ = ["lock_asset", "locks_of", "locks_table", "unlock_asset"]


def lock_asset(site_file: Path, asset_id: str, reason: str, now_us: int) -> None:
    """Lock an asset of the agent that this `site.toml` describes.

    Raises:
        CommandError: The file is wrong or names no such asset, or the lock cannot be written.
    """
    file = _file(site_file, asset_id)
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.lock(asset_id, Lock(reason, now_us))
    except (LockoutError, OSError) as error:
        raise CommandError(str(error), code=Exit.UNAVAILABLE) from None


def unlock_asset(site_file: Path, asset_id: str) -> bool:
    """Take the lock away; False if there was none.

    Raises:
        CommandError: As for `lock_asset`.
    """
    try:
        return _file(site_file, asset_id).unlock(asset_id) is not None
    except LockoutError as error:
        raise CommandError(str(error), code=Exit.UNAVAILABLE) from None


def locks_of(site_file: Path) -> Lockouts:
    """All locks.

    Raises:
        CommandError: The file is wrong, or the locks cannot be read.
    """
    try:
        lockouts = _file(site_file, None).read()
    except LockoutError as error:
        raise CommandError(str(error), code=Exit.UNAVAILABLE) from None
    if lockouts.all_locked:
        raise CommandError(f"all assets are locked: {lockouts.all_locked}", code=Exit.UNAVAILABLE)
    return lockouts


def locks_table(lockouts: Lockouts) -> Table:
    """The locks for people."""
    table = Table("asset", "since", "reason", box=None)
    for asset_id, lock in sorted(lockouts.locks.items()):
        table.add_row(asset_id, format_rfc3339(lock.since_us), lock.reason)
    return table


def _file(site_file: Path, asset_id: str | None) -> LockoutFile:
    config = load_config(site_file)
    if config.data_dir is None:
        raise CommandError(f"{site_file}: the agent has no data directory", code=Exit.CONFIG)
    known = [asset.spec.asset_id for asset in config.assets]
    if asset_id is not None and asset_id not in known:
        raise CommandError(f"{site_file}: no asset {asset_id}; there are {', '.join(known)}")
    return LockoutFile(config.data_dir, config.agent_id)
