"""Takes own lines out of a journal again, and says of which vouchers nothing is left."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from functions.business_central.journal import Journal
from functions.business_central.lines import VoucherPlan

_REMOVED: Final = frozenset({HTTPStatus.OK, HTTPStatus.NO_CONTENT})

Listed = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Written:
    """What is known of a voucher's lines: their identifiers by place.

    `may_be_hidden`: a line that the journal does not list may be there although its identifier
    is not known.
    """

    plan: VoucherPlan
    ids: Mapping[int, str] = field(default_factory=dict)
    may_be_hidden: bool = False

    @property
    def hidden_ids(self) -> list[str]:
        """Of lines that the journal does not list."""
        return [
            self.ids[line.place]
            for line in self.plan.lines
            if not line.is_listed and line.place in self.ids
        ]


@dataclass(frozen=True, slots=True)
class Removal:
    """By document number: `found` had lines, of `clean` nothing is left, nor in the ledger."""

    found: Collection[str]
    clean: Collection[str]


async def remove_lines(journal: Journal, written: Sequence[Written]) -> Removal:
    """Delete whatever is there of the vouchers.

    The first line of a voucher is a listed one. So where none is listed nothing was left behind,
    and where some are, the hidden ones are there as well: those must be deleted by identifier,
    and one that cannot be found that way may lie there unseen. What is not in the journal may have
    been posted from it since it was written, so the ledger is asked last.

    Raises:
        DeliveryRefused, DeliveryUnavailable
    """
    by_number = {one.plan.number: one for one in written}
    listed = await journal.lines_of(by_number)
    found = {number for number, lines in listed.items() if lines and number in by_number}
    hidden_gone = {
        number: await _removed(journal, by_number[number], listed[number]) for number in found
    }
    left = await journal.lines_of(found)
    dirty = {number for number in found if left[number] or not hidden_gone[number]}
    async for entry in journal.company.entries(tuple(by_number)):
        dirty.add(str(entry.get("documentNumber", "")).upper())
    return Removal(found, {number for number in by_number if number not in dirty})


async def _removed(journal: Journal, written: Written, listed: Sequence[Mapping[str, Any]]) -> bool:
    for line in listed:
        await journal.delete_line(str(line["id"]))
    # Not `all`: one that stays is no reason to leave the others.
    statuses = [(await journal.delete_line(line_id)).status for line_id in written.hidden_ids]
    return not written.may_be_hidden and all(status in _REMOVED for status in statuses)
