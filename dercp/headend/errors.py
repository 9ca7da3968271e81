"""What the headend refuses, as types."""

from dercp.model.dispatch import Dispatch
from dercp.model.plan import Difference


class KeyReused(Exception):
    """The Idempotency-Key belongs to a dispatch with another body."""


class UnknownTarget(Exception):
    """The dispatch names an asset or site nobody registered."""


class DeskBusy(Exception):
    """The desk cannot take a dispatch now; the same one may be handed in again."""

    def __init__(self, retry_after_s: float, because: str = "too many dispatches wait") -> None:
        super().__init__(f"{because}; try again in {retry_after_s:g} s")
        self.retry_after_s = retry_after_s


class StoreAwaited(DeskBusy):
    """The store takes or gives no dispatch now; it is tried again."""


class HistoryUnavailable(Exception):
    """History cannot be read now; the sentence of the store says why."""


class FleetMoved(Exception):
    """The plan that was shown is not the one that would be carried out now."""

    def __init__(self, differences: tuple[Difference, ...]) -> None:
        super().__init__("the fleet has moved since the preview; ask for a new one")
        self.differences = differences


class UnknownDispatch(Exception):
    """There is no dispatch by this id."""


class DispatchEnded(Exception):
    """The dispatch has ended already, so it cannot be ended early."""

    def __init__(self, dispatch: Dispatch) -> None:
        super().__init__(f"dispatch {dispatch.dispatch_id} has ended: {dispatch.state}")
        self.dispatch = dispatch


class PortfolioChanged(Exception):
    """The portfolio is not at the revision that was expected; `revision` 0: there is none."""

    def __init__(self, portfolio_id: str, revision: int) -> None:
        now = f"is at revision {revision}" if revision else "does not exist"
        super().__init__(f"portfolio {portfolio_id} {now}")
        self.revision = revision


class PortfolioInUse(Exception):
    """Open dispatches name the portfolio, so it cannot be removed."""

    def __init__(self, portfolio_id: str, dispatch_ids: tuple[str, ...]) -> None:
        super().__init__(f"portfolio {portfolio_id} is named by dispatches that have not ended")
        self.dispatch_ids = dispatch_ids
