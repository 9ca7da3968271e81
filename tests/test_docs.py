"""The pages keep their promises: what they name exists."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(?:#[^)]*)?\)")
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def _tests_named(page: Path) -> Iterator[tuple[str, str]]:
    for match in TEST.finditer(page.read_text(encoding="utf-8")):
        yield match[1], match[2] or ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file of this repository."""
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tests_that_a_page_names_exist(page: Path) -> None:
    """A guarantee without a test is a wish."""
    for file, function in _tests_named(page):
        path = ROOT / file
        assert path.exists(), file
        if function:
            assert f"def {function}(" in path.read_text(encoding="utf-8"), f"{file}::{function}"


def test_the_semantics_name_tests_for_every_part() -> None:
    """The page of guarantees is not prose alone."""
    files = {file for file, _ in _tests_named(ROOT / "docs/semantics.md")}
    for part in ("actors", "model", "headend", "edge", "store"):
        assert any(file.startswith(f"tests/{part}/") for file in files), part
