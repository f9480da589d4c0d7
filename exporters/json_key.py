"""Where a column stands in a JSON record: `account.code`, or `dimensions[2].code` in a list."""

import re
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

Step = str | int

_STEP: Final = re.compile(r"([^.\s\[\]]+)(?:\[([1-9][0-9]?)\])?")


class JsonKey(NamedTuple):
    """The way to a value: a text is a key of an object, a number the place in a list, from 1.

    `entry` is the way to the entry of a list that the value is in, if it is in one.
    """

    steps: tuple[Step, ...]
    entry: tuple[Step, ...] | None

    @classmethod
    def parse(cls, name: str) -> "JsonKey":
        """Read the name of a column.

        Raises:
            ValueError: it is no key, or a list in a list.
        """
        steps: list[Step] = []
        entry: tuple[Step, ...] | None = None
        for part in name.split("."):
            found = _STEP.fullmatch(part)
            if not found or (found[2] and entry):
                raise ValueError(f"The column {name} cannot be a key beside the others.")
            steps.append(found[1])
            if found[2]:
                steps.append(int(found[2]))
                entry = tuple(steps)
        return cls(tuple(steps), entry)


def key_conflicts(names: Collection[str]) -> Iterator[str]:
    """Go through the names that cannot be keys beside the others, and lists with a gap.

    Raises:
        ValueError: a name is no key at all.
    """
    keys = {name: JsonKey.parse(name).steps for name in sorted(names)}
    taken = frozenset(keys.values())
    kinds: dict[tuple[Step, ...], type] = {}
    places: dict[tuple[Step, ...], set[int]] = {}
    for name, steps in keys.items():
        for depth in range(len(steps)):
            above, step = steps[:depth], steps[depth]
            if (above and above in taken) or kinds.setdefault(above, type(step)) is not type(step):
                yield f"The column {name} cannot be a key beside the others."
                break
            if isinstance(step, int):
                places.setdefault(above, set()).add(step)
    for above, found in places.items():
        if found != set(range(1, len(found) + 1)):
            yield f"The places of the list {'.'.join(map(str, above))} do not go on from 1."
