"""Signals that ask a process to stop."""

import signal

import trio


async def wait_stop_signal() -> str:
    """Wait for SIGINT or SIGTERM and return its name."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        number = await anext(signals)
    return signal.Signals(number).name
