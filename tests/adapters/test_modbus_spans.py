"""Requests that cover what is asked for, and images that give it back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.modbus._spans import Image, Refusal, Span, Table, joined

spans = st.builds(Span, st.sampled_from(Table), st.integers(0, 300), st.integers(1, 8))


@given(st.lists(spans, max_size=30), st.integers(8, 120), st.integers(0, 20))
def test_requests_cover_every_span_and_keep_the_bounds(
    asked: list[Span], count_max: int, gap_max: int
) -> None:
    """Each span lies in one request whole, and no request is greater than the device allows."""
    requests = joined(asked, count_max=count_max, gap_max=gap_max)
    for span in asked:
        assert any(
            r.table is span.table and r.start <= span.start and span.end <= r.end for r in requests
        )
    assert all(request.count <= count_max for request in requests)
    assert len(requests) <= len(set(asked))


def test_neighbours_share_a_request_and_strangers_do_not() -> None:
    """A gap that is allowed is read along; another table never is."""
    near = [Span(Table.HOLDING, 0, 2), Span(Table.HOLDING, 4, 2), Span(Table.INPUT, 6, 1)]
    assert joined(near, gap_max=2) == [Span(Table.HOLDING, 0, 6), Span(Table.INPUT, 6, 1)]
    assert joined(near) == sorted(near)


def test_a_span_that_lies_in_another_makes_no_request_of_its_own() -> None:
    """Two points may stand in the same registers."""
    assert joined([Span(Table.INPUT, 0, 4), Span(Table.INPUT, 1, 1)]) == [Span(Table.INPUT, 0, 4)]


def test_an_image_gives_parts_of_what_was_answered() -> None:
    """By address, whatever the requests were."""
    image = Image([Span(Table.HOLDING, 10, 3), Span(Table.HOLDING, 20, 1)], [(1, 2, 3), Refusal(2)])
    assert image.at(Span(Table.HOLDING, 11, 2)) == (2, 3)
    assert image.at(Span(Table.HOLDING, 20, 1)) == Refusal(2)
    assert image.refusal is None
    with pytest.raises(KeyError):
        image.at(Span(Table.HOLDING, 13, 1))


def test_a_device_that_refuses_everything_is_told_apart() -> None:
    """A part of the registers may be refused without the device being lost."""
    refusal = Image([Span(Table.HOLDING, 0, 1)], [Refusal(4)]).refusal
    assert str(refusal) == "exception 4, device failure"
    assert str(Refusal(99)) == "exception 99, of no known meaning"
