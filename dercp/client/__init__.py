"""A headend's live stream, for programs: follows it through lost connections.

    async with open_stream("http://127.0.0.1:8080", Wanted(site_id="north")) as stream:
        async for told in stream:
            ...

What is public:
    open_stream: connects, and gives a `LiveStream` to iterate over.
    Wanted: of what, and of which assets, it is to tell.
    Update, Lost: what it gives.
    Refused, NoHeadend: why it ends.
    samples: the rows of a telemetry update, each a `Sample` of `Point`s.
"""

from dercp.client.messages import (
    Lost,
    NoHeadend,
    Point,
    Refused,
    Sample,
    Update,
    Wanted,
    samples,
)
from dercp.client.stream import LiveStream, open_stream

__all__ = [
    "LiveStream",
    "Lost",
    "NoHeadend",
    "Point",
    "Refused",
    "Sample",
    "Update",
    "Wanted",
    "open_stream",
    "samples",
]
