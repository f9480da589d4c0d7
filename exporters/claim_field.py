"""The claim's own field behind a column, for the person who can change it."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from exporters.voucher import JournalLine

_DIMENSION: Final = "line.dimensions."


class _LineField(NamedTuple):
    on_expense: str
    on_payable: str


# What a line shows is a field of its claim line, and on the payable line one of the whole claim.
_LINE_FIELDS: Final[Mapping[str, _LineField]] = {
    "line.place": _LineField("line_number", "lines"),
    "line.line_number": _LineField("line_number", "lines"),
    "line.expense_type": _LineField("expense_type", "expense_type"),
    "line.account_code": _LineField("account_code", "account_code"),
    "line.account_kind": _LineField("account_code", "account_code"),
    "line.tax_code": _LineField("tax_code", "tax_code"),
    "line.amount": _LineField("amount", "total"),
    "line.document_date": _LineField("expense_date", "approved_on"),
}

_CLAIM_FIELDS: Final[Mapping[str, str]] = {
    "voucher.number": "voucher_number",
    "voucher.document_number": "voucher_number",
    "voucher.posting_date": "posting_date",
    "voucher.fiscal_year": "posting_date",
    "voucher.period": "posting_date",
    "voucher.currency": "currency",
    "voucher.kind": "kind",
    "line.reference": "claim_number",
    "line.due_date": "due_date",
    "line.subledger_number": "claimant.number",
    "claim.claim_id": "claim_id",
    "claim.claim_number": "claim_number",
    "claim.purpose": "purpose",
    "claim.approved_on": "approved_on",
    "claimant.name": "claimant.name",
    "claimant.number": "claimant.number",
    "file.part": "voucher_number",
    "file.place": "voucher_number",
}


def claim_field(path: str, line: JournalLine, character: str | None = None) -> str:
    """Name the field that a source path shows on a line, such as `lines[2].expense_date`.

    A text is made of several fields: it is the one that holds `character`, or without one the
    longest that the text shows. A dimension's path is the one with its name.

    Raises:
        KeyError: no line decides what the path shows.
    """
    if path == "line.text":
        return _field_of_text(line, character)
    if field := _CLAIM_FIELDS.get(path):
        return field
    if path.startswith(_DIMENSION):
        name = path.removeprefix("line.")
        return _on_line(_LineField(name, name), line)
    return _on_line(_LINE_FIELDS[path], line)


def _on_line(field: _LineField, line: JournalLine) -> str:
    if line.side == "payable":
        return field.on_payable
    return f"lines[{line.line_number}].{field.on_expense}"


def _field_of_text(line: JournalLine, character: str | None) -> str:
    texts = _written_texts(line)
    if character:
        known = {**texts, **_other_texts(line)}
        found = (field for field, text in known.items() if character in text)
        return next(found, next(iter(texts)))
    shown = [field for field, text in texts.items() if text.strip() in line.text]
    return max(shown or texts, key=lambda field: len(texts[field]))


def _written_texts(line: JournalLine) -> dict[str, str]:
    """List what people wrote, the likeliest first."""
    descriptions = {
        f"lines[{claim_line.line_number}].description": claim_line.description
        for claim_line in line.claim.lines
        if line.side == "expense" and claim_line.line_number == line.line_number
    }
    claim = line.claim
    return {**descriptions, "purpose": claim.purpose, "claimant.name": claim.claimant.name}


def _other_texts(line: JournalLine) -> dict[str, str]:
    numbers = {
        "claim_number": line.claim.claim_number,
        "claimant.number": line.claim.claimant.number or "",
    }
    for claim_line in line.claim.lines:
        if line.side == "expense" and claim_line.line_number == line.line_number:
            numbers[f"lines[{line.line_number}].expense_type"] = claim_line.expense_type
            numbers[f"lines[{line.line_number}].unit"] = claim_line.unit or ""
    return numbers
