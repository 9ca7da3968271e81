"""A dispatch as a row: its JSON, and beside it what queries ask for."""

import msgspec

from dercp.model.dispatch import AssetTarget, Dispatch, PortfolioTarget, SiteTarget
from dercp.store.errors import StoreDamaged
from dercp.store.records import DispatchFilter, Record

__all__ = ["DispatchRow", "conditions", "dispatch_of", "dispatch_row"]


class DispatchRow(Record, frozen=True, kw_only=True):
    """The columns, in their order."""

    dispatch_id: str
    tenant_id: str
    asset_id: str | None
    site_id: str | None
    portfolio_id: str | None
    schedule_id: str | None
    parent_id: str | None
    state: str
    final: bool
    created_us: int
    until_us: int
    body: str


def dispatch_row(dispatch: Dispatch) -> DispatchRow:
    """What is written of a dispatch."""
    target = dispatch.request.target
    return DispatchRow(
        dispatch_id=dispatch.dispatch_id,
        tenant_id=dispatch.tenant_id,
        asset_id=target.asset_id if isinstance(target, AssetTarget) else None,
        site_id=target.site_id if isinstance(target, SiteTarget) else None,
        portfolio_id=target.portfolio_id if isinstance(target, PortfolioTarget) else None,
        schedule_id=dispatch.request.schedule_id or None,
        parent_id=dispatch.parent_id,
        state=dispatch.state.value,
        final=dispatch.is_final,
        created_us=dispatch.timeline[0].time_us,
        until_us=dispatch.request.until_us,
        body=msgspec.json.encode(dispatch).decode(),
    )


def dispatch_of(body: str) -> Dispatch:
    """The dispatch of a row.

    Raises:
        StoreDamaged: It cannot be read.
    """
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise StoreDamaged(
            f"a stored dispatch cannot be read ({error}): {body[:80]}...; "
            "keep the store for inspection and restore a backup"
        ) from error


def conditions(which: DispatchFilter) -> dict[str, tuple[str, ...]]:
    """The columns that a filter looks at, and which values may stand there."""
    asked: dict[str, tuple[str, ...]] = {
        name: (value,) for name in _FILTERED if (value := getattr(which, name)) is not None
    }
    if which.states:
        asked["state"] = tuple(state.value for state in which.states)
    return asked


_FILTERED = tuple(name for name in DispatchFilter.__struct_fields__ if name != "states")
_decoder = msgspec.json.Decoder(Dispatch)
