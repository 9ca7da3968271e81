"""Many sensors, one slow reader: telemetry conflated to the newest value of each.

What to see: senders never wait, the mailbox never grows beyond one message per sensor, and
what was overtaken is counted, not lost in silence.
"""

from dataclasses import dataclass

import trio

import actors

SENSORS = 5
SAMPLES = 200


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one sensor."""

    sensor: str
    sequence: int
    power_mw: float


class Board(actors.Actor[Sample]):
    """Shows the newest power of each sensor. Drawing takes a while."""

    def __init__(self, shown: dict[str, Sample]) -> None:
        self.shown = shown

    async def handle(self, message: Sample) -> None:
        """Draw."""
        await trio.sleep(0.001)
        self.shown[message.sensor] = message


async def main() -> None:
    """Flood the board and look at it."""
    shown: dict[str, Sample] = {}
    spec = actors.ChildSpec(
        name="board",
        factory=lambda: Board(shown),
        mailbox=actors.MailboxSpec[Sample](
            capacity=SENSORS,
            on_full=actors.OnFull.CONFLATE,
            key=lambda sample: sample.sensor,
            newer=lambda sample, waiting: sample.sequence > waiting.sequence,
        ),
    )
    async with actors.open_system("plant") as system:
        board = await system.root.start(spec)
        for sequence in range(SAMPLES):
            for sensor in range(SENSORS):
                board.tell_nowait(Sample(f"sensor-{sensor}", sequence, sequence / 10))
            await trio.lowlevel.checkpoint()
        await board.stop()
        seen = board.statistics().mailbox

    for sample in sorted(shown.values(), key=lambda sample: sample.sensor):
        print(f"{sample.sensor}: {sample.power_mw:.1f} MW")
    print(f"taken in {seen.accepted}, in one count each: {seen.handled + seen.conflated}")


if __name__ == "__main__":
    trio.run(main)
