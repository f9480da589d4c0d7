"""How values travel to Business Central and back: exact JSON, OData literals, enum names."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

_ENCODED_CHARACTER: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")
_ASKED_AT_ONCE: Final = 20


def json_text(value: object) -> str:
    """JSON in which a Decimal is a number with exactly its own digits. Knows no float."""
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError("not a finite number")
        return f"{value:f}"
    if isinstance(value, Mapping):
        members = (f"{json.dumps(str(name))}:{json_text(held)}" for name, held in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, str | int | bool | None):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return "[" + ",".join(json_text(held) for held in value) + "]"
    raise TypeError(f"{type(value).__name__} does not travel")


def parsed_json(content: bytes) -> Any:  # noqa: ANN401 - JSON
    """Read JSON with exact numbers. Raises ValueError."""
    return json.loads(content, parse_float=Decimal)


def literal(text: str) -> str:
    """A string in an OData expression."""
    return "'" + text.replace("'", "''") + "'"


def conditions(member: str, values: Iterable[str]) -> Iterator[str]:
    """OData conditions that together ask for the member being one of the values.

    Several, because an address has a length that every gateway takes.
    """
    told = [f"{member} eq {literal(value)}" for value in values]
    for start in range(0, len(told), _ASKED_AT_ONCE):
        yield " or ".join(told[start : start + _ASKED_AT_ONCE])


def query(**options: str | int) -> str:
    """The query part of an address, of OData's system options by their names without $."""
    return "&".join(f"${name}={quote(str(value), safe='')}" for name, value in options.items())


def plain(name: object) -> str:
    """An enum value without OData's encoding: G_x002F_L_x0020_Account is G/L Account."""
    return _ENCODED_CHARACTER.sub(lambda found: chr(int(found[1], 16)), str(name))
