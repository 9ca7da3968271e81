"""What can go wrong on a link, as sentences for the technician at the site."""

from typing import Self

from grpclib.const import Status
from grpclib.exceptions import GRPCError


class LinkError(GRPCError):
    """A call cannot go on.

    A handler raises it to end its call with a status of its choice; the client's end
    of the call raises it with the status it was given.
    """

    status: Status
    message: str

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(status, message)

    def __str__(self) -> str:
        return f"{self.message} ({self.status.name})"

    def again(self) -> Self:
        """The same error for one more raise, with a traceback of its own."""
        return type(self)(self.status, self.message)


class LinkUnreachable(LinkError):
    """Nobody who speaks our protocol answers at that address."""


class LinkRefused(LinkError):
    """The other end answered, and said no."""


class LinkBroken(LinkError):
    """The call was open and is no more: lost, reset, or too slow."""


class MessageTooLarge(LinkError):
    """A message is longer than `LinkLimits.message_bytes_max`."""
