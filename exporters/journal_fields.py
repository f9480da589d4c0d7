"""The fields of Business Central's general journal (table 81) that a column may fill.

Numbers, types and lengths are those of the base application's source, the Norwegian layer's
where it has its own. A number that is not here may be an extension's: nothing is known of it.
"""

from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple

from exporters.layout import Column, ColumnType

Kind = Literal["code", "text", "option", "date", "decimal"]

# What the importer keeps of a cell; the rest is cut without a word.
LONGEST_CELL: Final = 250

ACCOUNT_TYPE: Final = 3
ACCOUNT_NO: Final = 4
POSTING_DATE: Final = 5
DOCUMENT_NO: Final = 7
DESCRIPTION: Final = 8
AMOUNT: Final = 13
DEBIT_AMOUNT: Final = 14
CREDIT_AMOUNT: Final = 15


class JournalField(NamedTuple):
    """A field, and how many UTF-16 units it holds."""

    name: str
    kind: Kind
    length: int = LONGEST_CELL


FIELDS: Final[Mapping[int, JournalField]] = {
    ACCOUNT_TYPE: JournalField("Account Type", "option"),
    ACCOUNT_NO: JournalField("Account No.", "code", 20),
    POSTING_DATE: JournalField("Posting Date", "date"),
    DOCUMENT_NO: JournalField("Document No.", "code", 20),
    DESCRIPTION: JournalField("Description", "text", 100),
    12: JournalField("Currency Code", "code", 10),
    AMOUNT: JournalField("Amount", "decimal"),
    DEBIT_AMOUNT: JournalField("Debit Amount", "decimal"),
    CREDIT_AMOUNT: JournalField("Credit Amount", "decimal"),
    24: JournalField("Shortcut Dimension 1 Code", "code", 20),
    25: JournalField("Shortcut Dimension 2 Code", "code", 20),
    26: JournalField("Salespers./Purch. Code", "code", 20),
    31: JournalField("Your Reference", "text", 35),
    38: JournalField("Due Date", "date"),
    42: JournalField("Job No.", "code", 20),
    43: JournalField("Quantity", "decimal"),
    52: JournalField("Reason Code", "code", 10),
    57: JournalField("Gen. Posting Type", "option"),
    58: JournalField("Gen. Bus. Posting Group", "code", 20),
    59: JournalField("Gen. Prod. Posting Group", "code", 20),
    76: JournalField("Document Date", "date"),
    77: JournalField("External Document No.", "code", 35),
    90: JournalField("VAT Bus. Posting Group", "code", 20),
    91: JournalField("VAT Prod. Posting Group", "code", 20),
    128: JournalField("VAT Reporting Date", "date"),
    171: JournalField("Payment Reference", "code", 50),
    172: JournalField("Payment Method Code", "code", 10),
    289: JournalField("Message to Recipient", "text", 140),
    1001: JournalField("Job Task No.", "code", 20),
    5618: JournalField("Comment", "text", 250),
    10610: JournalField("VAT Number", "code", 20),
}

# Expense vouchers are of no document type and balance by their own lines; the rest is the key of a
# journal line, which the import gives.
NEVER_FILLED: Final[Mapping[int, str]] = {
    1: "Journal Template Name",
    2: "Line No.",
    6: "Document Type",
    11: "Bal. Account No.",
    35: "Applies-to Doc. Type",
    51: "Journal Batch Name",
    63: "Bal. Account Type",
    10611: "Bal. VAT Number",
}

_FILLED_BY: Final[Mapping[Kind, frozenset[ColumnType]]] = {
    "code": frozenset({"code", "integer"}),
    "text": frozenset({"text", "code", "integer"}),
    "option": frozenset({"text", "code"}),
    "date": frozenset({"date"}),
    "decimal": frozenset({"amount", "integer"}),
}


def field_problems(column: Column) -> Iterator[str]:
    """Say why a column cannot fill the field that it names; each is the end of a sentence."""
    if column.target_field is None:
        return
    number = column.target_field.number
    if number in NEVER_FILLED:
        yield f"must not fill field {number} {NEVER_FILLED[number]}"
        return
    field = FIELDS.get(number)
    if field is None:
        return
    if column.type not in _FILLED_BY[field.kind]:
        yield f"is of type {column.type}, and field {number} {field.name} is of type {field.kind}"
    elif column.type in {"text", "code"}:
        yield from _text_problems(column, number, field)
    elif column.type == "amount":
        yield from _amount_problems(column, number)


def _text_problems(column: Column, number: int, field: JournalField) -> Iterator[str]:
    if field.kind != "option" and (column.limit is None or column.limit > field.length):
        yield f"needs a max_length of at most {field.length}, as field {number} {field.name} has"
    if field.kind == "code" and column.case != "upper":
        yield f"needs the case upper, as field {number} {field.name} is written"


def _amount_problems(column: Column, number: int) -> Iterator[str]:
    side = "both" if column.amount_form is None else column.amount_form.side
    of_field = {DEBIT_AMOUNT: "debit", CREDIT_AMOUNT: "credit"}.get(number, "both")
    if side != of_field:
        yield f"shows {side} amounts, and field {number} {FIELDS[number].name} takes {of_field}"
