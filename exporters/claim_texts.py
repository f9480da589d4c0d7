"""The texts of a claim that are for people, changed all at once."""

from collections.abc import Callable

from exporters.claim import Claim


def joined_texts(claim: Claim) -> str:
    """Put what people wrote together, for a look at all of it."""
    descriptions = (line.description for line in claim.lines)
    return "\n".join([claim.purpose, claim.claimant.name, *descriptions])


def with_texts(claim: Claim, change: Callable[[str], str]) -> Claim:
    """Change purpose, name and descriptions; the same claim comes back when nothing changed.

    Codes stay as they are: a changed one would be another code.
    """
    lines = tuple(
        line.model_copy(update={"description": change(line.description)}) for line in claim.lines
    )
    claimant = claim.claimant.model_copy(update={"name": change(claim.claimant.name)})
    changes = {"purpose": change(claim.purpose), "claimant": claimant, "lines": lines}
    changed = claim.model_copy(update=changes)
    return claim if changed == claim else changed
