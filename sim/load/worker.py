"""One process of the load: reads its plan, runs its share of the fleet, tells how it goes.

    python -m sim.load.worker

See `sim.load.words` for what is said on standard input and output; logs go to standard error.
"""

import gc
import logging
import os
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import structlog
import trio

from dercp.link import TlsFileError
from sim.load.edges import EdgeLoad
from sim.load.encoded import EncodedLoad
from sim.load.fleet import edge_configs, stations
from sim.load.links import Links
from sim.load.load import Load
from sim.load.plan import Plan
from sim.load.words import (
    LEDGERS_PER_LINE,
    LINE_BYTES_MAX,
    Done,
    Failed,
    Ledgers,
    Order,
    Progress,
    Word,
    encode,
)

__all__ = ["main"]

PROGRESS_EVERY_S: Final = 1.0
# Backoffs of a minute are over by then, what was not acknowledged for a minute was sent again,
# and a backlog has had its throttled way.
DRAIN_WITHIN_S: Final = 150.0
FREEZE_EVERY_S: Final = 2.0
_GC_THRESHOLDS: Final = (50_000, 20, 100)


def main() -> None:
    """Until told to stop, or until nobody is there to tell."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[os.environ.get("DERCP_SIM_LOG", "ERROR")]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    # Each cancelled wait leaves a cycle of a few objects: one look at many costs less than many.
    gc.set_threshold(*_GC_THRESHOLDS)
    trio.run(_talk)


async def _talk() -> None:
    outlet = trio.lowlevel.FdStream(os.dup(sys.stdout.fileno()))
    orders = _lines(trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())))
    word: Word
    try:
        plan = msgspec.json.decode(await anext(orders), type=Plan)
        with _spool_directory(plan) as directory:
            await _run(plan, directory, orders, outlet)
        word = Done()
    except StopAsyncIteration:
        word = Failed("no plan came")
    except (TlsFileError, OSError, msgspec.MsgspecError) as error:
        word = Failed(str(error))
    await outlet.send_all(encode(word))


async def _run(
    plan: Plan, directory: Path | None, orders: AsyncIterator[bytes], outlet: trio.abc.SendStream
) -> None:
    stopped, starting = trio.Event(), trio.CancelScope()
    async with trio.open_nursery() as telling:
        async with trio.open_nursery() as running:
            links = Links(plan, (each.agent_id for each in stations(plan.fleet)), running)
            load: Load
            if plan.pre_encoded:
                load = EncodedLoad(plan, links, _now_us)
            else:
                load = EdgeLoad(plan, edge_configs(plan, directory), links, _now_us)
            telling.start_soon(_report, load, outlet, stopped)
            running.start_soon(_start, load, running, starting)
            await _obey(orders, load, links, running)
            starting.cancel("the run is over")
            links.heal()
            await load.drain(DRAIN_WITHIN_S)
            await load.stop()
            running.cancel_scope.cancel("the run is over")
        stopped.set()
    await _tell(load, outlet)


async def _start(load: Load, nursery: trio.Nursery, scope: trio.CancelScope) -> None:
    with scope:
        async with trio.open_nursery() as starting:
            starting.start_soon(_freeze)
            await load.start(nursery)
            starting.cancel_scope.cancel("all are started")
        gc.collect()
        gc.freeze()


async def _freeze() -> None:
    """Keep the collector from looking again and again at what has come to stay."""
    while True:
        await trio.sleep(FREEZE_EVERY_S)
        gc.collect(1)
        gc.freeze()


async def _obey(
    orders: AsyncIterator[bytes], load: Load, links: Links, nursery: trio.Nursery
) -> None:
    """Until it is over."""
    async for line in orders:
        match Order(line.decode()):
            case Order.MEASURE:
                load.measure()
                nursery.start_soon(links.run_faults)
            case Order.STOP:
                return


async def _report(load: Load, outlet: trio.abc.SendStream, stopped: trio.Event) -> None:
    """Ended by the event alone, so that no line is cut short."""
    while not stopped.is_set():
        await outlet.send_all(encode(_progress(load)))
        with trio.move_on_after(PROGRESS_EVERY_S):
            await stopped.wait()


async def _tell(load: Load, outlet: trio.abc.SendStream) -> None:
    """The last word of everybody."""
    await outlet.send_all(encode(_progress(load)))
    ledgers = list(load.ledgers())
    for first in range(0, len(ledgers), LEDGERS_PER_LINE):
        await outlet.send_all(encode(Ledgers(ledgers[first : first + LEDGERS_PER_LINE])))


def _progress(load: Load) -> Progress:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Progress(
        counts=load.counts(),
        ack_counts=dict(load.latencies.counts),
        cpu_s=used.ru_utime + used.ru_stime,
    )


@contextmanager
def _spool_directory(plan: Plan) -> Iterator[Path | None]:
    """Where the spools are, if they are on a disk; they go with the run."""
    if plan.spool == "memory" or plan.pre_encoded:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="dercp-sim-") as path:
        yield Path(path)


async def _lines(stream: trio.abc.ReceiveStream) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in stream:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line
        if len(rest) > LINE_BYTES_MAX:
            raise OSError(f"a line of more than {LINE_BYTES_MAX} bytes")


def _now_us() -> int:
    return time.time_ns() // 1_000


if __name__ == "__main__":
    main()
