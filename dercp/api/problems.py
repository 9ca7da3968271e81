"""Every way in which the API says no: the catalogue of problem types (RFC 9457)."""

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType

PROBLEM_JSON = "application/problem+json"


class ProblemType(msgspec.Struct, frozen=True):
    """One kind of refusal, stable for programs.

    Its page at `/problems/{slug}` is what the `type` of a problem document points to.
    """

    slug: str
    status: int
    title: str
    # What happened and what to do about it, for the person who reads the page.
    meaning: str

    @property
    def uri(self) -> str:
        """The `type` member, relative to wherever the API is served."""
        return f"/problems/{self.slug}"


MALFORMED_REQUEST = ProblemType(
    "malformed-request",
    400,
    "The request cannot be understood",
    "Not the HTTP that is spoken here. Check the client and the proxies before the server.",
)
MALFORMED_JSON = ProblemType(
    "malformed-json",
    400,
    "The body is not JSON",
    "The body must be one JSON value in UTF-8. The detail names the byte that cannot be read.",
)
INVALID_PARAMETERS = ProblemType(
    "invalid-parameters",
    400,
    "A query parameter is unknown or has an impossible value",
    "Each entry of `errors` names the parameter and says what is expected. Unknown parameters "
    "are refused because a filter that is misspelt and ignored returns the wrong assets.",
)
MISSING_IDEMPOTENCY_KEY = ProblemType(
    "missing-idempotency-key",
    400,
    "The Idempotency-Key header is missing",
    "A dispatch moves power. Send a fresh Idempotency-Key with every new one, and the same key "
    "when you repeat a request whose answer you did not see.",
)
MALFORMED_IDEMPOTENCY_KEY = ProblemType(
    "malformed-idempotency-key",
    400,
    "The Idempotency-Key header cannot be read",
    'Use 1 to 128 visible ASCII characters, bare (8e03978e) or quoted ("8e03978e").',
)
NOT_FOUND = ProblemType(
    "not-found",
    404,
    "There is nothing here",
    "No such path, or nothing with this id. /openapi.json lists all paths.",
)
METHOD_NOT_ALLOWED = ProblemType(
    "method-not-allowed",
    405,
    "The path does not know this method",
    "The Allow header lists the methods it knows.",
)
REQUEST_TIMEOUT = ProblemType(
    "request-timeout",
    408,
    "The body did not arrive in time",
    "Nothing was done. Send the request again.",
)
BODY_TOO_LARGE = ProblemType(
    "body-too-large",
    413,
    "The body is too large",
    "Nothing was read and nothing was done.",
)
UNSUPPORTED_MEDIA_TYPE = ProblemType(
    "unsupported-media-type",
    415,
    "The body must be application/json",
    "Send Content-Type: application/json, without a Content-Encoding.",
)
INVALID_BODY = ProblemType(
    "invalid-body",
    422,
    "The body is JSON, but not what this operation takes",
    "Each entry of `errors` has a JSON pointer into the body and says what is expected there. "
    "Unknown members are refused: a misspelt limit must not be taken for no limit.",
)
DISPATCH_REFUSED = ProblemType(
    "dispatch-refused",
    422,
    "The target cannot be dispatched like this",
    "The request is well formed but outside what the target allows. `errors` says which member, "
    "with a stable `reason`. No dispatch was made; the Idempotency-Key stays unused.",
)
UNKNOWN_TARGET = ProblemType(
    "unknown-target",
    422,
    "Nobody registered the target of the dispatch",
    "No asset, site or portfolio of this id is known, or a member of the portfolio is gone. "
    "GET /assets, /sites and /portfolios list those that are.",
)
PLAN_NOT_FOR_THIS = ProblemType(
    "plan-not-for-this",
    422,
    "The plan's token is none for this dispatch",
    "It is not a token of a preview, or of one for another target or setpoint. Give the `token` "
    "of a preview unchanged, with the body that the preview had. No dispatch was made.",
)
PLAN_EXPIRED = ProblemType(
    "plan-expired",
    409,
    "The plan is too old",
    "A preview holds for two minutes. Ask for a new one. No dispatch was made; the "
    "Idempotency-Key stays unused.",
)
FLEET_MOVED = ProblemType(
    "fleet-moved",
    409,
    "The plan would be another one now",
    "Shares differ from the preview by more than 2 % of the setpoint; `moved` says which. Ask "
    "for a new preview, or dispatch without `plan_token`. No dispatch was made; the "
    "Idempotency-Key stays unused.",
)
DISPATCH_ENDED = ProblemType(
    "dispatch-ended",
    409,
    "The dispatch has ended",
    "It ended otherwise before, so it cannot be ended early. GET /dispatches/{id} says how.",
)
PORTFOLIO_REFUSED = ProblemType(
    "portfolio-refused",
    422,
    "The portfolio cannot be right",
    "`errors` says which member, with a stable `reason`. Nothing was written.",
)
PORTFOLIO_IN_USE = ProblemType(
    "portfolio-in-use",
    409,
    "Dispatches that have not ended name the portfolio",
    "Cancel them, or wait for their end. GET /dispatches?portfolio_id=...&open=true lists them.",
)
PRECONDITION_FAILED = ProblemType(
    "precondition-failed",
    412,
    "It is not as the request takes it to be",
    "Somebody changed it since it was read, or it is there, or gone, against If-None-Match or "
    "If-Match. Read it again, and send its new ETag. Nothing was written.",
)
PRECONDITION_REQUIRED = ProblemType(
    "precondition-required",
    428,
    "The request must say which state it changes",
    "Send the ETag of what you read as If-Match, so that nobody else's change is lost; "
    "If-Match: * takes whatever is there.",
)
IDEMPOTENCY_KEY_REUSED = ProblemType(
    "idempotency-key-reused",
    422,
    "The Idempotency-Key belongs to another dispatch",
    "The key was used before with another body. A new dispatch needs a new key.",
)
TOO_MANY_DISPATCHES = ProblemType(
    "too-many-dispatches",
    429,
    "Too many dispatches wait",
    "No dispatch was made. Try again after Retry-After seconds, with the same key.",
)
STORE_UNAVAILABLE = ProblemType(
    "store-unavailable",
    503,
    "Dispatches cannot be written or looked up now",
    "The store is away, busy or full. No dispatch was made. What is live is served as ever; try "
    "again after Retry-After seconds, with the same key.",
)
FOREIGN_ORIGIN = ProblemType(
    "foreign-origin",
    403,
    "A page of another server may not open this WebSocket",
    "The browser names where the page came from; only pages of this very host may follow it, "
    "for they would read with the rights of whoever looks at them. Programs send no Origin.",
)
TOO_MANY_SUBSCRIPTIONS = ProblemType(
    "too-many-subscriptions",
    429,
    "The WebSocket has too many subscriptions",
    "Unsubscribe one that is not needed, or let one subscription tell more.",
)
INTERNAL_ERROR = ProblemType(
    "internal-error",
    500,
    "The headend made a mistake",
    "This is a defect of the headend. The log holds the details under the id in `instance`.",
)
NOT_READY = ProblemType(
    "not-ready",
    503,
    "The headend is not ready",
    "The detail says what it waits for, or that it is shutting down.",
)
HISTORY_UNAVAILABLE = ProblemType(
    "history-unavailable",
    503,
    "History cannot be read now",
    "The store says why in the detail. What is live is served as ever; try again later.",
)
OVERLOADED = ProblemType(
    "overloaded",
    503,
    "Too many requests at once",
    "Nothing was done. Try again after Retry-After seconds.",
)
TOO_MANY_STREAMS = ProblemType(
    "too-many-streams",
    503,
    "Too many clients follow the live stream",
    "Try again after Retry-After seconds, or poll /telemetry instead.",
)
TOO_SLOW = ProblemType(
    "too-slow",
    503,
    "The headend did not answer in time",
    "Whether a dispatch was taken is not known: repeat it with the same Idempotency-Key, "
    "which makes it at most once.",
)

CATALOGUE: tuple[ProblemType, ...] = (
    MALFORMED_REQUEST,
    MALFORMED_JSON,
    INVALID_PARAMETERS,
    MISSING_IDEMPOTENCY_KEY,
    MALFORMED_IDEMPOTENCY_KEY,
    FOREIGN_ORIGIN,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    REQUEST_TIMEOUT,
    DISPATCH_ENDED,
    FLEET_MOVED,
    PLAN_EXPIRED,
    PORTFOLIO_IN_USE,
    PRECONDITION_FAILED,
    BODY_TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    INVALID_BODY,
    DISPATCH_REFUSED,
    UNKNOWN_TARGET,
    PLAN_NOT_FOR_THIS,
    PORTFOLIO_REFUSED,
    IDEMPOTENCY_KEY_REUSED,
    PRECONDITION_REQUIRED,
    TOO_MANY_DISPATCHES,
    STORE_UNAVAILABLE,
    TOO_MANY_SUBSCRIPTIONS,
    INTERNAL_ERROR,
    NOT_READY,
    HISTORY_UNAVAILABLE,
    OVERLOADED,
    TOO_MANY_STREAMS,
    TOO_SLOW,
)


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a request, and where."""

    detail: str
    # JSON Pointer into the body, as a URI fragment ("#/setpoint_mw").
    pointer: str | UnsetType = UNSET
    # Name of the query parameter.
    parameter: str | UnsetType = UNSET
    # A stable word, where the model has one ("outside_nameplate").
    reason: str | UnsetType = UNSET


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A share of a plan that is another one now. `id` null: what nobody has room for."""

    id: str | None
    planned_mw: float
    now_mw: float
    # What binds it now, or why it is left out: a stable word.
    reason: str | UnsetType = UNSET


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request that was refused (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    # Of unexpected errors only: the id under which the log holds the details.
    instance: str | UnsetType = UNSET
    errors: tuple[Fault, ...] | UnsetType = UNSET
    # Of `fleet-moved` only.
    moved: tuple[Moved, ...] | UnsetType = UNSET


class Refusal(Exception):
    """Raised anywhere below a route to answer with a problem."""

    def __init__(
        self,
        kind: ProblemType,
        detail: str,
        *,
        faults: Sequence[Fault] = (),
        moved: Sequence[Moved] = (),
        instance: str | UnsetType = UNSET,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.retry_after_s = retry_after_s
        self.problem = Problem(
            type=kind.uri,
            title=kind.title,
            status=kind.status,
            detail=detail,
            instance=instance,
            errors=tuple(faults) or UNSET,
            moved=tuple(moved) or UNSET,
        )
