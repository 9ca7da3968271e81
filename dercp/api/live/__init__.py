"""The live stream: what changes at the headend, told to many at once.

Where to look:
    stream: the ticker, what happened lately, who follows; follower: one reader's place.
    round: one look at the fleet, encoded at most once, from rows and listings.
    ring: what happened lately; events: what is sent; shapes: its data.
    selection: what is asked for.
    sse: `GET /stream`; sockets and messages: `WS /ws`.
"""
