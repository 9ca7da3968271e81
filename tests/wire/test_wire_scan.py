"""Counting the parts of a message without building them."""

from hypothesis import given
from hypothesis import strategies as st

from dercp.wire._scan import spans
from dercp.wire.v1 import edge_link_pb2 as upb

ASSETS = upb.Registration.ASSETS_FIELD_NUMBER
names = st.text(max_size=300)


@given(st.text(max_size=200), st.lists(st.tuples(names, st.floats()), max_size=20))
def test_the_spans_are_the_messages_that_the_parser_finds(
    site: str, assets: list[tuple[str, float]]
) -> None:
    """Each span holds the bytes of one asset, in order."""
    message = upb.Registration(site_id=site)
    for name, power in assets:
        message.assets.add(name=name, p_min_mw=power, sample_interval_ms=1000)
    content = message.SerializeToString()

    found = [content[start:end] for start, end in spans(content, ASSETS, 0, len(content))]

    assert found == [asset.SerializeToString() for asset in message.assets]


@given(st.binary(max_size=300))
def test_any_bytes_end(content: bytes) -> None:
    """Whatever they are, no span reaches beyond them and there are not more than bytes."""
    found = list(spans(content, ASSETS, 0, len(content)))
    assert len(found) <= len(content)
    assert all(end <= len(content) for _, end in found)
