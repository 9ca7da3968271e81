"""The route table: all that the API can be asked."""

from dercp.api import (
    dispatches,
    fleet,
    history,
    metrics,
    operations,
    pages,
    portfolios,
    preconditions,
    schedules,
    spools,
)
from dercp.api.idempotency import HEADER
from dercp.api.live import sse
from dercp.api.problems import (
    DISPATCH_ENDED,
    DISPATCH_REFUSED,
    FLEET_MOVED,
    HISTORY_UNAVAILABLE,
    IDEMPOTENCY_KEY_REUSED,
    MALFORMED_IDEMPOTENCY_KEY,
    MISSING_IDEMPOTENCY_KEY,
    NOT_READY,
    PLAN_EXPIRED,
    PLAN_NOT_FOR_THIS,
    PORTFOLIO_IN_USE,
    PORTFOLIO_REFUSED,
    PRECONDITION_FAILED,
    PRECONDITION_REQUIRED,
    STORE_UNAVAILABLE,
    TOO_MANY_DISPATCHES,
    TOO_MANY_STREAMS,
    UNKNOWN_TARGET,
)
from dercp.api.routes import Route, Tagging

HTML = "text/html; charset=utf-8"
CSS = "text/css; charset=utf-8"
JAVASCRIPT = "text/javascript; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
LIVE = Tagging.BUT_FOR_AGES

KEY = {
    HEADER: "Fresh for each new dispatch or schedule, the same when a request is repeated: "
    "the repeat answers with what the first one made"
}
REVISION = {"ETag": "Strong; of what is answered with, for If-Match"}
# What waits for the desk, and what is handed in there, may be refused with.
DESK = (TOO_MANY_DISPATCHES, STORE_UNAVAILABLE)
CANCELLED = (DISPATCH_ENDED, DISPATCH_REFUSED, *DESK)
HANDED_IN = (
    MISSING_IDEMPOTENCY_KEY,
    MALFORMED_IDEMPOTENCY_KEY,
    DISPATCH_REFUSED,
    UNKNOWN_TARGET,
    IDEMPOTENCY_KEY_REUSED,
    *DESK,
)

ROUTES: tuple[Route, ...] = (
    Route(path="/assets", handler=fleet.list_assets, tag="fleet", tagging=LIVE),
    Route(path="/assets/{id}", handler=fleet.get_asset, tag="fleet", tagging=LIVE),
    Route(path="/assets/{id}/telemetry", handler=fleet.get_telemetry, tag="fleet", tagging=LIVE),
    Route(
        path="/assets/{id}/history",
        handler=history.get_history,
        tag="history",
        also=(history.NDJSON, history.CSV),
        problems=(HISTORY_UNAVAILABLE,),
    ),
    Route(path="/gaps", handler=history.list_gaps, tag="history", problems=(HISTORY_UNAVAILABLE,)),
    # Too long to be hashed each time, and never the same.
    Route(path="/telemetry", handler=fleet.list_telemetry, tag="fleet"),
    Route(path="/sites", handler=fleet.list_sites, tag="fleet", tagging=LIVE),
    Route(path="/sites/{id}", handler=fleet.get_site, tag="fleet", tagging=LIVE),
    Route(path="/agents", handler=fleet.list_agents, tag="fleet", tagging=LIVE),
    Route(path="/agents/{id}", handler=fleet.get_agent, tag="fleet", tagging=LIVE),
    Route(
        path="/agents/{id}/spools",
        handler=spools.list_spools,
        tag="history",
        problems=(HISTORY_UNAVAILABLE,),
    ),
    Route(
        method="POST",
        path=dispatches.PATH,
        handler=dispatches.submit,
        tag="dispatch",
        status=202,
        asks_headers=KEY,
        tells_headers={"Location": "Where the dispatch can be followed"},
        problems=(*HANDED_IN, FLEET_MOVED, PLAN_EXPIRED, PLAN_NOT_FOR_THIS),
    ),
    Route(
        method="POST",
        path="/dispatch/preview",
        handler=dispatches.preview,
        tag="dispatch",
        problems=(DISPATCH_REFUSED, UNKNOWN_TARGET, *DESK),
    ),
    Route(
        path="/dispatches",
        handler=dispatches.list_dispatches,
        tag="dispatch",
        tagging=LIVE,
        problems=DESK,
    ),
    Route(
        path="/dispatches/{id}",
        handler=dispatches.get_dispatch,
        tag="dispatch",
        tagging=LIVE,
        problems=DESK,
    ),
    Route(
        method="POST",
        path="/dispatches/{id}/cancel",
        handler=dispatches.cancel_dispatch,
        tag="dispatch",
        status=202,
        problems=CANCELLED,
    ),
    Route(
        path="/dispatches/{id}/record",
        handler=dispatches.get_record,
        tag="dispatch",
        problems=(HISTORY_UNAVAILABLE, *DESK),
    ),
    Route(
        method="POST",
        path=schedules.PATH,
        handler=schedules.submit_schedule,
        tag="dispatch",
        status=202,
        asks_headers=KEY,
        tells_headers={"Location": "Where the schedule can be followed"},
        problems=HANDED_IN,
    ),
    Route(
        path="/schedules/{id}",
        handler=schedules.get_schedule,
        tag="dispatch",
        tagging=LIVE,
        problems=DESK,
    ),
    Route(
        method="POST",
        path="/schedules/{id}/cancel",
        handler=schedules.cancel_schedule,
        tag="dispatch",
        status=202,
        problems=CANCELLED,
    ),
    Route(path="/portfolios", handler=portfolios.list_portfolios, tag="fleet", tagging=LIVE),
    Route(
        path="/portfolios/{id}",
        handler=portfolios.get_portfolio,
        tag="fleet",
        tells_headers=REVISION,
    ),
    Route(
        method="PUT",
        path="/portfolios/{id}",
        handler=portfolios.put_portfolio,
        tag="fleet",
        also_statuses=(201,),
        takes_headers=preconditions.HEADERS,
        tells_headers=REVISION,
        problems=(
            PORTFOLIO_REFUSED,
            PRECONDITION_FAILED,
            PRECONDITION_REQUIRED,
            STORE_UNAVAILABLE,
        ),
    ),
    Route(
        method="DELETE",
        path="/portfolios/{id}",
        handler=portfolios.delete_portfolio,
        tag="fleet",
        takes_headers=preconditions.HEADERS,
        tells_headers=REVISION,
        problems=(
            PORTFOLIO_IN_USE,
            PRECONDITION_FAILED,
            PRECONDITION_REQUIRED,
            STORE_UNAVAILABLE,
        ),
    ),
    Route(
        path="/stream",
        handler=sse.follow,
        tag="stream",
        media_type=sse.MEDIA_TYPE,
        takes_headers={
            sse.LAST_EVENT_ID: "Id of the last event that was read: what happened since is told, "
            "if it is known still"
        },
        problems=(TOO_MANY_STREAMS,),
    ),
    Route(path="/livez", handler=operations.livez, tag="operations"),
    Route(path="/readyz", handler=operations.readyz, tag="operations", problems=(NOT_READY,)),
    Route(
        path="/metrics",
        handler=operations.metrics,
        tag="operations",
        media_type=metrics.MEDIA_TYPE,
    ),
    Route(path="/system/actors", handler=operations.actor_tree, tag="operations"),
    Route(path="/openapi.json", handler=pages.openapi, tag="documentation", tagging=LIVE),
    Route(path="/docs", handler=pages.docs, tag="documentation", media_type=HTML, tagging=LIVE),
    Route(
        path="/docs/docs.css",
        handler=pages.docs_css,
        tag="documentation",
        media_type=CSS,
        tagging=LIVE,
    ),
    Route(
        path="/docs/docs.js",
        handler=pages.docs_js,
        tag="documentation",
        media_type=JAVASCRIPT,
        tagging=LIVE,
    ),
    Route(path="/problems/{id}", handler=pages.problem, tag="documentation", media_type=TEXT),
)
