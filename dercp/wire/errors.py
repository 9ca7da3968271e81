"""What is said about bytes that are not what they should be."""

from dercp.wire.v1 import RejectCode

__all__ = ["WireError"]


class WireError(Exception):
    """Bytes from the other end cannot be used.

    Attributes:
        code: What the peer is told, as a stable code.
        detail: What is wrong, as a sentence for whoever must mend it.
    """

    def __init__(self, code: RejectCode, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return self.detail
