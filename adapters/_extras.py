"""Says what to install when a package that an adapter needs is missing."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["MissingExtraError", "needs_extra"]


class MissingExtraError(ImportError):
    """A package is missing; the text says how to get it."""


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Imports inside of the block come with this extra of dercp.

    Raises:
        MissingExtraError: One of them is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f'the package "{error.name}" is missing; pip install "dercp[{extra}]" brings it'
        ) from error
