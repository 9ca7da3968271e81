"""The route table: all that the API can be asked."""

from dercp.api import dispatches, fleet, history, metrics, operations, pages, spools
from dercp.api.idempotency import HEADER
from dercp.api.live import sse
from dercp.api.problems import (
    DISPATCH_REFUSED,
    HISTORY_UNAVAILABLE,
    IDEMPOTENCY_KEY_REUSED,
    MALFORMED_IDEMPOTENCY_KEY,
    MISSING_IDEMPOTENCY_KEY,
    NOT_READY,
    STORE_UNAVAILABLE,
    TOO_MANY_DISPATCHES,
    TOO_MANY_STREAMS,
    UNKNOWN_TARGET,
    UNSUPPORTED_TARGET,
)
from dercp.api.routes import Route, Tagging

HTML = "text/html; charset=utf-8"
CSS = "text/css; charset=utf-8"
JAVASCRIPT = "text/javascript; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
LIVE = Tagging.BUT_FOR_AGES

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
        asks_headers={
            HEADER: "Fresh for each new dispatch, the same when a request is repeated: "
            "the repeat answers with the dispatch that the first one made"
        },
        tells_headers={"Location": "Where the dispatch can be followed"},
        problems=(
            MISSING_IDEMPOTENCY_KEY,
            MALFORMED_IDEMPOTENCY_KEY,
            DISPATCH_REFUSED,
            HISTORY_UNAVAILABLE,
            UNKNOWN_TARGET,
            UNSUPPORTED_TARGET,
            IDEMPOTENCY_KEY_REUSED,
            TOO_MANY_DISPATCHES,
            STORE_UNAVAILABLE,
        ),
    ),
    Route(
        path="/dispatches/{id}",
        handler=dispatches.get_dispatch,
        tag="dispatch",
        tagging=LIVE,
        problems=(STORE_UNAVAILABLE,),
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
