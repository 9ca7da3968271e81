"""An actor for tests that does what its messages say, and writes down what happens to it."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import trio

import actors

Deed: TypeAlias = Callable[["Puppet"], Awaitable[object]]

ROOMY = actors.MailboxSpec[Deed](capacity=64, on_full=actors.OnFull.REJECT)
AT_ONCE = actors.Backoff(first_s=0, max_s=0)


class Boom(Exception):
    """What a puppet crashes with."""


class Puppet(actors.Actor[Deed]):
    """Does each message; its life is written to a diary shared by all incarnations."""

    def __init__(self, diary: list[str], name: str = "puppet") -> None:
        self.diary = diary
        self.name = name
        self.count = 0

    async def on_start(self, context: actors.Context[Deed]) -> None:
        """Note it."""
        self.context = context
        self.diary.append(f"{self.name} up")

    async def handle(self, message: Deed) -> object:
        """Do as told."""
        return await message(self)

    async def on_stop(self) -> None:
        """Note it."""
        self.diary.append(f"{self.name} down")


def puppet(
    name: str = "puppet",
    diary: list[str] | None = None,
    *,
    mailbox: actors.MailboxSpec[Deed] = ROOMY,
    lifetime: actors.Lifetime = actors.Lifetime.PERMANENT,
    grace_s: float = 5.0,
) -> actors.ChildSpec[Deed]:
    """How to start one."""
    notes = [] if diary is None else diary
    return actors.ChildSpec(
        name=name,
        factory=lambda: Puppet(notes, name),
        mailbox=mailbox,
        lifetime=lifetime,
        grace_s=grace_s,
    )


async def crash(puppet: Puppet) -> object:
    """Crash."""
    raise Boom(puppet.name)


async def count(puppet: Puppet) -> object:
    """Count this call in the state of the incarnation; the answer is the count."""
    puppet.count += 1
    return puppet.count


async def hang(_puppet: Puppet) -> object:
    """Never come back."""
    await trio.sleep_forever()


def note(text: str) -> Deed:
    """Write into the diary."""

    async def write(puppet: Puppet) -> object:
        puppet.diary.append(text)
        return text

    return write


def pause(seconds: float) -> Deed:
    """Take some time."""

    async def wait(puppet: Puppet) -> object:
        await trio.sleep(seconds)
        return puppet.name

    return wait
