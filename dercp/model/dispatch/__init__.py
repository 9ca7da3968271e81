"""A dispatch: a lease on an active power setpoint, and a lifecycle that never lies.

    submitted → sent → acked → applied → following ⇄ deviating → completed
        ↑_________|

    submitted   durable at the headend
    sent        handed to the link; it may be with the edge from here on
    acked       accepted by the edge
    applied     written to the device and read back
    following   the measured power is within tolerance of the setpoint
    deviating   it is not
    completed   the lease ran to its end
    rejected    not accepted, by the headend (only what never left) or the edge
    expired     not accepted by deliver_by or until
    cancelled   ended early on request
    superseded  a newer dispatch took its place
    failed      the write or its read-back did not succeed
    unknown     it may have been with the edge, and no end was heard by until + grace

What holds, whatever happens in whatever order:
    A final state is final; only `unknown` is resolved, by a late word of the edge.
    The headend says "not delivered", "rejected", "cancelled" or "superseded" by itself
        only of what never left it. Of everything else only the edge knows the end.
    Every dispatch is final by until + grace.
    Nothing leaves at or after deliver_by or until.
    A repeated, late or contradicting event changes nothing.

A dispatch that the headend divides (`grouped`) is not sent itself: its state follows from
those it was divided into (`summarise`). One that a site's gateway divides is a single
dispatch; its `placement` says how it stands with each asset.

How to drive it: make the `Transition` of `advance` durable, then act on it. Above all
make `Sent` durable before the bytes leave, else a crash between the two would let the
headend say "expired" of something that runs. Updates of another revision stay outside.
"""

from dercp.model.authority import Authority
from dercp.model.dispatch._advance import Transition, advance
from dercp.model.dispatch._events import (
    Acked,
    Applied,
    Cancelled,
    Completed,
    DeviatingSeen,
    DispatchEvent,
    ExpiredAtEdge,
    Failed,
    FollowingSeen,
    Rejected,
    Sent,
    Superseded,
    Tick,
    Undelivered,
)
from dercp.model.dispatch._group import grouped, summarise
from dercp.model.dispatch._placement import Placement, Share, ShareState, placement, planned
from dercp.model.dispatch._record import (
    FINAL,
    GRACE_S,
    TIMELINE_ENTRIES_MAX,
    Dispatch,
    DispatchState,
    Source,
    TimelineEntry,
    begun_at_site,
    cancel_due,
    deliverable,
    next_deadline_us,
    submit,
)
from dercp.model.dispatch._request import (
    DEFAULT_DELIVER_WITHIN_S,
    DEFAULT_DURATION_S,
    AssetTarget,
    DispatchError,
    DispatchLimits,
    DispatchRequest,
    GroupSpec,
    PortfolioTarget,
    SiteTarget,
    Target,
    check_request,
    default_deliver_by_us,
    default_until_us,
    group_spec,
    id_of,
)
from dercp.model.reasons import DispatchReason

__all__ = [
    "DEFAULT_DELIVER_WITHIN_S",
    "DEFAULT_DURATION_S",
    "FINAL",
    "GRACE_S",
    "TIMELINE_ENTRIES_MAX",
    "Acked",
    "Applied",
    "AssetTarget",
    "Authority",
    "Cancelled",
    "Completed",
    "DeviatingSeen",
    "Dispatch",
    "DispatchError",
    "DispatchEvent",
    "DispatchLimits",
    "DispatchReason",
    "DispatchRequest",
    "DispatchState",
    "ExpiredAtEdge",
    "Failed",
    "FollowingSeen",
    "GroupSpec",
    "Placement",
    "PortfolioTarget",
    "Rejected",
    "Sent",
    "Share",
    "ShareState",
    "SiteTarget",
    "Source",
    "Superseded",
    "Target",
    "Tick",
    "TimelineEntry",
    "Transition",
    "Undelivered",
    "advance",
    "begun_at_site",
    "cancel_due",
    "check_request",
    "default_deliver_by_us",
    "default_until_us",
    "deliverable",
    "group_spec",
    "grouped",
    "id_of",
    "next_deadline_us",
    "placement",
    "planned",
    "submit",
    "summarise",
]
