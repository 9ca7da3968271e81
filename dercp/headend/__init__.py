"""The headend: it knows the latest of every asset and delivers setpoints.

Where to find what:
    settings         every limit of the headend, in one place
    headend, parts   the tree, grown and taken down; how each part of it is built
    agents/          a call becomes a session, which speaks with one agent; what comes in
    fleet/           who is who: admission, epochs, takeovers; one actor a site, one an asset;
                     the latest of all (reader), and what changes (feed)
    history/         telemetry is logged, moved to a store elsewhere, aged out, and read
    dispatching/     dispatches: handed in, planned, divided, delivered, followed, recorded
    messages, errors, views  what actors say, what is refused, what others may look at
    operations       totals, the tree, readiness
"""
