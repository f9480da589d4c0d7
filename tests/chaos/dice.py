"""Chance that can be replayed."""

from random import Random


def dice(*names: object) -> Random:
    """The same draws for the same names, in every process and at every replay."""
    return Random("/".join(map(str, names)))  # noqa: S311 - for faults, not for secrets
