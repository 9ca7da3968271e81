"""What the headend refuses, as types."""


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
