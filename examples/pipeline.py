"""Asks that pass through a chain of actors and share one deadline.

What to see: the deadline of the first asker bounds all asks made on its behalf, a refusal
travels back as it is, and nobody waits for a part that hangs.
"""

from dataclasses import dataclass

import trio

import actors


@dataclass(frozen=True, slots=True)
class SetPower(actors.Question[float]):
    """Set the power; answered with what is in force then."""

    power_mw: float


class OutOfRange(actors.Refusal):
    """The device cannot do that."""


class Device(actors.Actor[SetPower]):
    """Takes its time, and hangs when asked for exactly 13 MW."""

    async def handle(self, message: SetPower) -> float:
        """Write the setpoint."""
        if abs(message.power_mw) > 20:
            raise OutOfRange(f"bess-1: {message.power_mw} MW is beyond its 20 MW")
        await trio.sleep(3600 if message.power_mw == 13 else 0.01)
        return message.power_mw


class Gateway(actors.Actor[SetPower]):
    """Passes a setpoint on. It would wait a minute, but its asker may not."""

    def __init__(self, device: actors.Ref[SetPower]) -> None:
        self.device = device

    async def handle(self, message: SetPower) -> float:
        """Ask the device."""
        return await self.device.ask(message, within_s=60)


async def main() -> None:
    """Ask for what works, what does not, and what hangs."""
    box = actors.MailboxSpec[SetPower](capacity=4, on_full=actors.OnFull.REJECT)
    async with actors.open_system("site") as system:
        device = await system.root.start(
            actors.ChildSpec(name="bess-1", factory=Device, mailbox=box, grace_s=0.1)
        )
        gateway = await system.root.start(
            actors.ChildSpec(name="gateway", factory=lambda: Gateway(device), mailbox=box)
        )
        for power_mw in (12.5, 99.0, 13.0):
            try:
                in_force_mw = await gateway.ask(SetPower(power_mw), within_s=0.1)
            except OutOfRange as refusal:
                print("refused:", refusal)
            except actors.AskExpired as expired:
                print("expired:", expired)
            else:
                print("in force:", in_force_mw, "MW")


if __name__ == "__main__":
    trio.run(main)
