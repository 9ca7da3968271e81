"""The headend: it knows the latest of every asset and delivers setpoints.

Where to find what:
    settings     every limit of the headend, in one place
    headend, parts  the tree, grown and taken down; how each part of it is built
    twin, asset  one asset as others may look at it; the actor that keeps its link
    site         the actor that keeps the asset actors of one site
    gate, session, facts  a call becomes a session, which speaks with one agent
    intake, ingest, ageing  telemetry: looked at, made durable, one day taken out
    fleet, roster, restoring  who is who: admission, epochs, takeovers
    desk, round, book  dispatches: taken, delivered, followed up, never forgotten
    history_reader, history_views  answers "what was", from the log
    reader, views  answers "what is the latest" from the roster, without waiting
    operations   totals, the tree, readiness
"""
