"""Every limit says what happens at it, and is looked at somewhere."""

import re
from pathlib import Path

import pytest

from dercp.headend import settings
from dercp.headend.settings import HeadendSettings

HEADEND = Path(settings.__file__).parent
LIMITS = [name for name in HeadendSettings.__struct_fields__ if name != "tenant_id"]


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_enforced_by_some_part(name: str) -> None:
    """A number nobody reads is a promise nobody keeps."""
    parts = [path for path in HEADEND.rglob("*.py") if path.name != "settings.py"]
    assert any(re.search(rf"settings\.{name}\b", path.read_text("utf-8")) for path in parts)


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_says_what_happens_at_it(name: str) -> None:
    """In the comment above it, or above the group it stands in."""
    lines = Path(settings.__file__).read_text("utf-8").splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith(f"    {name}:"))
    while lines[place].strip() and not lines[place].lstrip().startswith("#"):
        place -= 1
    assert lines[place].lstrip().startswith("# ")
