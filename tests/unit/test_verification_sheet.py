"""The sheet beside a file says what the file says, whichever format and language."""

import csv
import io
import json
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import openpyxl
import pytest

from exporters.claim import Member
from exporters.configuration import FrozenConfiguration
from exporters.manifest import manifest
from exporters.registry import BUILT_IN
from exporters.run_facts import RunFacts
from exporters.run_renderer import RunRenderer
from functions import verification_sheet
from functions.left_out_page import LeftOutRow
from functions.sheet_words import ENGLISH, NORWEGIAN, SheetWords
from functions.verification_sheet import MOST_LINES, VerificationSheet
from tests.unit.claim_factory import (
    RUN,
    Document,
    claim,
    claim_line,
    dynamics_document,
    members,
    one_line_claim,
    render,
    xledger_document,
)

FACTS = RunFacts(
    organization_id=UUID(int=2),
    organization_name="Blindeforbundet",
    run_id=UUID(int=1),
    run_number=7,
    reverses_run_number=None,
    target="xledger",
    format="xledger_gl02b",
    layout_name="xledger_gl02b",
    layout_version=1,
    period_from=None,
    period_to=date(2026, 10, 31),
    export_date=date(2026, 10, 6),
    time_zone="Europe/Oslo",
    triggered_by="Kåre Åsen",
    completed_at="2026-10-06 12:00:00",
    completed_at_utc="2026-10-06T10:00:00Z",
    file_name="xledger-2026-10-06-00007.csv",
    file_sha256="a" * 64,
    file_size=1234,
    renderer_version="2",
)
XLEDGER_JSON = xledger_document(format="xledger_json", settings={"job_level_db_sub_id": 1})
GL02 = xledger_document(format="xledger_gl02") | {"settings": {"voucher_type": "GL"}}
CLAIMS = [
    claim(1),
    claim(2, claimant={"name": "Kari Nordmann", "number": "10024"}),
    one_line_claim(3, total="-12.10"),
    one_line_claim(4, total="999999999999.99", description="=1+1"),
    claim(5, lines=[claim_line(), claim_line(2, amount="120.00")]),
]
LEFT_OUT = LeftOutRow(
    "2026-0099", "Ingen konto.", "Rett det.", "lines[1]", "No.", Decimal(5), "NOK"
)


class Made:
    """A file, its sheet and its manifest."""

    def __init__(
        self,
        configuration: Document,
        run_members: Sequence[Member],
        words: SheetWords = ENGLISH,
        left_out: Sequence[LeftOutRow] = (),
        line_count: int = 1,
    ) -> None:
        content = bytearray()
        renderer = RunRenderer(
            FrozenConfiguration.from_document(configuration),
            RUN,
            observe=lambda voucher: sheet.add(voucher),  # noqa: PLW0108  # made after it
        )
        sheet = VerificationSheet(
            content.extend, words, renderer.shown_dimensions, line_count=line_count
        )
        self.file = renderer.render(run_members) + renderer.finish()
        sheet.leave_out(left_out)
        self.summary = renderer.summary()
        self.breakdown = renderer.breakdown()
        self.sides = sheet.finish(FACTS, self.summary, renderer.notices())
        sheet.discard()
        self.bytes = bytes(content)
        self.book = openpyxl.load_workbook(io.BytesIO(self.bytes))
        self.manifest = json.loads(manifest(FACTS, self.summary, self.sides))

    def rows(self, sheet: str) -> list[dict[str, Any]]:
        """By heading."""
        headings, *rows = self.book[sheet].iter_rows(values_only=True)
        return [dict(zip(map(str, headings), row, strict=True)) for row in rows]

    def facts(self) -> dict[str, Any]:
        """The summary, by label."""
        return {str(row[0]): row[1] for row in self.book.worksheets[0].iter_rows(values_only=True)}


def cents(value: object) -> Decimal:
    """As a reader gets numbers."""
    return Decimal(str(value or 0)).quantize(Decimal("0.01"))


def booked(file: bytes, format_name: str) -> Counter[tuple[str, str]]:
    """Cents per account and side in a file, read by Python's own csv and json."""
    text = file.decode("utf-8-sig")
    if format_name == "xledger_json":
        nodes = [item["node"] for line in text.splitlines() for item in _inputs(line)]
        lines = [(node["account"]["code"], node["amount"]) for node in nodes]
    elif format_name == "xledger_gl02b":  # it has no header
        lines = [(row[8], row[32]) for row in csv.reader(io.StringIO(text), delimiter=";")]
    elif format_name == "dynamics_bc_json":
        records = json.loads(text)["journalLines"]
        lines = [(record["accountNumber"], record["amount"]) for record in records]
    elif format_name == "dynamics_fo_csv":
        lines = [
            (
                row["ACCOUNTDISPLAYVALUE"].partition("-")[0],
                Decimal(row["DEBITAMOUNT"]) - Decimal(row["CREDITAMOUNT"]),
            )
            for row in csv.DictReader(io.StringIO(text))
        ]
    else:
        rows = csv.DictReader(io.StringIO(text), delimiter=";")
        lines = [(row.get("Account") or row["AccountNo"], row["Amount"]) for row in rows]
    sums: Counter[tuple[str, str]] = Counter()
    for account, amount in lines:
        value = int(Decimal(str(amount)) * 100)
        sums[account, "debit" if value > 0 else "credit"] += abs(value)
    return sums


def _inputs(line: str) -> Any:
    return json.loads(line)["variables"]["inputs"]


def told(rows: Sequence[dict[str, Any]], *names: str) -> Counter[tuple[str, ...]]:
    """Cents per values of these columns and side, as a page of the sheet tells them."""
    sums: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        for side in ("Debit", "Credit"):
            key = (*(row[name] for name in names), side.lower())
            sums[key] += int(cents(row[side]) * 100)
    return +sums


BC_JSON = dynamics_document(format="dynamics_bc_json")
FINANCE = dynamics_document(format="dynamics_fo_csv", settings={"journal_name": "Utlegg"})
FORMATS = [xledger_document(), GL02, XLEDGER_JSON, dynamics_document(), BC_JSON, FINANCE]


def test_every_shipped_format_is_held() -> None:
    assert {document["format"] for document in FORMATS} == set(BUILT_IN)


@pytest.mark.parametrize("configuration", FORMATS, ids=lambda document: document["format"])
def test_the_layout_that_a_run_keeps_gives_its_file_again(configuration: Document) -> None:
    """Also when another one is shipped by then: sheets are rendered with what stands on the run."""
    first = render(configuration, [members(*CLAIMS)])
    again = render({**configuration, "layout": first.renderer.layout}, [members(*CLAIMS)])

    assert again.data == first.data


@pytest.mark.parametrize("configuration", FORMATS, ids=lambda document: document["format"])
@pytest.mark.parametrize("kind", ["entry", "reversal"])
def test_every_page_adds_up_to_the_file(configuration: Document, kind: str) -> None:
    """Accounts, vouchers and control totals are the sums of the bytes that the target imports."""
    made = Made(configuration, members(*CLAIMS, kind=kind))

    file = booked(made.file, configuration["format"])
    assert file
    assert told(made.rows("Accounts"), "Account") == file
    assert told(made.rows("Vouchers"), "Account") == file
    debit = sum(amount for (_, side), amount in file.items() if side == "debit")
    credit = sum(amount for (_, side), amount in file.items() if side == "credit")
    assert made.manifest["sum_debit"] == {"NOK": f"{Decimal(debit) / 100:.2f}"}
    assert made.manifest["sum_credit"] == {"NOK": f"{Decimal(credit) / 100:.2f}"}
    [totals] = [row for row in made.book["Summary"].iter_rows(values_only=True) if row[0] == "NOK"]
    assert [int(cents(total) * 100) for total in totals[2:]] == [debit, credit]
    assert cents(totals[1]) == made.summary.totals["NOK"]
    assert len(made.rows("Vouchers")) == made.manifest["row_count"] == made.summary.line_count


def test_the_accounts_are_the_breakdown() -> None:
    """Group by group as the run tells it."""
    made = Made(xledger_document(), members(*CLAIMS))

    assert [
        (
            row["Account"],
            {name: row[name] for name in ("department", "project") if row[name]},
            cents(row["Debit"]),
            cents(row["Credit"]),
            row["Journal lines"],
        )
        for row in made.rows("Accounts")
    ] == [
        (group.account_code, group.dimensions, group.debit, group.credit, group.line_count)
        for group in made.breakdown.groups()
    ]


def test_each_dimension_sums_to_the_whole() -> None:
    """Lines without it are counted too, as such."""
    made = Made(xledger_document(), members(*CLAIMS))
    whole = sum(cents(row["Debit"]) for row in made.rows("Accounts"))

    rows = made.rows("Dimensions")
    assert {row["Dimension"] for row in rows} == {"department", "project"}
    for name in ("department", "project"):
        assert sum(cents(row["Debit"]) for row in rows if row["Dimension"] == name) == whole
    assert {row["Value"] for row in rows if row["Dimension"] == "project"} == {"(none)"}


def test_claimants_are_told_apart_by_number_and_name() -> None:
    made = Made(xledger_document(), members(*CLAIMS))

    assert [
        (row["Claimant no."], row["Claimant"], row["Claims"], row["Vouchers"], cents(row["Amount"]))
        for row in made.rows("Claimants")
    ] == [
        ("10024", "Kari Nordmann", 1, 1, Decimal("650.00")),
        ("10023", "Åse Ødegård", 4, 4, Decimal("1000000001287.89")),
    ]


def test_claims_that_share_a_voucher_number_are_one_voucher_of_their_claimant() -> None:
    """A claim is no voucher: vouchers are counted by their number."""
    made = Made(xledger_document(), members(claim(1), claim(2), voucher_number=1001))

    [row] = made.rows("Claimants")
    assert (row["Claims"], row["Vouchers"]) == (2, 1)


def test_a_journal_line_says_what_the_file_says() -> None:
    made = Made(dynamics_document(), members(claim(1)))

    first, _, owed = made.rows("Vouchers")
    assert first["Posting date"].date() == date(2026, 10, 5)
    assert first["Document date"].date() == date(2026, 9, 30)
    assert {name: first[name] for name in ("Voucher", "Number in the file", "Kind", "Claim")} == {
        "Voucher": "1001",
        "Number in the file": "HLF26-001001",
        "Kind": "Entry",
        "Claim": "2026-0001",
    }
    assert (first["Account"], first["department"], first["Text"]) == (
        "7100",
        "410",
        "2026-0001 Tromsø-Alta",
    )
    assert (cents(first["Debit"]), first["Credit"]) == (Decimal("530.00"), None)
    assert (owed["Debit"], cents(owed["Credit"])) == (None, Decimal("650.00"))


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "+4712345678", "-2"])
def test_a_claimants_text_is_never_a_formula(text: str) -> None:
    """Name, number and description come from people."""
    hostile = claim(1, claimant={"name": text, "number": "1"}, purpose=text)
    made = Made(dynamics_document(), members(hostile), left_out=[LEFT_OUT._replace(note=text)])

    cells = [cell for sheet in made.book for row in sheet.iter_rows() for cell in row]
    assert {cell.data_type for cell in cells if cell.value == text} == {"s"}
    assert not [cell for cell in cells if cell.data_type == "f"]


def test_left_out_claims_stand_with_their_reasons() -> None:
    made = Made(xledger_document(), members(claim(1)), NORWEGIAN, [LEFT_OUT])

    [row] = made.rows("Utelatt")
    assert (row["Krav"], row["Hvorfor"], row["Hva må gjøres"], row["Felt"]) == LEFT_OUT[:4]
    assert made.facts()["Utelatte krav"] == 1


def test_a_large_file_is_told_voucher_by_voucher() -> None:
    """One line too many, and the page has a row per voucher and the summary says so."""
    lines, vouchers = (
        Made(xledger_document(), members(*CLAIMS), line_count=MOST_LINES + more) for more in (0, 1)
    )

    rows = vouchers.rows("Vouchers")
    assert [row["Voucher"] for row in rows] == ["1001", "1002", "1003", "1004", "1005"]
    assert [row["Claims"] for row in rows] == [f"2026-{number:04}" for number in range(1, 6)]
    assert (rows[1]["Claimant"], rows[1]["Number in the file"]) == ("Kari Nordmann", "1002")
    assert rows[0]["Posting date"].date() == date(2026, 10, 5)
    of_voucher = told(lines.rows("Vouchers"), "Voucher", "Currency")
    assert told(rows, "Voucher", "Currency") == of_voucher
    sentence = "The file has 13 journal lines. The page Vouchers therefore has one row per voucher, not per line."
    assert sentence in vouchers.facts()
    assert sentence not in lines.facts()


def test_claims_that_share_a_voucher_are_one_row_of_a_large_file() -> None:
    others = {"claimant": {"name": "Kari Nordmann", "number": "10024"}}
    alike, mixed = (
        Made(
            xledger_document(),
            members(claim(1), claim(2), claim(3, **last), voucher_number=1001),
            line_count=MOST_LINES + 1,
        )
        for last in ({}, others)
    )

    [row] = alike.rows("Vouchers")
    assert (row["Claims"], row["Claimant"]) == ("2026-0001 ... 2026-0003 (3)", "Åse Ødegård")
    assert (cents(row["Debit"]), cents(row["Credit"])) == (Decimal(1950), Decimal(1950))
    assert [row["Claimant"] for row in mixed.rows("Vouchers")] == ["(several)"]


def test_what_is_beyond_the_longest_page_is_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Per currency; the sums and counts of the page and the summary are whole."""
    monkeypatch.setattr(verification_sheet, "_MOST_VOUCHERS", 2)
    monkeypatch.setattr(verification_sheet, "_MOST_LEFT_OUT", 1)
    left_out = [LEFT_OUT, LEFT_OUT, LEFT_OUT._replace(currency="EUR"), LEFT_OUT]

    made = Made(xledger_document(), members(*CLAIMS), left_out=left_out, line_count=MOST_LINES + 1)

    rows = made.rows("Vouchers")
    assert [row["Voucher"] for row in rows] == ["1001", "1002", "(others)"]
    assert sum(cents(row["Debit"]) for row in rows) == made.sides["NOK"].debit
    assert sum(cents(row["Credit"]) for row in rows) == made.sides["NOK"].credit
    assert [(row["Claim"], row["Amount"], row["Currency"]) for row in made.rows("Left out")] == [
        ("2026-0099", 5, "NOK"),
        ("(others)", 5, "EUR"),
        ("(others)", 10, "NOK"),
    ]
    assert made.facts()["Claims left out"] == 4


def test_the_summary_names_file_hash_who_and_when() -> None:
    facts = Made(xledger_document(), members(claim(1))).facts()

    assert facts["SHA-256"] == "a" * 64
    assert facts["File"] == "xledger-2026-10-06-00007.csv"
    assert facts["Triggered by"] == "Kåre Åsen"
    assert facts["Completed"] == "2026-10-06 12:00:00 (Europe/Oslo)"
    assert facts["Approved in the period"] == "from the beginning - 2026-10-31"
    assert (facts["Claims in the file"], facts["Vouchers"], facts["Journal lines"]) == (1, 1, 3)
    assert facts["Layout"] == "xledger_gl02b v1"


def test_what_was_altered_is_said() -> None:
    long = one_line_claim(1, description="x" * 200)
    sheet = Made(xledger_document(), members(long)).book["Summary"]

    said = [row[0] for row in sheet.iter_rows(values_only=True)]
    assert "1 text(s) were shortened in Text, first in claim 2026-0001." in said


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (NORWEGIAN, ["Sammendrag", "Kontoer", "Dimensjoner", "Personer", "Bilag", "Utelatt"]),
        (ENGLISH, ["Summary", "Accounts", "Dimensions", "Claimants", "Vouchers", "Left out"]),
    ],
)
def test_pages_stand_in_reading_order(words: SheetWords, names: list[str]) -> None:
    assert Made(xledger_document(), members(claim(1)), words).book.sheetnames == names


def test_both_languages_say_the_same_notices() -> None:
    assert NORWEGIAN.notices.keys() == ENGLISH.notices.keys()


def test_the_same_run_gives_the_same_bytes() -> None:
    first, second = (Made(xledger_document(), members(*CLAIMS)) for _ in range(2))

    assert first.bytes == second.bytes


def test_the_manifest_names_format_counts_and_hash() -> None:
    """All that a receiver compares (F12)."""
    told_by = Made(xledger_document(), members(*CLAIMS)).manifest

    assert told_by["file_sha256"] == "a" * 64
    assert (told_by["format"], told_by["layout"], told_by["layout_version"]) == (
        "xledger_gl02b",
        "xledger_gl02b",
        1,
    )
    assert (told_by["claim_count"], told_by["voucher_count"], told_by["row_count"]) == (5, 5, 13)
    assert (told_by["run_number"], told_by["run_id"]) == (7, str(UUID(int=1)))
    assert told_by["totals"] == {"NOK": "1000000001937.89"}


def test_memory_does_not_grow_with_the_run() -> None:
    """Ten times the vouchers take no more memory while they are written."""
    assert _peak(5_000) < _peak(500) + 300_000


def _peak(count: int) -> int:
    renderer_sheet = VerificationSheet(lambda _: None, ENGLISH, ("department",), line_count=count)
    renderer = RunRenderer(
        FrozenConfiguration.from_document(xledger_document()), RUN, observe=renderer_sheet.add
    )
    run_members = (
        members(claim(1))[0].model_copy(update={"position": n + 1}) for n in range(count)
    )
    tracemalloc.start()
    for member in run_members:
        renderer.render([member])
    renderer_sheet.leave_out([])
    renderer_sheet.finish(replace(FACTS, run_number=count), renderer.summary(), renderer.notices())
    renderer_sheet.discard()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak
