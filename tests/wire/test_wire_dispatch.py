"""A dispatch to the edge, and the edge's word about it."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dercp.model.dispatch import (
    Acked,
    Applied,
    AssetTarget,
    Cancelled,
    Completed,
    DeviatingSeen,
    DispatchRequest,
    ExpiredAtEdge,
    Failed,
    FollowingSeen,
    PortfolioTarget,
    Rejected,
    Share,
    ShareState,
    SiteTarget,
    Superseded,
    placement,
    submit,
)
from dercp.model.following import Outcome
from dercp.model.guardrail import Clamp, OnLimit
from dercp.wire import v1
from dercp.wire.dispatch import (
    SENTENCE_CHARS_MAX,
    WORD_CHARS_MAX,
    EdgeWord,
    Order,
    dispatch_to_wire,
    event_from_update,
    order_from_wire,
    update_to_wire,
)
from dercp.wire.envelope import decode_downlink, decode_uplink, encode_downlink, encode_uplink
from dercp.wire.errors import WireError

ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
texts = st.text(st.characters(categories=["L", "N"]), max_size=20)
times_us = st.integers(1, 10**16)
requests = st.builds(
    DispatchRequest,
    target=ids.map(AssetTarget) | ids.map(SiteTarget),
    setpoint_mw=st.floats(allow_nan=False, allow_infinity=False),
    start_us=times_us,
    until_us=times_us.map(lambda time_us: time_us + 10**16),
    deliver_by_us=times_us,
    priority=st.integers(-(2**31), 2**31 - 1),
    reason=texts,
    requested_by=texts,
    on_limit=st.sampled_from(OnLimit),
    schedule_id=st.just("") | ids,
)
powers_mw = st.floats(-1000, 1000)
counts = st.integers(0, 2**40)
shares = st.builds(
    Share,
    id=ids,
    setpoint_mw=powers_mw,
    state=st.sampled_from(ShareState),
    limit=texts,
    reason=texts,
    detail=texts,
    readback_mw=st.none() | powers_mw,
)
outcomes = st.builds(
    Outcome,
    setpoint_mw=powers_mw,
    from_us=times_us,
    until_us=times_us,
    energy_asked_mwh=powers_mw,
    energy_delivered_mwh=st.none() | powers_mw,
    # Percents that come back from their hundredths as they were.
    followed_pct=st.none() | st.sampled_from([0.0, 25.0, 50.0, 100.0]),
    known_pct=st.sampled_from([0.0, 25.0, 50.0, 100.0]),
    samples_good=counts,
    samples_expected=counts,
)
said: dict[str, Any] = {
    "source_time_us": st.none() | times_us,
    "reason": texts,
    "detail": texts,
    "clamps": st.lists(st.builds(Clamp, texts, powers_mw, powers_mw, texts), max_size=3).map(tuple),
    "placement": st.none()
    | st.lists(shares, max_size=3, unique_by=lambda share: share.id).map(
        lambda parts: placement(1.0, parts)
    ),
    "outcome": st.none() | outcomes,
}
words: st.SearchStrategy[EdgeWord] = st.one_of(
    st.builds(Acked, **said),
    st.builds(
        Applied,
        readback_mw=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        **said,
    ),
    st.builds(FollowingSeen, **said),
    st.builds(DeviatingSeen, **said),
    st.builds(Completed, **said),
    st.builds(Rejected, **said),
    st.builds(ExpiredAtEdge, **said),
    st.builds(Cancelled, **said),
    st.builds(Superseded, by=st.none() | ids, **said),
    st.builds(Failed, **said),
)


@given(ids, requests)
def test_a_dispatch_arrives_as_it_was_asked(dispatch_id: str, request: DispatchRequest) -> None:
    """The edge is given the request, its id and its revision."""
    dispatch = submit(dispatch_id, "default", request, 1)
    downlink = v1.Downlink(dispatch=dispatch_to_wire(dispatch))
    arrived = decode_downlink(encode_downlink(downlink)).dispatch
    assert arrived is not None
    assert order_from_wire(arrived) == Order(dispatch_id=dispatch_id, revision=1, request=request)


def test_a_portfolios_dispatch_goes_to_no_edge() -> None:
    """The headend divides it."""
    request = DispatchRequest(
        target=PortfolioTarget("north"), setpoint_mw=1.0, start_us=1, until_us=2, deliver_by_us=2
    )
    with pytest.raises(ValueError, match="is divided"):
        dispatch_to_wire(submit("d-1", "default", request, 1))


@given(ids, st.integers(0, 2**32 - 1), words)
def test_the_word_of_the_edge_arrives(dispatch_id: str, revision: int, word: EdgeWord) -> None:
    """Every word, with its time, reason, detail, read-back and successor."""
    update = v1.Uplink(dispatch_update=update_to_wire(dispatch_id, revision, word))
    arrived = decode_uplink(encode_uplink(update)).dispatch_update
    assert arrived is not None
    assert (arrived.dispatch_id, arrived.revision) == (dispatch_id, revision)
    assert event_from_update(arrived) == word


def order(**changes: Any) -> v1.Dispatch:
    """A sound dispatch with these fields changed."""
    fields = {"dispatch_id": "d-1", "asset_id": "a-1", "start_us": 1, "until_us": 2}
    return v1.Dispatch(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"dispatch_id": ""}, "^dispatch_id: "),
        ({"asset_id": "no id"}, "^asset_id: "),
        ({"asset_id": None, "site_id": "no id"}, "^site_id: "),
        ({"asset_id": None}, "^target: "),
        ({"setpoint_mw": math.nan}, "^setpoint_mw: .* got nan"),
        ({"setpoint_mw": -math.inf}, "^setpoint_mw: .* got -inf"),
        ({"until_us": 1}, "^until_us: .* after start_us 1, got 1"),
    ],
)
def test_a_dispatch_that_nobody_can_mean_is_refused(
    changes: dict[str, object], sentence: str
) -> None:
    """The edge does nothing rather than guess."""
    with pytest.raises(WireError, match=sentence) as caught:
        order_from_wire(order(**changes))
    assert caught.value.code is v1.RejectCode.MALFORMED


@pytest.mark.parametrize("state", [0, 99])
def test_a_state_that_is_not_known_is_refused(state: int) -> None:
    """Unspecified, or of a later version."""
    update = v1.DispatchUpdate(dispatch_id="d-1", state=v1.DispatchState(state))
    with pytest.raises(WireError, match=f"^state: {state} is no state"):
        event_from_update(update)


@pytest.mark.parametrize("readback_mw", [math.nan, math.inf])
def test_a_readback_that_is_no_number_is_not_known(readback_mw: float) -> None:
    """It is neither shown nor compared with the setpoint."""
    update = v1.DispatchUpdate(state=v1.DispatchState.APPLIED, readback_mw=readback_mw)
    assert event_from_update(update) == Applied()


def test_long_texts_of_the_edge_are_cut() -> None:
    """Its word counts even when its explanation does not end."""
    update = v1.DispatchUpdate(
        state=v1.DispatchState.SUPERSEDED,
        reason="r" * 1000,
        detail="d" * 1000,
        superseded_by="s" * 1000,
    )
    assert event_from_update(update) == Superseded(
        by="s" * WORD_CHARS_MAX, reason="r" * WORD_CHARS_MAX, detail="d" * SENTENCE_CHARS_MAX
    )
