"""What identifiers look like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dercp.model.ids import ID_PATTERN, IdError, check_id


@given(st.from_regex(ID_PATTERN, fullmatch=True))
def test_an_identifier_is_returned_as_it_is(text: str) -> None:
    """Nothing is trimmed or changed."""
    assert check_id(text, "asset_id") == text
    assert len(text) <= 64


@pytest.mark.parametrize("text", ["", ".a", "-a", "a b", "a/b", "a\n", "ä", "x" * 65])
def test_what_is_none_is_refused(text: str) -> None:
    """Ids stand in paths, file names and logs."""
    with pytest.raises(IdError, match="asset_id: expected") as caught:
        check_id(text, "asset_id")
    assert caught.value.reason == "bad_id"
