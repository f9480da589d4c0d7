"""The file that says who may reach what, read as rows of cells."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import yaml

FILE = Path(__file__).with_name("matrix.yaml")

Role = Literal["anon", "member", "coordinator", "accountant", "admin", "service"]
Word = Literal[".", "refused", "nothing", "mine", "own", "all"]
ROLES: tuple[Role, ...] = get_args(Role)
PEOPLE = ROLES[1:-1]
# What was found out about one try: the words, without whose organisation it was.
Outcome = Literal[".", "refused", "nothing", "mine", "some", "done"]
_HER_OWN: dict[Word, Outcome] = {"own": "done", "all": "done"}


@dataclass(frozen=True)
class Cell:
    """What one role is promised of one thing."""

    thing: str
    role: Role
    word: Word

    def allows(self, outcome: Outcome, *, is_own: bool) -> bool:
        """Whether the outcome of a try is what the word says for this organisation."""
        if is_own or self.word == "all":
            return outcome == _HER_OWN.get(self.word, self.word)
        if self.word == ".":
            return outcome == "."
        return outcome in {"refused", "nothing"}

    def says(self, outcome: Outcome, *, is_own: bool) -> str:
        """A sentence for the report of what is wrong."""
        whose = "her own" if is_own else "the other"
        return f"{self.thing}, {self.role}, {whose} organisation: {outcome!r}, where the matrix says {self.word!r}"


def load() -> Mapping[str, Any]:
    """The sections of the file."""
    sections: Mapping[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    assert tuple(sections["columns"].split()) == ROLES
    return sections


def cells(rows: Mapping[str, str]) -> Iterator[Cell]:
    """Every cell of a section, row by row."""
    for thing, row in rows.items():
        words = row.split()
        assert len(words) == len(ROLES), f"{thing}: a word for each of {ROLES}"
        for role, word in zip(ROLES, words, strict=True):
            assert word in get_args(Word), f"{thing}: {word} is none of {get_args(Word)}"
            yield Cell(thing, role, cast("Word", word))


def database_role(role: Role) -> str:
    """Whom the data API lets her be in the database."""
    return {"anon": "anon", "service": "service_role"}.get(role, "authenticated")
