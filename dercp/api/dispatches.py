"""Dispatches: handed in, planned, looked up, ended early."""

import msgspec

from dercp.api.dispatch_bodies import CancelBody, DispatchBody, request_of
from dercp.api.dispatch_resources import DispatchResource, dispatch_resource, listed_dispatch
from dercp.api.idempotency import HEADER, fingerprint, read_key
from dercp.api.plan_resources import PlanResource, plan_resource
from dercp.api.problems import NOT_FOUND, Refusal
from dercp.api.queries import DispatchQuery, Query, decode_position, encode_cursor
from dercp.api.record_resources import RecordResource, record_chunks
from dercp.api.refusals import awaited, cancelled, handed_in
from dercp.api.resources import Page
from dercp.api.routes import BodyCall, Call, Reply, Stream

PATH = "/dispatch"


async def submit(call: BodyCall[DispatchBody]) -> Reply[DispatchResource]:
    """Hand in a dispatch; the answer comes when it is safely on disk."""
    key, body = read_key(call.headers.get(HEADER)), call.body
    request = request_of(body, call.services.clock())
    with handed_in(body):
        dispatch = await call.services.desk.submit(
            request,
            key=key,
            fingerprint=fingerprint("POST", PATH, body),
            plan_token=body.plan_token or "",
        )
    return Reply(
        content=msgspec.json.encode(dispatch_resource(dispatch)),
        headers={"Location": f"/dispatches/{dispatch.dispatch_id}"},
    )


async def preview(call: BodyCall[DispatchBody]) -> PlanResource:
    """What a dispatch would come to now: who gets what, and why no more. Nothing is done."""
    body = call.body
    request = request_of(body, call.services.clock())
    with handed_in(body):
        return plan_resource(call.services.desk.preview(request))


async def list_dispatches(call: Call[DispatchQuery]) -> Page[DispatchResource]:
    """All dispatches that pass the filters, newest first; parts of others among them."""
    query = call.query
    before, states = _before(query), query.states()
    with awaited():
        page = await call.services.desk.page(
            before,
            query.limit,
            asset_id=query.asset_id,
            site_id=query.site_id,
            portfolio_id=query.portfolio_id,
            schedule_id=query.schedule_id,
            parent_id=query.parent_id,
            state=states,
        )
    after = page.next_before
    return Page(
        items=list(map(listed_dispatch, page.dispatches)),
        next=None if after is None else encode_cursor(str(after)),
    )


async def get_dispatch(call: Call[Query]) -> DispatchResource:
    """One dispatch with its timeline."""
    with awaited():
        dispatch = await call.services.desk.dispatch(call.id)
    if dispatch is None:
        raise _unknown(call.id)
    return dispatch_resource(dispatch)


async def cancel_dispatch(call: BodyCall[CancelBody]) -> DispatchResource:
    """End a dispatch early, with all its parts; what an edge may have only that edge can end.

    The answer is the dispatch with the wish on disk: `cancelled` where it had not left yet,
    else `withdrawn_as` until the edge has said how it ended. Repeating it does no harm.
    """
    with cancelled():
        return dispatch_resource(await call.services.desk.cancel(call.id, call.body.reason or ""))


async def get_record(call: Call[Query]) -> Stream[RecordResource]:
    """All that is known of a dispatch, for settlement: one document.

    The request, what it was divided into, every state and clamp, and the samples of its
    assets over its time, with what is known to be missing of them.
    """
    with awaited():
        record = await call.services.desk.record(call.id)
    if record is None:
        raise _unknown(call.id)
    return Stream(chunks=record_chunks(record))


def _before(query: DispatchQuery) -> int | None:
    return None if query.cursor is None else decode_position(query.cursor)


def _unknown(dispatch_id: str) -> Refusal:
    return Refusal(NOT_FOUND, f"there is no dispatch {dispatch_id[:80]!r}")
