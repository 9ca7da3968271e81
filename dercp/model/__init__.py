"""What dercp talks about, and nothing that acts: no I/O, no await, no clock.

Where each noun lives:
    points: the table of points (name, unit, range, meaning), kinds of assets.
    reading, quality: one value, and how far it may be trusted.
    asset: what a site says stands there (registration), and the check of it.
    latest: which sample is current, when it is stale, whose clock is believed.
    aggregate: sums over a site or a fleet that say what they stand on.
    dispatch: a lease on a setpoint: what may be asked, its lifecycle, its shares.
    reasons: the words that say why, in timelines, shares and clamps.
    capability, split: what each asset can do now, and how they share a setpoint.
    plan, portfolio, schedule: what is seen before, who is named together, what comes later.
    guardrail, ramp: what a setpoint must pass before a device, and how fast it may move.
    following: whether an asset does what it was asked, measured.
    backoff: how long to wait before trying again.
    ids, time, errors: what identifiers, instants and refusals look like.

Conventions, valid everywhere: power is in MW and positive from the asset into the
grid; instants are `int` microseconds of Unix time (`*_us`), durations `float` seconds
(`*_s`); what is not known is None, never 0. Whoever needs the present is given it.
"""
