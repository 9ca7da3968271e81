"""Accounting for batches: stretches against plain sets, and the time that can be vouched for."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dercp.model.completeness import Stretch, Stretches, complete_until, joined


def stretch(first: int, last: int) -> Stretch:
    """Batch n begins at 10 n and ends at 10 n + 9."""
    return Stretch(first, last, 10 * first, 10 * last + 9)


spans = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 6)).map(lambda s: stretch(s[0], s[0] + s[1]))
)


def numbers(stretches: Stretches | tuple[Stretch, ...]) -> set[int]:
    """Every number in them."""
    return {number for each in stretches for number in range(each.first, each.last + 1)}


def filled(added: list[Stretch]) -> Stretches:
    """Stretches to which these were added, in this order."""
    stretches = Stretches()
    for each in added:
        stretches.add(each)
    return stretches


@given(spans)
def test_stretches_hold_what_was_added_in_the_fewest_pieces(added: list[Stretch]) -> None:
    """In order, apart from each other, with the times of their ends."""
    stretches = filled(added)
    expected = {n for each in added for n in range(each.first, each.last + 1)}
    assert numbers(stretches) == expected
    assert {n for n in range(50) if n in stretches} == expected
    pieces = list(stretches)
    assert len(pieces) == len(stretches)
    assert all(a.last + 1 < b.first for a, b in pairwise(pieces))
    assert pieces == [stretch(each.first, each.last) for each in pieces]


@given(spans)
def test_adding_tells_what_it_replaced(added: list[Stretch]) -> None:
    """So that whoever keeps a copy need not compare the whole."""
    stretches, copy = Stretches(), dict[int, Stretch]()
    for each in added:
        touched, grown = stretches.add(each)
        for gone in touched:
            assert copy.pop(gone.first) == gone
        copy[grown.first] = grown
    assert list(stretches) == [copy[first] for first in sorted(copy)]
    assert list(Stretches(stretches)) == list(stretches)


@given(spans, spans)
def test_what_is_left_without_others_is_the_difference(a: list[Stretch], b: list[Stretch]) -> None:
    """And the two together account for all of it."""
    left = filled(a).without(filled(b))
    assert numbers(left) == numbers(filled(a)) - numbers(filled(b))
    assert numbers(joined(filled(b), left)) == numbers(filled(a)) | numbers(filled(b))


@given(spans, st.tuples(st.integers(1, 45), st.integers(0, 9)))
def test_overlapping_finds_just_those(added: list[Stretch], span: tuple[int, int]) -> None:
    """As a look at each of them would."""
    wanted = stretch(span[0], span[0] + span[1])
    stretches = filled(added)
    expected = [s for s in stretches if s.first <= wanted.last and s.last >= wanted.first]
    assert list(stretches.overlapping(wanted)) == expected


def test_the_first_to_tell_a_time_is_believed() -> None:
    """A declaration for what is stored already does not move the ends of it."""
    stretches = filled([Stretch(2, 4, 20, 49), Stretch(2, 4, 0, 99), Stretch(3, 6, 1, 70)])
    assert list(stretches) == [Stretch(2, 6, 20, 70)]


def test_a_cut_stretch_ends_where_the_other_begins() -> None:
    """Its own times tell nothing about its inner batches."""
    cut = filled([stretch(1, 9)]).without(filled([stretch(4, 5), stretch(9, 9)]))
    assert cut == (Stretch(1, 3, 10, 40), Stretch(6, 8, 59, 90))


def test_history_is_complete_up_to_the_first_hole() -> None:
    """Live batches behind it do not count, a declared one is no hole."""
    assert complete_until([]) is None
    assert complete_until([filled([stretch(1, 3)])]) == 39
    assert complete_until([filled([stretch(1, 3), stretch(5, 9)])]) == 39
    assert complete_until([joined([stretch(1, 3), stretch(5, 9)], [stretch(4, 4)])]) == 99


def test_without_its_beginning_nothing_can_be_said() -> None:
    """The backlog is on its way."""
    assert complete_until([filled([stretch(5, 9)])]) is None
    assert complete_until([Stretches()]) is None


def test_a_new_spool_goes_on_where_the_old_one_ended() -> None:
    """And does not get ahead of what is missing in the old one."""
    old, new = filled([stretch(1, 3)]), filled([Stretch(1, 2, 50, 69)])
    assert complete_until([old, new]) == 69
    assert complete_until([old, filled([Stretch(2, 2, 60, 69)])]) == 39
    assert complete_until([filled([stretch(1, 3), stretch(6, 7)]), new]) == 39


def test_a_clock_set_back_takes_the_promise_back() -> None:
    """What is missing after it lies there, not behind the latest time seen."""
    assert complete_until([filled([stretch(1, 9), Stretch(10, 10, 50, 59)])]) == 59


@given(spans, spans)
def test_completeness_never_reaches_beyond_a_hole(a: list[Stretch], b: list[Stretch]) -> None:
    """With a clock that goes forward."""
    accounted = joined(filled(a), filled(b))
    missing = min(set(range(1, 100)) - numbers(accounted))
    until_us = complete_until([accounted])
    assert until_us == (None if missing == 1 else 10 * missing - 1)
