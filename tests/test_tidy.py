"""House style that no linter knows (CONTRIBUTING.md, "House rules")."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("actors", "adapters", "dercp", "sim")
EVERYTHING = (*OURS, "benchmarks", "examples", "tests")
GENERATED = ROOT / "dercp/wire/v1"

MODULE_LINES_MAX = 450
FUNCTION_LINES_MAX = 70
NOTES = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
BARE_IGNORE = re.compile(r"#\s*(noqa(:\s*[A-Z0-9, ]+)?|type:\s*ignore(\[[\w, -]+\])?)\s*$")


def _modules(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if GENERATED not in path.parents and path.name != Path(__file__).name:
                yield path


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", list(_modules(*OURS)), ids=_name)
def test_modules_and_functions_stay_small(path: Path) -> None:
    """One noun a module; a function fits a screen."""
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MODULE_LINES_MAX
    for function in _functions(ast.parse(text)):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        assert lines <= FUNCTION_LINES_MAX, f"{function.name} has {lines} lines"


@pytest.mark.parametrize("path", list(_modules(*EVERYTHING)), ids=_name)
def test_no_notes_to_self_and_no_bare_ignores(path: Path) -> None:
    """What is to be done is an issue; an ignored lint says why on its line."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        assert not NOTES.search(line), f"line {number}: {line.strip()}"
        assert not BARE_IGNORE.search(line), f"line {number} ignores without a reason"


@pytest.mark.parametrize("path", list(_modules("tests")), ids=_name)
def test_every_test_says_in_a_line_what_it_holds(path: Path) -> None:
    """The docstrings of the tests read as the specification."""
    for function in _functions(ast.parse(path.read_text(encoding="utf-8"))):
        if function.name.startswith("test_"):
            assert ast.get_docstring(function), f"{function.name} has no docstring"


@pytest.mark.parametrize("package", OURS)
def test_what_a_facade_exports_exists_and_is_sorted(package: str) -> None:
    """`__all__` is complete enough to be read as the table of contents."""
    for init in sorted((ROOT / package).rglob("__init__.py")):
        if GENERATED in init.parents or init.parent == GENERATED:
            continue
        tree = ast.parse(init.read_text(encoding="utf-8"))
        exported = next(
            (
                [ast.literal_eval(each) for each in node.value.elts]
                for node in tree.body
                if isinstance(node, ast.Assign)
                and isinstance(node.value, ast.List)
                and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
            ),
            [],
        )
        assert len(set(exported)) == len(exported), init


def test_a_channel_is_opened_in_the_mailbox_only_and_never_cloned() -> None:
    """Every queue has a bound, a policy and a count: it is an actors.Mailbox."""
    for path in _modules(*OURS):
        text = path.read_text(encoding="utf-8")
        assert ".clone(" not in text, path
        if path.name != "_mailbox.py":
            assert "open_memory_channel" not in text, path
