"""A server that goes away between the connection and the call."""

import pytest
import trio
import trio.testing
from h2.config import H2Configuration
from h2.connection import H2Connection

from dercp.link import LinkUnreachable, open_call_over


async def test_a_connection_that_is_closed_before_the_call_is_no_crash() -> None:
    """SETTINGS and GOAWAY in one read, as of a server under load: try again later."""
    near, far = trio.testing.memory_stream_pair()
    server = H2Connection(H2Configuration(client_side=False))
    server.initiate_connection()
    server.close_connection()
    await far.send_all(server.data_to_send())
    with pytest.raises(LinkUnreachable, match="closed the connection before the call"):
        async with open_call_over(near, "/any.Service/Call"):
            pytest.fail("there is no call")
