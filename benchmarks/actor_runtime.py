"""The actor runtime beside its peers, as ratios of one run.

    python benchmarks/actor_runtime.py [--short]

Peers: Trio's memory channel (what one would use without actors), pykka (actors on threads)
and frequenz-channels (the domain neighbour, on asyncio). Times are CPU time of the process,
which a busy neighbour disturbs less, and each is the best of a few rounds, taken in turns,
because noise only ever adds.
"""

import argparse
import asyncio  # noqa: TID251 - a peer lives there
import gc
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TypeAlias

import pykka
import trio
import trio.testing
from frequenz.channels import Anycast

import actors

BOX = actors.MailboxSpec[object](capacity=4096, on_full=actors.OnFull.BLOCK)
CHILDREN = actors.SupervisorSpec(name="children")


class Sink(actors.Actor[object]):
    """Handles a message by counting it; answers with it."""

    def __init__(self) -> None:
        self.seen = 0

    async def handle(self, message: object) -> object:
        """Count."""
        self.seen += 1
        return message


def sink(name: str) -> actors.ChildSpec[object]:
    """One sink."""
    return actors.ChildSpec(name=name, factory=Sink, mailbox=BOX)


# --- one message per wake ---


async def wake_actor(count: int) -> float:
    """Seconds a message, when each wakes its actor."""
    async with actors.open_system("bench") as system:
        ref = await system.root.start(sink("sink"))
        begin = time.process_time()
        for i in range(count):
            await ref.tell(i)
        await ref.ask("done", within_s=60)
        return (time.process_time() - begin) / count


async def wake_channel(count: int) -> float:
    """The same with a task reading a memory channel."""
    send, receive = trio.open_memory_channel[object](4096)  # noqa: TID251 - the peer itself
    worker = Sink()

    async def serve() -> None:
        async for message in receive:
            await worker.handle(message)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        begin = time.process_time()
        for i in range(count):
            await send.send(i)
        send.close()
        while worker.seen < count:
            await trio.lowlevel.checkpoint()
        return (time.process_time() - begin) / count


# --- bursts ---


async def burst_actor(count: int, size: int) -> float:
    """Seconds a message, when `size` of them come at once."""
    async with actors.open_system("bench") as system:
        ref = await system.root.start(sink("sink"))
        begin = time.process_time()
        for _ in range(count // size):
            for i in range(size):
                ref.tell_nowait(i)
            await trio.lowlevel.checkpoint()
        await ref.ask("done", within_s=60)
        return (time.process_time() - begin) / count


async def burst_channel(count: int, size: int) -> float:
    """The same with a memory channel."""
    send, receive = trio.open_memory_channel[object](4096)  # noqa: TID251 - the peer itself
    worker = Sink()

    async def serve() -> None:
        async for message in receive:
            await worker.handle(message)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        begin = time.process_time()
        for round_ in range(count // size):
            for i in range(size):
                send.send_nowait(i)
            while worker.seen < (round_ + 1) * size:
                await trio.lowlevel.checkpoint()
        send.close()
        return (time.process_time() - begin) / count


async def burst_frequenz(count: int, size: int) -> float:
    """The same with frequenz-channels."""
    channel = Anycast[object](name="bench", limit=4096)
    sender, receiver = channel.new_sender(), channel.new_receiver()
    worker = Sink()

    async def serve() -> None:
        async for message in receiver:
            await worker.handle(message)

    task = asyncio.create_task(serve())
    begin = time.process_time()
    for _ in range(count // size):
        for i in range(size):
            await sender.send(i)
        await asyncio.sleep(0)
    while worker.seen < count // size * size:  # noqa: ASYNC110 - an event would cost time
        await asyncio.sleep(0)
    elapsed_s = time.process_time() - begin
    task.cancel()
    return elapsed_s / count


# --- asks ---


async def ask_actor(count: int) -> float:
    """Seconds an ask."""
    async with actors.open_system("bench") as system:
        ref = await system.root.start(sink("sink"))
        begin = time.process_time()
        for i in range(count):
            await ref.ask(i, within_s=5)
        return (time.process_time() - begin) / count


async def ask_channel(count: int) -> float:
    """The same by hand: a memory channel there, an event back, a deadline."""
    send, receive = trio.open_memory_channel[tuple[object, list[object], trio.Event]](4096)  # noqa: TID251 - the peer itself
    worker = Sink()

    async def serve() -> None:
        async for message, answer, answered in receive:
            answer.append(await worker.handle(message))
            answered.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        begin = time.process_time()
        for i in range(count):
            answer: list[object] = []
            answered = trio.Event()
            with trio.fail_after(5):
                await send.send((i, answer, answered))
                await answered.wait()
        send.close()
        return (time.process_time() - begin) / count


class PykkaSink(pykka.ThreadingActor):
    """The same in pykka."""

    def on_receive(self, message: object) -> object:
        """Answer."""
        return message


def ask_pykka(count: int) -> float:
    """Seconds an ask of a pykka actor."""
    ref = PykkaSink.start()
    begin = time.process_time()
    for i in range(count):
        ref.ask(i, timeout=5)
    elapsed_s = time.process_time() - begin
    ref.stop()
    return elapsed_s / count


# --- slots ---


def put_slot(count: int) -> float:
    """Seconds an item put into a quiet slot."""
    slot = actors.Slot[int]()
    begin = time.process_time()
    for i in range(count):
        slot.put(i, i)
    return (time.process_time() - begin) / count


# --- many ---


@dataclass(frozen=True, slots=True)
class Crowd:
    """What many actors cost."""

    start_s: float
    messages_s: float
    stop_s: float
    bytes_each: float


async def crowd(actors_count: int, messages: int) -> Crowd:
    """Start many actors, tell each the same number of messages, stop them."""
    gc.collect()
    async with actors.open_system("bench") as system:
        supervisor = await system.root.supervise(CHILDREN)
        begin = time.process_time()
        refs = [supervisor.start_nowait(sink(f"sink-{i}")) for i in range(actors_count)]
        await refs[-1].ask("up?", within_s=60)
        started = time.process_time()
        for i in range(messages // actors_count):
            for ref in refs:
                ref.tell_nowait(i)
            if i % 8 == 7:
                await trio.lowlevel.checkpoint()
        for ref in refs:
            await ref.ask("done?", within_s=60)
        told = time.process_time()
        await supervisor.stop()
        stopped = time.process_time()
    return Crowd(started - begin, told - started, stopped - told, await footprint(actors_count))


async def footprint(actors_count: int) -> float:
    """Bytes an idle actor takes, by tracemalloc."""
    async with actors.open_system("bench") as system:
        supervisor = await system.root.supervise(CHILDREN)
        gc.collect()
        tracemalloc.start()
        refs = [supervisor.start_nowait(sink(f"sink-{i}")) for i in range(actors_count)]
        await trio.testing.wait_all_tasks_blocked()
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        del refs
    return taken / actors_count


# --- the report ---


Measurement: TypeAlias = Callable[[], float]


def best(rounds: int, measurements: dict[str, Measurement]) -> dict[str, float]:
    """The best round of each, in microseconds, taken in turns."""
    taken = [[measure() for measure in measurements.values()] for _ in range(rounds)]
    return {
        name: min(times) * 1e6
        for name, times in zip(measurements, zip(*taken, strict=True), strict=True)
    }


def on_trio(fn: Callable[..., Awaitable[float]], *args: int) -> "Measurement":
    """Run a measurement on Trio."""
    return lambda: trio.run(fn, *args)


def on_asyncio(
    fn: Callable[[int, int], Coroutine[None, None, float]], count: int, size: int
) -> "Measurement":
    """Run a measurement on asyncio."""
    return lambda: asyncio.run(fn(count, size))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a tenth of the work")
    short = parser.parse_args().short
    scale, rounds = (10, 3) if short else (1, 5)
    count = 200_000 // scale

    def compare(title: str, goal: str, ours: Measurement, **peers: Measurement) -> None:
        times_us = best(rounds, {"actors": ours, **peers})
        print(f"\n{title} (goal: {goal})")
        for name, time_us in times_us.items():
            ratio = times_us["actors"] / time_us
            beside = "" if name == "actors" else f"   actors take {ratio:5.2f}x of it"
            print(f"  {name:18} {time_us:7.2f} us{beside}")

    compare(
        "one message per wake",
        "at most 1.10x of a Trio memory channel",
        on_trio(wake_actor, count),
        trio_channel=on_trio(wake_channel, count),
    )
    for size in (8, 256):
        compare(
            f"bursts of {size}, per message",
            "at most 1.5 us",
            on_trio(burst_actor, count, size),
            trio_channel=on_trio(burst_channel, count, size),
            frequenz_channels=on_asyncio(burst_frequenz, count, size),
        )
    compare(
        "ask",
        "at most 0.20x of pykka",
        on_trio(ask_actor, count // 2),
        channel_and_event=on_trio(ask_channel, count // 2),
        pykka=lambda: ask_pykka(count // 10),
    )
    slot = best(rounds, {"put": lambda: put_slot(count)})
    print(f"\nquiet slot, per item\n  actors             {slot['put']:7.2f} us")
    many, messages = 10_000 // scale, 1_000_000 // scale
    result = trio.run(crowd, many, messages)
    print(
        f"\n{many:,} actors, {messages:,} messages\n"
        f"  start   {result.start_s:6.2f} s  {result.start_s / many * 1e6:6.1f} us each\n"
        f"  mail    {result.messages_s:6.2f} s  {result.messages_s / messages * 1e6:6.2f} us each\n"
        f"  stop    {result.stop_s:6.2f} s  {result.stop_s / many * 1e6:6.1f} us each\n"
        f"  memory  {result.bytes_each / 1024:6.1f} KiB each, idle"
    )


if __name__ == "__main__":
    main()
