"""Finds Norwegian national identity numbers in what people wrote: no file may carry one.

Both kinds are found, *fødselsnummer* and *D-nummer*, the synthetic ones of test populations too.
The number itself is never told: what is said of it names the field only.
"""

import re
from datetime import date
from typing import Final

from exporters.claim import Claim
from exporters.claim_texts import with_texts
from exporters.problem import Problem, ProblemCode

# Six digits of a date and five more, with or without a blank between; never part of a longer row.
_CANDIDATE: Final = re.compile(r"(?<![0-9])([0-9]{6})[ \u00a0\u202f]?([0-9]{5})(?![0-9])")
_MASK: Final = "***********"
_FIRST_WEIGHTS: Final = (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)
_SECOND_WEIGHTS: Final = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
_D_NUMBER_DAY: Final = 40
# NAV's and the tax administration's synthetic populations.
_SYNTHETIC_MONTHS: Final = (80, 40)


def identity_number_problems(claim: Claim) -> tuple[Problem, ...]:
    """List the fields of a claim that hold a national identity number, without the number."""
    texts = _texts(claim)
    # Nearly every claim ends here: all its texts in one look.
    if not _CANDIDATE.search("\n".join([text for *_, text in texts])):
        return ()
    return tuple(
        Problem(
            ProblemCode.NATIONAL_IDENTITY_NUMBER,
            field,
            f"The claim's {field} holds a national identity number, which no file may carry.",
        )
        for *path, text in texts
        if holds_identity_number(text) and (field := ".".join(path))
    )


def masked(claim: Claim) -> Claim:
    """Put asterisks for every national identity number in the texts that are for people.

    Codes stay as they are: a masked one would be another code. The same claim comes back when
    there was nothing to mask.
    """
    if not _CANDIDATE.search("\n".join([text for *_, text in _texts(claim)])):
        return claim
    return with_texts(claim, _masked_text)


def _masked_text(text: str) -> str:
    return _CANDIDATE.sub(
        lambda found: _MASK if _is_valid("".join(found.groups())) else found[0], text
    )


def holds_identity_number(text: str) -> bool:
    """Tell whether a text holds one: a date of the calendar and both check digits."""
    return any(_is_valid("".join(found)) for found in _CANDIDATE.findall(text))


def _texts(claim: Claim) -> list[tuple[str, ...]]:
    """List what people wrote, each behind the steps of its path.

    Not the claim number and the expense type: the app gave them, and nobody could correct one that
    happens to look like a national identity number.
    """
    claimant = claim.claimant
    texts: list[tuple[str, ...]] = [
        ("purpose", claim.purpose),
        ("claimant", "name", claimant.name),
        ("claimant", "number", claimant.number or ""),
        *(("dimensions", name, code) for name, code in claim.dimensions.items()),
    ]
    for line in claim.lines:
        place = f"lines[{line.line_number}]"
        texts += (
            (place, "description", line.description),
            (place, "unit", line.unit or ""),
        )
        texts += [(place, "dimensions", name, code) for name, code in line.dimensions.items()]
    return texts


def _is_valid(number: str) -> bool:
    digits = [int(digit) for digit in number]
    return (
        _is_date(int(number[:2]), int(number[2:4]), int(number[4:6]))
        and _adds_up(digits, _FIRST_WEIGHTS)
        and _adds_up(digits, _SECOND_WEIGHTS)
    )


def _adds_up(digits: list[int], weights: tuple[int, ...]) -> bool:
    return sum(digit * weight for digit, weight in zip(digits, weights, strict=False)) % 11 == 0


def _is_date(day: int, month: int, year: int) -> bool:
    day -= _D_NUMBER_DAY if day > _D_NUMBER_DAY else 0
    month -= next((added for added in _SYNTHETIC_MONTHS if month > added), 0)
    try:
        # Of the centuries that two digits can mean, this one has every leap day of the others.
        date(2000 + year, month, day)
    except ValueError:
        return False
    return True
