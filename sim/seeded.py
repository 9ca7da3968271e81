"""Random numbers that depend on a seed and a name, and on nothing else."""

import random

__all__ = ["seeded"]


def seeded(*name: str | int) -> random.Random:
    """A generator of its own for each name: the same name gives the same numbers, in any process.

    Text is hashed with SHA-512 by `random.seed`, so neither PYTHONHASHSEED nor the order
    in which generators are made matters.
    """
    return random.Random("/".join(map(str, name)))  # noqa: S311 - weather keeps no secrets
