"""gRPC's message framing: five bytes of prefix, then the message."""

from collections import deque
from collections.abc import Callable

from grpclib.const import Status

from ._errors import LinkBroken, LinkError, MessageTooLarge

_PREFIX_BYTES = 5  # compressed flag (1), length (4, big endian)


def framed(message: bytes) -> bytes:
    """The message as it goes into DATA frames."""
    return b"\0" + len(message).to_bytes(4, "big") + message


class MessageBuffer:
    """Turns the DATA frames of one call into whole messages, within bounds.

    It stands where grpclib has its `Buffer`, and gives flow-control credit back to the
    peer: for a message when it is taken, and for the beginning of one that is awaited
    as it comes, so that a message may be larger than the window.

    Characteristics:
        Bound: the call's window, and `message_bytes_max` once a message is awaited.
        When full: the peer has no credit left, and waits.
        A longer message: fails the buffer at its prefix, nothing of it is kept.

    Args:
        ack: Gives credit in bytes back to the peer.
        message_bytes_max: The longest message.
        window_bytes: The call's flow-control window.

    Attributes:
        awaited: Somebody waits for a message.
        wake: Called while somebody waits, as soon as there is something to take.
        bytes_received: What came so far, without padding.
    """

    __slots__ = (
        "_ack",
        "_ended",
        "_failure",
        "_message_bytes_max",
        "_messages",
        "_owed",
        "_owed_max",
        "_partial",
        "_prepaid",
        "awaited",
        "bytes_received",
        "wake",
    )

    def __init__(
        self,
        ack: Callable[[int], None],
        *,
        message_bytes_max: int,
        window_bytes: int,
    ) -> None:
        self._ack = ack
        self._message_bytes_max = message_bytes_max
        # Credit is handed over in quarters of the window: h2's bookkeeping costs
        # microseconds, and three quarters keep the peer sending.
        self._owed_max = window_bytes // 4
        self._messages: deque[bytes] = deque()
        self._partial = bytearray()
        self._prepaid = 0  # credit already given for what is in _partial
        self._owed = 0  # credit not handed over yet
        self._ended = False
        self._failure: LinkError | None = None
        self.awaited = False
        self.wake: Callable[[], None] = _nothing
        self.bytes_received = 0

    def __len__(self) -> int:
        """Whole messages waiting."""
        return len(self._messages)

    @property
    def failure(self) -> LinkError | None:
        """Why no further message will come out of this buffer."""
        return self._failure

    @property
    def ended(self) -> bool:
        """The peer has said that it sends no more."""
        return self._ended

    def add(self, data: bytes, ack_size: int) -> None:
        """Take in one DATA frame of `ack_size` flow-controlled bytes (with padding)."""
        size = len(data)
        self.bytes_received += size
        if self._failure is not None:
            self._give_back(ack_size)
            return
        if ack_size > size:
            self._give_back(ack_size - size)
        if (
            not self._partial
            and size >= _PREFIX_BYTES
            and data[0] == 0
            and int.from_bytes(data[1:5], "big") == size - _PREFIX_BYTES <= self._message_bytes_max
        ):
            self._messages.append(data[_PREFIX_BYTES:])  # the common case: a frame is a message
        else:
            self._partial += data
            self._cut_messages()
        if self.awaited:
            self._answer_waiter()

    def eof(self) -> None:
        """The peer has ended its side."""
        self._ended = True
        if self._partial and self._failure is None:
            self._fail(LinkBroken(Status.INTERNAL, "the peer ended in the middle of a message"))
        if self.awaited:
            self._answer_waiter()

    def expect(self) -> None:
        """Somebody waits now: wake them when there is something, and let it come."""
        self.awaited = True
        self._prepay()

    def take(self, limit: int) -> list[bytes]:
        """At most `limit` whole messages, oldest first; their credit goes back."""
        messages = self._messages
        if len(messages) <= limit:
            taken = list(messages)
            messages.clear()
        else:
            taken = [messages.popleft() for _ in range(limit)]
        self._give_back(sum(map(len, taken)) + _PREFIX_BYTES * len(taken))
        return taken

    def unacked_size(self) -> int:
        """Empty the buffer: the credit of what nobody will take any more."""
        held = sum(len(message) + _PREFIX_BYTES for message in self._messages)
        held += len(self._partial) - self._prepaid + self._owed
        self._messages.clear()
        self._partial.clear()
        self._prepaid = self._owed = 0
        return max(0, held)

    def _cut_messages(self) -> None:
        """Move whole messages out of what came, and refuse what will not fit."""
        partial = self._partial
        start = 0
        while len(partial) - start >= _PREFIX_BYTES:
            size = int.from_bytes(partial[start + 1 : start + _PREFIX_BYTES], "big")
            if failure := self._refusal(partial[start], size):
                del partial[:start]
                self._fail(failure)
                return
            end = start + _PREFIX_BYTES + size
            if len(partial) < end:
                break
            with memoryview(partial) as view:
                self._messages.append(bytes(view[start + _PREFIX_BYTES : end]))
            self._owed -= self._prepaid
            self._prepaid = 0
            start = end
        del partial[:start]

    def _refusal(self, compressed: int, size: int) -> LinkError | None:
        if compressed:
            return LinkError(
                Status.UNIMPLEMENTED,
                "compressed messages are not understood: switch compression off at the sender",
            )
        if size > self._message_bytes_max:
            return MessageTooLarge(
                Status.RESOURCE_EXHAUSTED,
                f"a message of {size} bytes is over the limit of {self._message_bytes_max} bytes",
            )
        return None

    def _answer_waiter(self) -> None:
        if self._messages or self._ended or self._failure is not None:
            self.awaited = False
            self.wake()
        else:
            self._prepay()

    def _prepay(self) -> None:
        """Give credit for the beginning of an awaited message."""
        unpaid = len(self._partial) - self._prepaid
        if unpaid and not self._messages:
            self._prepaid += unpaid
            self._give_back(unpaid)

    def _fail(self, failure: LinkError) -> None:
        self._failure = failure
        self._give_back(len(self._partial) - self._prepaid)
        self._partial.clear()
        self._prepaid = 0

    def _give_back(self, size: int) -> None:
        self._owed += size
        if self._owed >= self._owed_max:
            owed, self._owed = self._owed, 0
            self._ack(owed)


def _nothing() -> None:
    """Nobody waits yet."""
