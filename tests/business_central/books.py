"""A company's books: journals, their lines, dimensions and the ledger, with undo."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

from tests.business_central.refusal import Refusal, bad_request, not_found

NO_ID: Final = "00000000-0000-0000-0000-000000000000"
_LINE_STEP: Final = 10_000
Row = dict[str, Any]


@dataclass
class Account:
    """An account, employee, vendor or bank account. `vat_share` of a debit is entered as VAT."""

    name: str
    type: str = "G/L Account"
    is_blocked: bool = False
    default_dimensions: dict[str, str] = field(default_factory=dict)
    vat_share: Decimal = Decimal(0)


@dataclass
class Books:
    """Everything that a test may set up or look at; changes go through the methods."""

    company_id: str = field(default_factory=lambda: str(uuid4()))
    company_name: str = "HLF"
    templates: set[str] = field(default_factory=lambda: {"GENERELL"})
    template_balancing_account: str = ""
    # Posting gives the journal the next name: another journal, with the description of the old.
    increments_names: bool = False
    accounts: dict[tuple[str, str], Account] = field(default_factory=dict)
    dimensions: dict[str, set[str]] = field(default_factory=dict)
    posting_from: date = date(2000, 1, 1)
    work_date: date = date(2026, 11, 1)

    journals: dict[str, Row] = field(default_factory=dict)
    lines: dict[str, Row] = field(default_factory=dict)
    # Line -> dimension's identifier -> code and value.
    dimension_sets: dict[str, dict[str, Row]] = field(default_factory=dict)
    entries: list[Row] = field(default_factory=list)
    closed_by_approval: set[str] = field(default_factory=set)
    _by_journal: dict[str, dict[str, Row]] = field(default_factory=dict)
    _numbered: set[str] = field(default_factory=set)
    _undo: list[Callable[[], object]] = field(default_factory=list)
    _depth: int = 0
    _version: int = 0

    def __post_init__(self) -> None:
        for number, name in (("7140", "Reise"), ("7100", "Bil"), ("2930", "Skyldig ansatte")):
            self.accounts["G/L Account", number] = Account(name)
        self.accounts["Employee", "1007"] = Account("Kari Nordmann", "Employee")
        self.accounts["Vendor", "V1"] = Account("Taxi AS", "Vendor")
        for template in self.templates:
            self.add_journal({"code": "DEFAULT", "templateDisplayName": template})

    @contextmanager
    def undone_on_error(self) -> Iterator[None]:
        """One transaction."""
        begun = len(self._undo)
        self._depth += 1
        try:
            yield
        except Refusal:
            while len(self._undo) > begun:
                self._undo.pop()()
            raise
        finally:
            self._depth -= 1
            if not self._depth:
                self._undo.clear()

    # journals

    def add_journal(self, body: Row) -> Row:
        """A batch of a template, with the template's balancing account."""
        code = str(body.get("code", "")).upper()
        template = str(body.get("templateDisplayName") or min(self.templates))
        if not code:
            raise bad_request("Code must be filled in.", "Application_FieldValidationException")
        if template not in self.templates:
            raise Refusal(400, "Internal_InvalidTableRelation", f"There is no template {template}.")
        if self.journal_of(code, template) is not None:
            raise Refusal(400, "Internal_EntityWithSameKeyExists", f"{code} already exists.")
        row = {
            "id": str(uuid4()),
            "code": code,
            "displayName": body.get("displayName", ""),
            "templateDisplayName": template,
            "balancingAccountId": body.get("balancingAccountId") or NO_ID,
            "balancingAccountNumber": self.template_balancing_account,
        }
        self._put(self.journals, row["id"], row)
        self._by_journal[row["id"]] = {}
        return self._touched(row)

    def journal_of(self, code: str, template: str = "GENERELL") -> Row | None:
        """By its name."""
        for row in self.journals.values():
            if (row["code"], row["templateDisplayName"]) == (code.upper(), template):
                return row
        return None

    def delete_journal(self, journal_id: str) -> None:
        """With all its lines, listed or not."""
        self._journal(journal_id)
        for line in list(self.lines_in(journal_id)):
            self.delete_line(line["id"])
        self._drop(self.journals, journal_id)

    def lines_in(self, journal_id: str) -> Iterator[Row]:
        """All of them, in order."""
        rows = self._by_journal.get(journal_id, {}).values()
        yield from sorted(rows, key=_line_number)

    # lines

    def add_line(self, journal_id: str, body: Row) -> Row:
        """Validated in the order in which the page's fields are, with all inheritance."""
        journal = self._journal(journal_id)
        if journal_id in self.closed_by_approval:
            raise Refusal(400, "Application_DialogException", "An approval request is open.")
        if body.get("journalId", journal_id) != journal_id:
            raise Refusal(400, "Application_DialogException", "journalId cannot be changed.")
        before = self._by_journal[journal_id]
        if "lineNumber" in body:
            self._numbered.add(journal_id)
        row = self._line(journal, body, self._last(journal_id))
        if "lineNumber" in body and any(
            other["lineNumber"] == row["lineNumber"] for other in before.values()
        ):
            raise Refusal(400, "Internal_EntityWithSameKeyExists", "The line already exists.")
        self._put(self.lines, row["id"], row)
        self._put(before, row["id"], row)
        self._put(self.dimension_sets, row["id"], {})
        for code, value in self._account(row).default_dimensions.items():
            self.add_dimension(row["id"], {"code": code, "valueCode": value})
        return self._touched(row)

    def _last(self, journal_id: str) -> Row | None:
        rows = self._by_journal[journal_id].values()
        if journal_id in self._numbered:
            return max(rows, key=_line_number, default=None)
        # In the order in which they were added, and thousands of them.
        return next(reversed(rows), None)

    def _line(self, journal: Row, body: Row, previous: Row | None) -> Row:
        account_type = body.get("accountType", "G/L Account")
        number = str(body.get("accountNumber", "")).upper()
        row: Row = {
            "id": str(uuid4()),
            "journalId": journal["id"],
            "journalDisplayName": journal["code"],
            "lineNumber": body.get("lineNumber")
            or (previous["lineNumber"] if previous else 0) + _LINE_STEP,
            "accountType": account_type,
            "accountNumber": number,
        }
        account = self._account(row)
        inherited = previous or {}
        return {
            **row,
            "postingDate": body.get("postingDate")
            or inherited.get("postingDate", self.work_date.isoformat()),
            "documentNumber": str(
                body.get("documentNumber") or inherited.get("documentNumber", "G00001")
            ).upper(),
            "externalDocumentNumber": str(body.get("externalDocumentNumber", "")).upper(),
            "amount": body.get("amount", Decimal(0)),
            "description": body.get("description") or account.name,
            "comment": body.get("comment", ""),
            "taxCode": body.get("taxCode", ""),
            "balanceAccountType": body.get("balanceAccountType", "G/L Account"),
            "balancingAccountId": body.get("balancingAccountId") or NO_ID,
            "balancingAccountNumber": body.get("balancingAccountNumber")
            or journal["balancingAccountNumber"],
        }

    def _account(self, row: Row) -> Account:
        kind, number = row["accountType"], row["accountNumber"]
        account = self.accounts.get((kind, number))
        if account is None:
            message = f"The field Account No. contains a value ({number}) that cannot be found."
            raise Refusal(400, "Internal_InvalidTableRelation", message)
        if account.is_blocked:
            message = f"Blocked must be equal to 'No' in {kind} {number}."
            raise Refusal(400, "Application_FieldValidationException", message)
        return account

    def delete_line(self, line_id: str) -> None:
        """With its dimensions."""
        row = self._row(self.lines, line_id)
        self._drop(self.dimension_sets, line_id)
        self._drop(self._by_journal[row["journalId"]], line_id)
        self._drop(self.lines, line_id)

    # dimensions

    def add_dimension(self, line_id: str, body: Row) -> Row:
        """At most one value of each dimension."""
        held = self.dimension_sets.get(line_id)
        if held is None:
            raise not_found()
        code, value = str(body.get("code", "")).upper(), str(body.get("valueCode", "")).upper()
        self._check_dimension(code, value)
        if any(row["code"] == code for row in held.values()):
            message = f"The dimension {code} already exists."
            raise Refusal(400, "Internal_EntityWithSameKeyExists", message)
        row = {"id": str(uuid4()), "code": code, "valueCode": value, "parentId": line_id}
        self._put(held, row["id"], row)
        return self._touched(row)

    def change_dimension(self, line_id: str, dimension_id: str, body: Row) -> Row:
        """The value only."""
        row = self._row(self.dimension_sets.get(line_id, {}), dimension_id)
        if str(body.get("code", row["code"])).upper() != row["code"]:
            raise Refusal(400, "Application_DialogException", "The dimension cannot be changed.")
        value = str(body.get("valueCode", "")).upper()
        self._check_dimension(row["code"], value)
        self._put(self.dimension_sets[line_id], dimension_id, {**row, "valueCode": value})
        return self._touched(self.dimension_sets[line_id][dimension_id])

    def _check_dimension(self, code: str, value: str) -> None:
        if value not in self.dimensions.get(code, set()):
            message = f"The dimension value {code} {value} cannot be found."
            raise Refusal(400, "Internal_InvalidTableRelation", message)

    # posting

    def post(self, journal_id: str) -> int:
        """What an accountant does: all lines become entries, or none. How many entries."""
        rows = list(self.lines_in(journal_id))
        if not rows:
            raise Refusal(400, "Application_DialogException", "There is nothing to post.")
        self._check_postable(rows)
        before = len(self.entries)
        for row in rows:
            self._enter(row)
            self.delete_line(row["id"])
        if self.increments_names:
            self._increment(journal_id)
        return len(self.entries) - before

    def _increment(self, journal_id: str) -> None:
        old = self._journal(journal_id)
        digits = re.search(r"\d+$", old["code"])
        self.delete_journal(journal_id)
        if digits:
            number = str(int(digits[0]) + 1).zfill(len(digits[0]))
            self.add_journal({**old, "code": old["code"][: digits.start()] + number})

    def _check_postable(self, rows: list[Row]) -> None:
        sums: dict[tuple[str, str], Decimal] = {}
        for row in rows:
            if date.fromisoformat(row["postingDate"]) < self.posting_from:
                raise _unpostable("Posting Date is not within your range of allowed dates.")
            if not row["amount"]:
                raise _unpostable("Amount must have a value.")
            key = (row["documentNumber"], row["postingDate"])
            balanced = Decimal(0) if row["balancingAccountNumber"] else row["amount"]
            sums[key] = sums.get(key, Decimal(0)) + balanced
        for (number, _), total in sums.items():
            if total:
                raise _unpostable(f"Document No. {number} is out of balance by {total}.")

    def _enter(self, row: Row) -> None:
        vat = (row["amount"] * self._account(row).vat_share).quantize(Decimal("0.01"))
        # What is owed to a person stands on the payable account of the posting group.
        number = row["accountNumber"] if row["accountType"] == "G/L Account" else "2930"
        self._entry(row, number, row["amount"] - vat)
        if vat:
            self._entry(row, "2710", vat)
        if row["balancingAccountNumber"]:
            self._entry(row, row["balancingAccountNumber"], -row["amount"])

    def _entry(self, row: Row, account_number: str, amount: Decimal) -> None:
        self.add_entry(
            document_number=row["documentNumber"],
            amount=amount,
            account_number=account_number,
            posting_date=row["postingDate"],
            description=row["description"],
        )

    def add_entry(
        self,
        *,
        document_number: str,
        amount: Decimal,
        account_number: str = "7140",
        posting_date: str = "2026-10-31",
        description: str = "",
    ) -> None:
        """One entry of the ledger. It knows neither external number nor journal."""
        self._version += 1
        self.entries.append(
            {
                "id": str(uuid4()),
                "entryNumber": len(self.entries) + 1,
                "postingDate": posting_date,
                "documentNumber": document_number,
                "documentType": "",
                "accountNumber": account_number,
                "description": description,
                "debitAmount": max(amount, Decimal(0)),
                "creditAmount": max(-amount, Decimal(0)),
            }
        )

    # rows

    def _journal(self, journal_id: str) -> Row:
        return self._row(self.journals, journal_id)

    def _row(self, table: dict[str, Row], key: str) -> Row:
        if key not in table:
            raise not_found()
        return table[key]

    def _touched(self, row: Row) -> Row:
        self._version += 1
        row["@odata.etag"] = f'W/"{self._version}"'
        row["lastModifiedDateTime"] = datetime.now(UTC).isoformat(timespec="milliseconds")
        return row

    def _put(self, table: dict[str, Any], key: str, row: Row) -> None:
        old = table.get(key)
        self._undo.append(
            (lambda: table.pop(key)) if old is None else (lambda: table.update({key: old}))
        )
        table[key] = row

    def _drop(self, table: dict[str, Any], key: str) -> None:
        old = table.pop(key)
        self._undo.append(lambda: table.update({key: old}))


def _line_number(row: Row) -> int:
    return int(row["lineNumber"])


def _unpostable(message: str) -> Refusal:
    return Refusal(400, "Application_DialogException", message)
