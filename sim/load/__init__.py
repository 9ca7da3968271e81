"""Load on a headend from thousands of virtual assets, and the count of what it made of it.

Where each noun lives:
    scenario: what befalls the fleet, as a TOML file says it.
    plan: all that one process of the load must know.
    words: what it and the one who started it say to each other.
    worker: that process; `python -m sim.load.worker` reads its plan from standard input.
    edges: the load of real edge agents. encoded: that of frames prepared ahead.
    links: how either reaches the headend; outages: and when it does not.
    accounts: whether everything produced was stored once or declared.
    latency: times, counted so that processes can be added up.
"""
