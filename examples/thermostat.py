"""A supervised thermostat whose sensor fails now and then.

What to see: a crash answers whoever asked, throws the broken state away, and loses none of
the mail that waits.
"""

from dataclasses import dataclass
from typing import assert_never

import trio

import actors


@dataclass(frozen=True, slots=True)
class Measure:
    """A sensor's word; None is a broken wire."""

    temperature_c: float | None


@dataclass(frozen=True, slots=True)
class GetMode(actors.Question[str]):
    """What is the thermostat doing? Answered with "heat" or "idle"."""


class Thermostat(actors.Actor[Measure | GetMode]):
    """Heats below 20 degrees."""

    def __init__(self) -> None:
        self.mode = "idle"

    async def handle(self, message: Measure | GetMode) -> object:
        """Follow the sensor."""
        match message:
            case Measure(temperature_c):
                if temperature_c is None:
                    raise ValueError("sensor: the wire is broken")
                self.mode = "heat" if temperature_c < 20 else "idle"
                return None
            case GetMode():
                return self.mode
            case _:
                assert_never(message)


async def main() -> None:
    """Heat, crash, recover."""
    spec = actors.ChildSpec(
        name="thermostat",
        factory=Thermostat,
        mailbox=actors.MailboxSpec(capacity=8, on_full=actors.OnFull.REJECT),
    )
    async with actors.open_system("house", seed=1) as system:
        system.events.listen(lambda event: print(f"  [{type(event).__name__}] {event.path}"))
        thermostat = await system.root.start(spec)

        thermostat.tell_nowait(Measure(17.5))
        print("mode:", await thermostat.ask(GetMode(), within_s=1))

        thermostat.tell_nowait(Measure(None))
        thermostat.tell_nowait(Measure(21.0))  # waits out the crash in the mailbox
        print("mode after the crash:", await thermostat.ask(GetMode(), within_s=5))


if __name__ == "__main__":
    trio.run(main)
