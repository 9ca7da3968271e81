"""Looks dispatches up: what is remembered in the book, all else in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dercp.headend.dispatching.submissions import RETRY_S
from dercp.headend.errors import StoreAwaited
from dercp.headend.patience import PASSING

if TYPE_CHECKING:
    from dercp.headend.dispatching.book import DispatchBook
    from dercp.model.dispatch import Dispatch
    from dercp.store.ports import DispatchLedger
    from dercp.store.records import DispatchFilter, DispatchPage


class DispatchReader:
    """Dispatches in their newest state, each of which is durable.

    Whatever is not remembered raises `StoreAwaited` while the store cannot be read.
    """

    def __init__(self, book: DispatchBook, ledger: DispatchLedger, *, tenant_id: str) -> None:
        self._book = book
        self._ledger = ledger
        self._tenant_id = tenant_id

    async def get(self, dispatch_id: str) -> Dispatch | None:
        """One dispatch; None when there was never one by this id."""
        remembered = self._book.get(dispatch_id)
        if remembered is not None:
            return remembered
        try:
            return await self._ledger.get(dispatch_id)
        except PASSING as error:
            raise _unreadable() from error

    async def page(self, before: int | None, limit: int, which: DispatchFilter) -> DispatchPage:
        """Some of those asked for, newest first.

        Raises:
            ValueError: `limit` is not within 1 to PAGE_MAX.
        """
        try:
            return await self._ledger.page(before, limit, which, tenant_id=self._tenant_id)
        except PASSING as error:
            raise _unreadable() from error


def _unreadable() -> StoreAwaited:
    return StoreAwaited(RETRY_S, "the store cannot be read now")
