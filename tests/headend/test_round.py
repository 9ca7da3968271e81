"""What one batch changes at the desk is written in parts that may fail one by one."""

from dercp.headend.dispatching.book import DispatchBook
from dercp.headend.dispatching.round import Round
from dercp.model.dispatch import AssetTarget, Dispatch, DispatchRequest, Sent, submit
from dercp.store.records import IdempotencyRecord


def dispatch(dispatch_id: str) -> Dispatch:
    """A new dispatch."""
    request = DispatchRequest(
        target=AssetTarget("bess-1"),
        setpoint_mw=1.0,
        start_us=0,
        until_us=900_000_000,
        deliver_by_us=30_000_000,
    )
    return submit(dispatch_id, "default", request, 0)


def key_of(dispatch: Dispatch) -> IdempotencyRecord:
    """Its key."""
    return IdempotencyRecord(
        tenant_id="default",
        key=f"key-{dispatch.dispatch_id}",
        fingerprint="body",
        dispatch_id=dispatch.dispatch_id,
        created_us=0,
    )


def test_new_dispatches_are_written_last_and_together_with_their_keys() -> None:
    """If an earlier part fails, the ledger has nothing that nobody was told of."""
    book = DispatchBook(ended_max=10, grace_s=30.0)
    this = Round(book, now_us=1, retry_at=0.0)
    for number in range(7):
        book.put(dispatch(f"d-{number}"))
        this.advance(dispatch(f"d-{number}"), Sent())
    added = dispatch("d-new")
    this.add(added)
    this.add_key(key_of(added))
    this.advance(added, Sent())
    parts = [
        ([each.dispatch_id for each in dispatches], [each.key for each in keys])
        for dispatches, keys in this.commits(items_max=3)
    ]
    assert parts == [
        (["d-0", "d-1", "d-2"], []),
        (["d-3", "d-4", "d-5"], []),
        (["d-6", "d-new"], ["key-d-new"]),
    ]
    assert {each.state for each in this.written()} == {"sent"}
    assert [entry.state.value for _, entry in this.entries].count("sent") == 8


def test_a_round_that_changes_nothing_writes_nothing() -> None:
    """No commit, no fsync."""
    this = Round(DispatchBook(ended_max=10, grace_s=30.0), now_us=1, retry_at=0.0)
    assert list(this.commits(items_max=3)) == []
