"""$filter, as far as anybody needs it: eq, and, or; quotes doubled; `or` over one field only."""

import re
from collections.abc import Mapping
from typing import Any, Final

from tests.business_central.refusal import bad_request

_TERM: Final = re.compile(
    r"\s*(?P<member>\w+) eq (?:'(?P<text>(?:[^']|'')*)'|(?P<bare>[0-9A-Fa-f-]{36}|-?\d+(?:\.\d+)?))"
    r"\s*(?P<joint>and\b|or\b|$)"
)


class Filter:
    """A condition on entities. Texts are compared as Business Central's codes are."""

    def __init__(self, expression: str, members: frozenset[str]) -> None:
        self._alternatives: list[list[tuple[str, str]]] = [[]]
        place = 0
        joint = "and"
        while joint:
            term = _TERM.match(expression, place)
            if term is None:
                raise bad_request(f"Syntax error at position {place} in '{expression}'.")
            if term["member"] not in members:
                raise bad_request(f"Could not find a property named '{term['member']}'.")
            value = (
                (term["text"] or "").replace("''", "'") if term["bare"] is None else term["bare"]
            )
            if joint == "or":
                self._alternatives.append([])
            self._alternatives[-1].append((term["member"], value.upper()))
            joint, place = term["joint"], term.end()
        self._refuse_mixed_fields()
        # Many alternatives over one member are the usual case.
        self._values = {terms[0][1] for terms in self._alternatives if len(terms) == 1}
        self._member = self._alternatives[0][0][0]

    def _refuse_mixed_fields(self) -> None:
        if len(self._alternatives) > 1:
            members = {member for terms in self._alternatives for member, _ in terms}
            if len(members) > 1:
                raise bad_request("An or condition on several fields is not supported.")

    def matches(self, entity: Mapping[str, Any]) -> bool:
        """Whether an entity fulfils it."""
        if len(self._values) == len(self._alternatives):
            return str(entity.get(self._member, "")).upper() in self._values
        return any(
            all(str(entity.get(member, "")).upper() == value for member, value in terms)
            for terms in self._alternatives
        )
