"""The public face of the package."""

import ast
from pathlib import Path

import actors


def test_the_facade_exports_what_it_imports_in_order() -> None:
    """`__all__` is sorted and complete, so that a reader finds every public name there."""
    tree = ast.parse(Path(actors.__file__).read_text())
    imported = [
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]

    assert actors.__all__ == sorted(imported)


def test_every_public_name_says_what_it_is_for() -> None:
    """A docstring of its own."""
    undocumented = [
        name
        for name in actors.__all__
        if isinstance(value := getattr(actors, name), type) and not value.__doc__
    ]

    assert undocumented == []
