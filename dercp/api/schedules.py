"""Schedules: setpoints for stretches of time, handed over ahead, each block a dispatch."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, assert_never

import msgspec
from msgspec import Meta

from dercp.api.dispatch_bodies import (
    REQUESTED_BY,
    CancelBody,
    Instant,
    Limited,
    Priority,
    Targeted,
    Why,
)
from dercp.api.dispatch_resources import (
    DispatchResource,
    TargetResource,
    listed_dispatch,
    target_resource,
)
from dercp.api.idempotency import HEADER, fingerprint, read_key
from dercp.api.ports import DispatchDesk
from dercp.api.problems import DISPATCH_ENDED, NOT_FOUND, Refusal
from dercp.api.queries import Query
from dercp.api.refusals import awaited, cancelled, handed_in
from dercp.api.resources import Megawatts, Resource, micros, moment
from dercp.api.routes import BodyCall, Call, Reply
from dercp.headend.errors import UnknownDispatch
from dercp.model.dispatch import (
    AssetTarget,
    Dispatch,
    DispatchState,
    PortfolioTarget,
    SiteTarget,
    Target,
    default_deliver_by_us,
)
from dercp.model.guardrail import OnLimit
from dercp.model.schedule import BLOCKS_MAX, Block, Schedule

PATH = "/schedules"


class BlockBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A setpoint from `start` to before `until`."""

    start: Instant
    until: Instant
    setpoint_mw: Megawatts


class ScheduleBody(Targeted, frozen=True, kw_only=True):
    """A plan for one target. A null member counts as left out."""

    blocks: Annotated[
        tuple[BlockBody, ...],
        Meta(min_length=1, max_length=BLOCKS_MAX, description="In order of time"),
    ]
    deliver_by: (
        Annotated[
            Instant,
            Meta(
                description="No block is handed over after this; when left out the start of the "
                "first, and at least 30 s from now"
            ),
        ]
        | None
    ) = None
    priority: Priority | None = None
    reason: Why | None = None
    on_limit: Limited | None = None


class ScheduleResource(Resource, frozen=True, kw_only=True):
    """A schedule, and how its blocks stand."""

    id: str
    target: TargetResource
    deliver_by: datetime
    priority: int
    reason: str
    requested_by: str
    on_limit: OnLimit
    blocks: Annotated[tuple[DispatchResource, ...], Meta(description="In order of time")]


async def submit_schedule(call: BodyCall[ScheduleBody]) -> Reply[ScheduleResource]:
    """Hand in a schedule, all of its blocks or none; the answer comes when it is on disk.

    The sites keep it, and carry it out by themselves with the headend gone.
    """
    key, body = read_key(call.headers.get(HEADER)), call.body
    schedule = schedule_of(body, call.services.clock())
    with handed_in(body):
        first = await call.services.desk.submit_schedule(
            schedule, key=key, fingerprint=fingerprint("POST", PATH, body)
        )
        blocks = await _blocks(call.services.desk, first)
    return Reply(
        content=msgspec.json.encode(schedule_resource(blocks)),
        headers={"Location": f"{PATH}/{first.request.schedule_id}"},
    )


async def get_schedule(call: Call[Query]) -> ScheduleResource:
    """One schedule with its blocks, each with how it stands."""
    with awaited():
        return schedule_resource(await _found(call.services.desk, call.id))


async def cancel_schedule(call: BodyCall[CancelBody]) -> ScheduleResource:
    """End all blocks of a schedule that have not ended. Repeating it does no harm."""
    desk = call.services.desk
    with cancelled():
        try:
            await desk.cancel_schedule(call.id, call.body.reason or "")
        except UnknownDispatch:
            blocks = await _found(desk, call.id)
            if all(block.state is not DispatchState.CANCELLED for block in blocks):
                detail = f"all blocks of schedule {call.id} have ended"
                raise Refusal(DISPATCH_ENDED, detail) from None
            return schedule_resource(blocks)
        return schedule_resource(await _found(desk, call.id))


def schedule_of(body: ScheduleBody, now_us: int) -> Schedule:
    """The schedule of a body, with what was left out filled in; the desk gives it its id.

    Raises:
        Refusal: `invalid-body` without any target.
    """
    blocks = tuple(
        Block(micros(block.start), micros(block.until), block.setpoint_mw) for block in body.blocks
    )
    until_us = blocks[-1].until_us
    usual_us = max(default_deliver_by_us(until_us, now_us), min(blocks[0].start_us, until_us))
    return Schedule(
        schedule_id="",
        target=body.target(),
        blocks=blocks,
        deliver_by_us=usual_us if body.deliver_by is None else micros(body.deliver_by),
        priority=body.priority or 0,
        reason=body.reason or "",
        requested_by=REQUESTED_BY,
        on_limit=body.on_limit or OnLimit.CLAMP,
    )


def schedule_resource(blocks: Sequence[Dispatch]) -> ScheduleResource:
    """A schedule by its blocks, in order."""
    first = blocks[0].request
    return ScheduleResource(
        id=first.schedule_id,
        target=target_resource(first.target),
        deliver_by=moment(max(block.request.deliver_by_us for block in blocks)),
        priority=first.priority,
        reason=first.reason,
        requested_by=first.requested_by,
        on_limit=first.on_limit,
        blocks=tuple(map(listed_dispatch, blocks)),
    )


async def _found(desk: DispatchDesk, schedule_id: str) -> list[Dispatch]:
    """All blocks of a schedule.

    Raises:
        Refusal: `not-found`.
    """
    page = await desk.page(None, 1, schedule_id=schedule_id)
    known = page.dispatches[0] if page.dispatches else None
    # It may be a part of a block, which the headend divided.
    while known is not None and known.parent_id is not None:
        known = await desk.dispatch(known.parent_id)
    if known is None:
        raise Refusal(NOT_FOUND, f"there is no schedule {schedule_id[:80]!r}")
    return await _blocks(desk, known)


async def _blocks(desk: DispatchDesk, one: Dispatch) -> list[Dispatch]:
    """All blocks of the schedule that this is one of. No part has the target of its block."""
    schedule_id, target = one.request.schedule_id, one.request.target
    page = await _page_of(desk, schedule_id, target)
    return sorted(page, key=lambda block: block.request.block)


async def _page_of(desk: DispatchDesk, schedule_id: str, target: Target) -> Sequence[Dispatch]:
    match target:
        case AssetTarget(asset_id):
            page = await desk.page(None, BLOCKS_MAX, schedule_id=schedule_id, asset_id=asset_id)
        case SiteTarget(site_id):
            page = await desk.page(None, BLOCKS_MAX, schedule_id=schedule_id, site_id=site_id)
        case PortfolioTarget(portfolio_id):
            page = await desk.page(
                None, BLOCKS_MAX, schedule_id=schedule_id, portfolio_id=portfolio_id
            )
        case _:
            assert_never(target)
    return page.dispatches
