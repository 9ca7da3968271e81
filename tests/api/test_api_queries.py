"""Cursors and pages."""

from hypothesis import given
from hypothesis import strategies as st

from dercp.api.problems import Refusal
from dercp.api.queries import PageQuery, cut_page, decode_cursor, encode_cursor
from dercp.model.ids import ID_PATTERN

IDS = st.from_regex(ID_PATTERN, fullmatch=True).filter(str.isascii)


@given(IDS)
def test_a_cursor_comes_back(last_id: str) -> None:
    """Any id survives, in a text that needs no escaping."""
    cursor = encode_cursor(last_id)
    assert decode_cursor(cursor) == last_id
    assert cursor.replace("-", "").replace("_", "").isalnum()


@given(st.text())
def test_no_cursor_is_too_strange(text: str) -> None:
    """Any text is a cursor of ours or a refusal."""
    try:
        assert encode_cursor(decode_cursor(text)) == text
    except Refusal as refusal:
        assert refusal.kind.slug == "invalid-parameters"  # noqa: PT017 - both ends are right


@given(st.sets(IDS, max_size=30), st.integers(1, 10), st.sampled_from([1, 2, 3]))
def test_pages_join_up(ids: set[str], limit: int, every: int) -> None:
    """All that passes the filter comes once, in order, and the last page knows it is."""
    rows = sorted(ids)
    wanted = rows[::every]
    found: list[str] = []
    cursor = None
    for _ in range(len(rows) + 1):
        page, cursor = cut_page(
            rows, PageQuery(limit=limit, cursor=cursor), id_of=str, takes=wanted.__contains__
        )
        found += page
        if cursor is None:
            break
    assert found == wanted
