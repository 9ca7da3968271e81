"""Python's collector of garbage, in programs that run for months."""

import gc


def calm_the_collector() -> None:
    """Let Python look for garbage less often: nearly everything here lives for long.

    With the thresholds of CPython 3.11 a log of 10,000 agents at 1 Hz spent 7.7 of 13 s in
    the collector and took 6,000 to 7,000 frames a second; with these, 9,944
    (benchmarks/store.py). An agent that polled 100 SunSpec devices was up to 69 ms late for
    one poll in a hundred, and 4.5 ms with them (benchmarks/field.py).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
