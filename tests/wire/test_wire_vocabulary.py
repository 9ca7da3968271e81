"""The words that wire and model share."""

from dercp.model.dispatch import DispatchState
from dercp.model.points import POINTS, Kind
from dercp.model.quality import Quality, Reason
from dercp.wire import v1


def test_points_have_the_same_names_and_numbers() -> None:
    """The points table is the enum, but for CUSTOM, which is no point."""
    wire = {point.name.lower(): point.value for point in v1.Point if point is not v1.Point.CUSTOM}
    assert wire == {point.name: point.number for point in POINTS}


def test_qualities_and_their_reasons_have_the_same_numbers() -> None:
    """Numbers go over as they are."""
    assert {q.name: q.value for q in v1.Quality} == {q.name: q.value for q in Quality}
    reasons = {reason.name: reason.value for reason in Reason} | {"NONE": Reason.NONE.value}
    assert {r.name: r.value for r in v1.QualityReason} == reasons


def test_kinds_have_the_same_names() -> None:
    """Every kind of asset can be registered."""
    wire = {kind.name for kind in v1.AssetKind} - {"UNSPECIFIED"}
    assert wire == {kind.name for kind in Kind}


def test_the_edge_can_say_every_state_that_is_its_own() -> None:
    """SUBMITTED, SENT and UNKNOWN are the headend's words."""
    wire = {state.name for state in v1.DispatchState} - {"UNSPECIFIED"}
    assert wire == {state.name for state in DispatchState} - {"SUBMITTED", "SENT", "UNKNOWN"}
