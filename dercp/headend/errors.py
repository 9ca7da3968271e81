"""What the headend refuses, as types."""


class KeyReused(Exception):
    """The Idempotency-Key belongs to a dispatch with another body."""


class UnknownTarget(Exception):
    """The dispatch names an asset or site nobody registered."""


class DeskBusy(Exception):
    """The desk's mailbox is full."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"too many dispatches wait; try again in {retry_after_s:g} s")
        self.retry_after_s = retry_after_s
