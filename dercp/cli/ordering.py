"""What is typed of a dispatch, as the body that the API takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import typer

from dercp.cli.exits import CommandError, Exit
from dercp.cli.parse import Duration, Moment, parse_megawatts
from dercp.cli.shapes import Plan
from dercp.model.time import format_rfc3339


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of POST /dispatch."""

    asset_id: str | None = None
    site_id: str | None = None
    portfolio_id: str | None = None
    setpoint_mw: float
    start: str | None = None
    until: str | None = None
    duration_s: float | None = None
    reason: str | None = None
    on_limit: str | None = None
    plan_token: str | None = None


class Lease(msgspec.Struct, frozen=True):
    """When it holds, as it was typed."""

    start: Moment | None = None
    until: Moment | None = None
    duration: Duration | None = None


class Target(msgspec.Struct, frozen=True):
    """What it is for, as it was typed: one of the three."""

    asset_id: str | None = None
    site_id: str | None = None
    portfolio_id: str | None = None


def read_words(
    words: Sequence[str], site: str | None, portfolio: str | None
) -> tuple[Target, float]:
    """The target and the setpoint of `ASSET MW`, or of `MW` with a site or a portfolio.

    Raises:
        CommandError: They are not that.
    """
    named = [each for each in (site, portfolio) if each is not None]
    for word in words:
        if word.startswith("--"):
            raise CommandError(f"there is no option {word}; see --help", code=Exit.USAGE)
    if len(named) > 1:
        raise CommandError("give --site or --portfolio, not both", code=Exit.USAGE)
    if len(words) + len(named) != 2:
        given = f"got {' '.join(words) or 'nothing'}"
        expected = "MW" if named else "ASSET and MW (or --site or --portfolio, and MW)"
        raise CommandError(f"expected {expected}, {given}; see --help", code=Exit.USAGE)
    try:
        setpoint_mw = parse_megawatts(words[-1])
    except typer.BadParameter as error:
        raise CommandError(f"MW: {error.message}", code=Exit.USAGE) from None
    asset = None if named else words[0]
    return Target(asset_id=asset, site_id=site, portfolio_id=portfolio), setpoint_mw


def order_of(
    target: Target,
    setpoint_mw: float,
    lease: Lease,
    *,
    reason: str | None,
    on_limit: str | None,
    plan_file: Path | None,
    now_us: int,
) -> Order:
    """The body.

    Raises:
        CommandError: Two ends are given, or the plan's file is none.
    """
    if lease.duration is not None and lease.until is not None:
        raise CommandError("give --for or --until, not both", code=Exit.USAGE)
    return Order(
        asset_id=target.asset_id,
        site_id=target.site_id,
        portfolio_id=target.portfolio_id,
        setpoint_mw=setpoint_mw,
        start=_written(lease.start, now_us),
        until=_written(lease.until, now_us),
        duration_s=None if lease.duration is None else lease.duration.seconds,
        reason=reason,
        on_limit=on_limit,
        plan_token=None if plan_file is None else _token(plan_file),
    )


def _written(moment: Moment | None, now_us: int) -> str | None:
    return None if moment is None else format_rfc3339(moment.resolve(now_us))


def _token(file: Path) -> str:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Plan).token
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"{file}: {reason}", code=Exit.CONFIG) from None
    except msgspec.MsgspecError:
        raise CommandError(
            f"{file}: is no plan; write one with --preview --json > {file}", code=Exit.CONFIG
        ) from None
