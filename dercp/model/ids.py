"""Identifiers: one shape for sites, assets, agents, dispatches and custom points."""

import re

from dercp.model.errors import ModelError

ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"

_matches = re.compile(ID_PATTERN).fullmatch


class IdError(ModelError):
    """A text that is no identifier."""


def check_id(text: str, what: str) -> str:
    """Return the text when it is an identifier; `what` names it in the error ("asset_id").

    Raises:
        IdError: `bad_id`.
    """
    if _matches(text):
        return text
    raise IdError(
        "bad_id",
        f"{what}: expected 1 to 64 of A-Z a-z 0-9 . _ - beginning with a letter or digit, "
        f"got {text[:80]!r}",
    )
