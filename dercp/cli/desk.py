"""Commands for the dispatch desk: hand in, plan, follow, end early, list."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dercp.cli.desk_options import (
    AssetId,
    CancelDispatch,
    CancelSchedule,
    Count,
    Detach,
    For,
    Key,
    OfAsset,
    OfPortfolio,
    OfSchedule,
    OfSite,
    OnlyOpen,
    PartOf,
    PlanFile,
    PortfolioId,
    Preview,
    Reason,
    RejectIfLimited,
    ScheduleFile,
    ShowSchedule,
    SiteId,
    Start,
    Until,
    Wait,
    Within,
    Words,
)
from dercp.cli.exits import CommandError, Exit, told
from dercp.cli.people import DEFAULT_URL, Json, Url

if TYPE_CHECKING:
    from dercp.cli.following import Follower
    from dercp.cli.parse import Duration


def dispatch(
    words: Words = None,
    site: SiteId = None,
    portfolio: PortfolioId = None,
    duration: For = None,
    until: Until = None,
    start: Start = None,
    reason: Reason = None,
    key: Key = None,
    plan: PlanFile = None,
    within: Within = None,
    cancel: CancelDispatch = None,
    url: Url = DEFAULT_URL,
    *,
    reject_if_limited: RejectIfLimited = False,
    preview: Preview = False,
    wait: Wait = False,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Set the power of an asset, a site or a portfolio for a while, and follow that.

    It is followed until it is applied; with --wait until its end. The exit code says how it
    stands then: 0 applied, following or completed; 1 refused, or not applied in time; 10
    rejected, 11 expired, 12 cancelled, 13 superseded, 14 failed at the device, 15 unknown,
    16 deviating, 17 in force only in part. Afterwards the assets go back to their fallback by
    themselves, even with the headend gone.
    """
    with told():
        from dercp.cli.clock import utc_now_us
        from dercp.cli.following import Goal
        from dercp.cli.ordering import Lease, order_of, read_words

        if preview + wait + detach + (cancel is not None) > 1:
            raise CommandError(
                "give one of --preview, --wait, --detach and --cancel", code=Exit.USAGE
            )
        if cancel is not None:
            if words or site or portfolio:
                raise CommandError("--cancel takes nothing else", code=Exit.USAGE)
            with _following(url, json=json) as follower:
                follower.cancel(cancel, reason, _seconds(within))
            return
        target, setpoint_mw = read_words(words or (), site, portfolio)
        order = order_of(
            target,
            setpoint_mw,
            Lease(start, until, duration),
            reason=reason,
            on_limit="reject" if reject_if_limited else None,
            plan_file=plan,
            now_us=utc_now_us(),
        )
        if preview:
            _preview(url, order, json=json)
            return
        goal = Goal.TAKEN if detach else Goal.ENDED if wait else Goal.APPLIED
        with _following(url, json=json) as follower:
            follower.follow(follower.submit(order, _fresh(key)), goal, _seconds(within))


def dispatches(
    asset: OfAsset = None,
    site: OfSite = None,
    portfolio: OfPortfolio = None,
    schedule: OfSchedule = None,
    part_of: PartOf = None,
    count: Count = 50,
    url: Url = DEFAULT_URL,
    *,
    only_open: OnlyOpen = False,
    json: Json = False,
) -> None:
    """List dispatches, the newest first: what was asked, and what has become of it.

    Those that the headend has divided stand there with their parts.
    """
    with told():
        from dercp.cli.client import ApiClient
        from dercp.cli.desk_tables import dispatches_table
        from dercp.cli.output import show
        from dercp.cli.shapes import Dispatch

        found = ApiClient(url).newest(
            "/dispatches",
            count,
            asset_id=asset,
            site_id=site,
            portfolio_id=portfolio,
            schedule_id=schedule,
            parent_id=part_of,
            open="true" if only_open else None,
        )
        show(found, Dispatch, dispatches_table, nothing="no dispatches", json=json)


def schedule(
    file: ScheduleFile = None,
    asset: AssetId = None,
    site: SiteId = None,
    portfolio: PortfolioId = None,
    reason: Reason = None,
    key: Key = None,
    stands: ShowSchedule = None,
    cancel: CancelSchedule = None,
    url: Url = DEFAULT_URL,
    *,
    reject_if_limited: RejectIfLimited = False,
    json: Json = False,
) -> None:
    """Hand over setpoints for stretches of time, ahead; the site carries them out by itself.

    A TOML file has the members of POST /schedules, and [[blocks]] with start, until and
    setpoint_mw. A CSV file has these three columns, and wants --asset, --site or --portfolio.
    All blocks are taken, or none.
    """
    with told():
        from dercp.cli.client import ApiClient
        from dercp.cli.schedules import ScheduleDesk, read_schedule

        if sum(each is not None for each in (file, stands, cancel)) != 1:
            raise CommandError("give one of FILE, --show and --cancel", code=Exit.USAGE)
        desk = ScheduleDesk(ApiClient(url))
        if stands is not None:
            answer = desk.find(stands)
        elif cancel is not None:
            answer = desk.cancel(cancel, reason)
        else:
            assert file is not None  # noqa: S101 - as just seen
            changes = {
                "asset_id": asset,
                "site_id": site,
                "portfolio_id": portfolio,
                "reason": reason,
                "on_limit": "reject" if reject_if_limited else None,
            }
            body = read_schedule(file) | {k: v for k, v in changes.items() if v is not None}
            answer = desk.submit(body, _fresh(key))
        desk.show(answer, json=json)


def _preview(url: str, order: object, *, json: bool) -> None:
    from rich.console import Console

    from dercp.cli.client import ApiClient, read
    from dercp.cli.desk_tables import plan_table
    from dercp.cli.output import wants_json, write_json
    from dercp.cli.shapes import Plan

    answer = ApiClient(url).post("/dispatch/preview", order, {})
    console = Console(highlight=False, markup=False)
    if wants_json(asked=json, console=console):
        write_json(answer)
        return
    plan = read(answer, Plan)
    console.print(plan_table(plan, width=console.width))
    console.print(
        f"{plan.target.name}: {plan.placed_mw:+z.3f} of {plan.setpoint_mw:+z.3f} MW placed, "
        f"{plan.unplaced_mw:+z.3f} MW unplaced; nothing was done"
    )


@contextmanager
def _following(url: str, *, json: bool) -> Iterator["Follower"]:
    """Around what is followed: lines for people as it happens, one document for programs."""
    from rich.console import Console

    from dercp.cli.client import ApiClient
    from dercp.cli.clock import Pause
    from dercp.cli.following import Follower
    from dercp.cli.output import wants_json, write_json

    console = Console(highlight=False, markup=False, soft_wrap=True)
    quiet = wants_json(asked=json, console=console)
    say: Callable[[str], None] = _nothing if quiet else console.print
    follower = Follower(ApiClient(url), Pause(), say)
    try:
        yield follower
    except KeyboardInterrupt:
        raise CommandError(
            "no longer followed; a dispatch that was taken goes on", code=Exit.INTERRUPTED
        ) from None
    finally:
        if quiet and follower.answer is not None:
            write_json(follower.answer)


def _fresh(key: str | None) -> str:
    return key or str(uuid.uuid4())


def _seconds(duration: "Duration | None") -> float | None:
    return None if duration is None else duration.seconds


def _nothing(_line: str) -> None:
    """Says it to nobody."""
