"""Directions turn the short way and stay on the compass."""

from hypothesis import example, given
from hypothesis import strategies as st

from sim.angles import turn_deg, turned

directions = st.floats(0, 360, exclude_max=True)


def test_the_way_round_north_is_the_short_one() -> None:
    """From 350 to 10 is 20 degrees clockwise, not 340 back."""
    assert turn_deg(350, 10) == 20
    assert turn_deg(10, 350) == -20


@given(here=directions, there=directions)
def test_a_turn_leads_where_it_was_meant_to(here: float, there: float) -> None:
    """Turning by the shortest way arrives, and no way is longer than half a circle."""
    turn = turn_deg(here, there)
    assert abs(turn) <= 180
    assert abs(turn_deg(turned(here, turn), there)) < 1e-9


@given(here=directions, turn=st.floats(-1000, 1000))
@example(here=0.0, turn=-1e-20)
def test_a_direction_stays_on_the_compass(here: float, turn: float) -> None:
    """At least 0, less than 360, for tiny negative turns too."""
    assert 0 <= turned(here, turn) < 360
