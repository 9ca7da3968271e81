"""What the desk refuses, as problems."""

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import UNSET

from dercp.api.dispatch_bodies import Targeted
from dercp.api.problems import (
    DISPATCH_ENDED,
    DISPATCH_REFUSED,
    FLEET_MOVED,
    HISTORY_UNAVAILABLE,
    IDEMPOTENCY_KEY_REUSED,
    NOT_FOUND,
    PLAN_EXPIRED,
    PLAN_NOT_FOR_THIS,
    STORE_UNAVAILABLE,
    TOO_MANY_DISPATCHES,
    UNKNOWN_TARGET,
    Fault,
    Moved,
    Refusal,
)
from dercp.headend.errors import (
    DeskBusy,
    DispatchEnded,
    FleetMoved,
    HistoryUnavailable,
    KeyReused,
    StoreAwaited,
    UnknownDispatch,
    UnknownTarget,
)
from dercp.model.dispatch import DispatchError
from dercp.model.plan import PlanError


@contextmanager
def awaited() -> Iterator[None]:
    """Around a wait for the desk: a desk or a store that has no time now is told as such."""
    try:
        yield
    except StoreAwaited as error:
        raise Refusal(STORE_UNAVAILABLE, str(error), retry_after_s=error.retry_after_s) from error
    except DeskBusy as error:
        raise Refusal(TOO_MANY_DISPATCHES, str(error), retry_after_s=error.retry_after_s) from error
    except HistoryUnavailable as error:
        raise Refusal(HISTORY_UNAVAILABLE, str(error)) from error


@contextmanager
def handed_in(body: Targeted) -> Iterator[None]:
    """Around what is handed in at the desk, or planned there: each refusal names its member."""
    try:
        with awaited():
            yield
    except KeyReused as error:
        raise Refusal(
            IDEMPOTENCY_KEY_REUSED, "this key was used with another body; take a fresh one"
        ) from error
    except UnknownTarget as error:
        detail = f"{body.target_member()}: {error}"
        faults = [Fault(pointer=f"#/{body.target_member()}", detail=detail)]
        raise Refusal(UNKNOWN_TARGET, detail, faults=faults) from error
    except DispatchError as error:
        faults = [Fault(pointer=f"#{error.pointer}", detail=error.detail, reason=error.reason)]
        raise Refusal(DISPATCH_REFUSED, error.detail, faults=faults) from error
    except PlanError as error:
        kind = PLAN_EXPIRED if error.reason == "token_expired" else PLAN_NOT_FOR_THIS
        faults = [Fault(pointer="#/plan_token", detail=error.detail, reason=error.reason)]
        raise Refusal(kind, error.detail, faults=faults) from error
    except FleetMoved as error:
        raise _moved(error) from error


@contextmanager
def cancelled() -> Iterator[None]:
    """Around the end of a dispatch or schedule before its time."""
    try:
        with awaited():
            yield
    except UnknownDispatch as error:
        raise Refusal(NOT_FOUND, str(error)) from error
    except DispatchEnded as error:
        raise Refusal(DISPATCH_ENDED, str(error)) from error
    except DispatchError as error:
        faults = [Fault(detail=error.detail, reason=error.reason)]
        raise Refusal(DISPATCH_REFUSED, error.detail, faults=faults) from error


def _moved(error: FleetMoved) -> Refusal:
    moved = [
        Moved(
            id=each.id,
            planned_mw=each.planned_mw,
            now_mw=each.now_mw,
            reason=each.reason or UNSET,
        )
        for each in error.differences
    ]
    return Refusal(FLEET_MOVED, str(error), moved=moved)
