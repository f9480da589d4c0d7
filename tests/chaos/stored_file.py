"""A stored export file, read by column names and by eye: nothing of the engine's own code is used."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

PAYABLE_ACCOUNT = "2990"
_VERSION = re.compile(r"\bv(\d+)\b")
# Positions in a GL02b record, counted from its first column; the file has no header.
_XLEDGER_COLUMNS = 61
_VOUCHER_NO, _ACCOUNT, _INVOICE_NO, _TEXT, _AMOUNT = 4, 8, 23, 28, 32


@dataclass(frozen=True)
class JournalLine:
    """One debit (positive) or credit of a voucher; `version` is what the claim's text said."""

    voucher: str
    claim_number: str
    account: str
    amount: Decimal
    version: int | None


@dataclass(frozen=True)
class StoredFile:
    """What lies in the bucket; `problem` when its bytes make no sense."""

    sha256: str
    size: int
    lines: tuple[JournalLine, ...] = ()
    problem: str | None = None
    by_claim: dict[str, list[JournalLine]] = field(default_factory=dict)

    @classmethod
    def read(cls, content: bytes, file_format: str) -> "StoredFile":
        """Never fails: nonsense is what the oracle wants to hear of."""
        sha256 = hashlib.sha256(content).hexdigest()
        try:
            lines = tuple(_lines(content.decode("utf-8"), file_format))
        except (ValueError, LookupError, ArithmeticError) as nonsense:
            return cls(sha256, len(content), problem=f"{type(nonsense).__name__}: {nonsense}")
        by_claim: dict[str, list[JournalLine]] = {}
        for line in lines:
            by_claim.setdefault(line.claim_number, []).append(line)
        return cls(sha256, len(content), lines, by_claim=by_claim)

    def balances(self) -> dict[str, Decimal]:
        """Voucher -> sum of its lines."""
        sums: dict[str, Decimal] = {}
        for line in self.lines:
            sums[line.voucher] = sums.get(line.voucher, Decimal(0)) + line.amount
        return sums

    @property
    def total(self) -> Decimal:
        """What is owed to claimants."""
        return -sum((x.amount for x in self.lines if x.account == PAYABLE_ACCOUNT), Decimal(0))


def _lines(text: str, file_format: str) -> Iterator[JournalLine]:
    rows = io.StringIO(text, newline="")
    if file_format == "xledger_gl02b":
        for row in csv.reader(rows, delimiter=";", quoting=csv.QUOTE_NONE):
            yield _xledger_line(row)
    elif file_format == "dynamics_bc_csv":
        for named in csv.DictReader(rows, delimiter=";", quoting=csv.QUOTE_NONE):
            yield _dynamics_line(named)
    elif file_format == "dynamics_bc_json":
        # Numbers as they are written: no float comes near an amount.
        for line in json.loads(text, parse_float=Decimal, parse_int=Decimal)["journalLines"]:
            yield _journal_line(line)
    else:
        raise LookupError(f"nobody taught this reader {file_format}")


def _xledger_line(row: list[str]) -> JournalLine:
    if len(row) != _XLEDGER_COLUMNS:
        raise ValueError(f"a record of {len(row)} columns")
    return JournalLine(
        voucher=row[_VOUCHER_NO],
        claim_number=row[_INVOICE_NO],
        account=row[_ACCOUNT],
        amount=Decimal(row[_AMOUNT]),
        version=_version(row[_TEXT]),
    )


def _dynamics_line(named: dict[str, str]) -> JournalLine:
    claim_number, dash, line_number = named["ExternalDocumentNo"].rpartition("-")
    if not dash or not line_number.isdigit():
        raise ValueError(f"the reference {named['ExternalDocumentNo']}")
    return JournalLine(
        voucher=named["DocumentNo"],
        claim_number=claim_number,
        account=named["AccountNo"],
        amount=Decimal(named["Amount"]),
        version=_version(named["Description"]),
    )


def _journal_line(line: dict[str, Any]) -> JournalLine:
    return _dynamics_line(
        {
            "ExternalDocumentNo": line["externalDocumentNumber"],
            "DocumentNo": line["documentNumber"],
            "AccountNo": line["accountNumber"],
            "Amount": str(line["amount"]),
            "Description": line["description"],
        }
    )


def _version(text: str) -> int | None:
    found = _VERSION.search(text)
    return int(found[1]) if found else None
