"""Texts with placeholders, such as `{claim_number} {description}`, filled per journal line."""

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Self

from exporters.claim import Claim, ClaimLine

_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")


class TextContext(NamedTuple):
    """What a text may speak of; `line` is missing where a text speaks of the claim as a whole."""

    claim: Claim
    line: ClaimLine | None
    voucher_number: int
    run_number: int


_Value = Callable[[TextContext], str]

CLAIM_PLACEHOLDERS: Final[Mapping[str, _Value]] = {
    "claim_number": lambda context: context.claim.claim_number,
    "claimant_name": lambda context: context.claim.claimant.name,
    "claimant_number": lambda context: context.claim.claimant.number or "",
    "purpose": lambda context: context.claim.purpose,
    "voucher_number": lambda context: str(context.voucher_number),
    "run_number": lambda context: str(context.run_number),
}


def _of_line(name: str) -> _Value:
    def value(context: TextContext) -> str:
        found = getattr(context.line, name, None)
        return "" if found is None else str(found)

    return value


LINE_PLACEHOLDERS: Final[Mapping[str, _Value]] = {
    **CLAIM_PLACEHOLDERS,
    **{
        name: _of_line(name)
        for name in (
            "line_number",
            "expense_type",
            "description",
            "expense_date",
            "quantity",
            "unit",
        )
    },
}


class TextTemplate:
    """A parsed text: constant pieces and placeholders, replaced once, never evaluated.

    A value that holds braces itself stays as it is.
    """

    def __init__(self, constants: tuple[str, ...], names: tuple[str, ...]) -> None:
        self.constants = constants
        self.names = names
        self._values = tuple(LINE_PLACEHOLDERS[name] for name in names)

    @classmethod
    def parse(cls, text: str, placeholders: Mapping[str, object] = LINE_PLACEHOLDERS) -> Self:
        """Split a text at its placeholders.

        Raises:
            ValueError: the text holds a brace that is not part of a known placeholder.
        """
        pieces = _PLACEHOLDER.split(text)
        constants, names = pieces[::2], pieces[1::2]
        unknown = [name for name in names if name not in placeholders]
        if unknown or any(brace in constant for brace in "{}" for constant in constants):
            raise ValueError(
                f"The text {text!r} may use only {', '.join(sorted(placeholders))} in braces.",
            )
        return cls(tuple(constants), tuple(names))

    def fill(self, context: TextContext) -> str:
        """Put the values in; what is not known is empty, and outer spaces are dropped."""
        text = self.constants[0]
        for value, constant in zip(self._values, self.constants[1:], strict=True):
            text += value(context) + constant
        return text.strip()
