"""The headend: it knows the latest of every asset and delivers setpoints.

Where to find what:
    settings   every limit of the headend, in one place
    twin       one asset as others may look at it: its latest sample, its link
    asset      the actor that owns a twin
    session    the actor that speaks with one agent over one call
    fleet      who is who: admission, ownership, epochs; the roster
    desk       dispatches: taken, delivered, followed up, never forgotten
    reader     answers "what is the latest" from the roster, without waiting
    counters   what has happened so far, by name
    headend    builds the tree and takes it down again
"""
