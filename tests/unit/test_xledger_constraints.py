"""Acceptance of Xledger files, constraint by constraint; every file is read without our code."""

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import pytest

from exporters.problem import ConfigurationInvalid
from exporters.registry import configuration_problems
from tests.golden.case import FOLDER
from tests.unit.claim_factory import (
    Document,
    claim,
    claim_line,
    member,
    members,
    one_line_claim,
    posting_rules,
    render,
    render_claims,
    xledger_document,
)

Record = list[str]

# Field numbers as Xledger's documentation counts them, from 1.
ENTITY, VOUCHER_TYPE, VOUCHER_NO, FISCAL_YEAR, PERIOD, VOUCHER_DATE, ACCOUNT = range(3, 10)
POSTING_1, POSTING_2 = 11, 12
SUBLEDGER, INVOICE_DATE, INVOICE_NO, DUE_DATE, TEXT, TAX_RULE = 21, 23, 24, 26, 29, 30
CURRENCY, CURRENCY_AMOUNT, AMOUNT, END = 31, 32, 33, 61
NUMERIC = (VOUCHER_NO, FISCAL_YEAR, PERIOD, VOUCHER_DATE, INVOICE_DATE, DUE_DATE, AMOUNT)

HOSTILE = 'a;b\r\nc\td"e\x00f\x85g\u2028h ø'


def records(data: bytes, encoding: str = "utf-8", line_end: bytes = b"\r\n") -> list[Record]:
    """Split a file into records and fields, with nothing but the separators."""
    return [line.decode(encoding).split(";") for line in data.split(line_end)]


def field(record: Record, number: int) -> str:
    """Give a field by its number in the documentation."""
    return record[number - 1]


def vouchers(rows: Sequence[Record]) -> dict[tuple[str, str, str], list[Record]]:
    """Group the records by entity, voucher type and voucher number."""
    grouped: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for row in rows:
        grouped[field(row, ENTITY), field(row, VOUCHER_TYPE), field(row, VOUCHER_NO)].append(row)
    return grouped


def _generated() -> list[Record]:
    configuration = xledger_document(settings={"due_days": 14})
    entries = members(
        claim(1),
        claim(2, purpose=HOSTILE, claimant={"name": HOSTILE, "number": "7"}),
        one_line_claim(3, description=HOSTILE * 20, total="999999999999.99"),
        one_line_claim(4, total="-0.01"),
        claim(5, dimensions={"department": "410", "project": "P12"}),
    )
    reversal = member(claim(1), 6, kind="reversal")
    rendered = render(configuration, [[*entries, reversal]])
    assert rendered.left_out == []
    return records(rendered.data)


def _golden(name: str, encoding: str = "utf-8", line_end: bytes = b"\r\n") -> list[Record]:
    return records((FOLDER / "xledger" / f"{name}.csv").read_bytes(), encoding, line_end)


FILES = {
    "generated": _generated(),
    "one_claim": _golden("one_claim"),
    "reversals": _golden("entries_reversals_credits"),
    "hostile": _golden("left_out_and_hostile_text"),
    # The first line is the header.
    "windows": _golden("windows_1252_header_lf_tax", "cp1252", b"\n")[1:],
}

ROWS = pytest.mark.parametrize("rows", FILES.values(), ids=FILES.keys())


@ROWS
def test_xc01_every_record_has_61_fields(rows: list[Record]) -> None:
    """Every record has exactly 61 fields."""
    assert {len(row) for row in rows} == {61}


@ROWS
def test_xc02_field_61_is_the_end_marker(rows: list[Record]) -> None:
    """Field 61 is x on every record."""
    assert {field(row, END) for row in rows} == {"x"}


@ROWS
def test_xc03_no_field_holds_a_separator_a_break_or_a_quote(rows: list[Record]) -> None:
    """No field holds a separator, line break, tab, NUL, double quote or other control character."""
    assert not [cell for row in rows for cell in row if re.search(r'[;"\x00-\x1f\x7f-\x9f]', cell)]


def test_xc03_hostile_text_becomes_words_with_spaces() -> None:
    """What the format forbids in a text becomes one space, and the words stay."""
    row = records(render_claims(xledger_document(), one_line_claim(description=HOSTILE)).data)[0]

    assert field(row, TEXT) == "2026-0001 a b c d e f g h ø"


def test_xc03_a_code_is_never_altered() -> None:
    """A separator in a code leaves the claim out, because another code would be another account."""
    rendered = render_claims(xledger_document(), claim(dimensions={"department": "41;0"}))

    assert rendered.codes == ["forbidden_character"]
    assert rendered.data == b""


@ROWS
def test_xc04_the_unknown_fields_are_empty(rows: list[Record]) -> None:
    """Fields 13 to 20 and 34 to 60 are empty."""
    unknown = [*range(13, 21), *range(34, 61)]

    assert {field(row, number) for row in rows for number in unknown} == {""}


@pytest.mark.parametrize("entity", ["12345", "9", "NO-77"])
def test_xc05_every_record_has_the_configured_entity(entity: str) -> None:
    """Field 3 is the configured entity code on every record."""
    configuration = xledger_document(settings={"entity_code": entity})

    rows = records(render_claims(configuration, claim(1), claim(2)).data)

    assert {field(row, ENTITY) for row in rows} == {entity}


@pytest.mark.parametrize("entity", ["", " ", "12;3", "1\n2", "😀", None])
def test_xc05_an_unusable_entity_is_refused_before_any_claim(entity: str | None) -> None:
    """An entity code that cannot stand in the file is a fault of the configuration."""
    problems = configuration_problems(xledger_document(settings={"entity_code": entity}))

    assert {problem.field for problem in problems} == {"settings.entity_code"}


def test_xc05_the_entity_has_no_default() -> None:
    """Without an entity code nothing is exported."""
    configuration = xledger_document()
    del configuration["settings"]["entity_code"]

    assert [(p.code, p.field) for p in configuration_problems(configuration)] == [
        ("setting_missing", "settings.entity_code"),
    ]


@pytest.mark.parametrize("voucher_type", ["GL", "AR", "LG", "12345678"])
def test_xc06_every_record_has_the_configured_voucher_type(voucher_type: str) -> None:
    """Field 4 is the configured voucher type."""
    settings = {"voucher_type": voucher_type, "voucher_types": [voucher_type, "SO"]}

    rows = records(render_claims(xledger_document(settings=settings), claim()).data)

    assert {field(row, VOUCHER_TYPE) for row in rows} == {voucher_type}


@pytest.mark.parametrize(
    "settings",
    [
        {"voucher_type": "123456789"},
        {"voucher_type": ""},
        {"voucher_type": "GL", "voucher_types": ["AR"]},
    ],
)
def test_xc06_a_voucher_type_that_is_too_long_or_not_allowed_is_refused(settings: Document) -> None:
    """A voucher type has 1 to 8 characters and is one of the tenant's."""
    problems = configuration_problems(xledger_document(settings=settings))

    assert [problem.field for problem in problems] == ["settings.voucher_type"]


@ROWS
def test_xc07_the_voucher_number_is_a_positive_integer(rows: list[Record]) -> None:
    """Field 5 is a whole number of at most eight digits without leading zeros."""
    assert all(re.fullmatch(r"[1-9][0-9]{0,7}", field(row, VOUCHER_NO)) for row in rows)


def test_xc07_a_voucher_number_of_nine_digits_is_left_out() -> None:
    """The widest voucher number has eight digits; the next claim is left out."""
    widest = member(claim(1), 1, voucher_number=99_999_999)
    too_wide = member(claim(2), 2, voucher_number=100_000_000)

    rendered = render(xledger_document(), [[widest, too_wide]])

    assert rendered.codes == ["value_too_long"]
    assert {field(row, VOUCHER_NO) for row in records(rendered.data)} == {"99999999"}


@ROWS
def test_xc08_fiscal_year_and_period_are_left_to_xledger(rows: list[Record]) -> None:
    """Fields 6 and 7 are empty, so Xledger derives them from the date."""
    assert {(field(row, FISCAL_YEAR), field(row, PERIOD)) for row in rows} == {("", "")}


def test_xc08_a_layout_may_fill_fiscal_year_and_period() -> None:
    """A layout that shows them writes the year and the month of the voucher date."""
    configuration = xledger_document(layout=_layout_with(6, "voucher.fiscal_year"))

    rows = records(render_claims(configuration, claim()).data)

    assert all(field(row, FISCAL_YEAR) == field(row, VOUCHER_DATE)[:4] for row in rows)


@ROWS
def test_xc09_dates_are_calendar_dates_of_eight_digits(rows: list[Record]) -> None:
    """Fields 8, 23 and 26 are real dates as yyyymmdd where filled, and field 8 always is."""
    for row in rows:
        assert field(row, VOUCHER_DATE)
        for number in (VOUCHER_DATE, INVOICE_DATE, DUE_DATE):
            if field(row, number):
                assert re.fullmatch(r"[0-9]{8}", field(row, number))
                date.fromisoformat(field(row, number))


def test_xc09_an_impossible_date_is_left_out() -> None:
    """A claim with the 30th of February is left out."""
    rendered = render_claims(xledger_document(), one_line_claim(expense_date="2026-02-30"))

    assert rendered.codes == ["document_invalid"]


@ROWS
def test_xc10_the_amount_has_two_decimals_and_is_never_zero(rows: list[Record]) -> None:
    """Field 33 has a minus or nothing, 1 to 12 digits, a period and two digits; never -0.00."""
    for row in rows:
        assert re.fullmatch(r"-?[0-9]{1,12}[.][0-9]{2}", field(row, AMOUNT))
        assert Decimal(field(row, AMOUNT)) != 0


@pytest.mark.parametrize("amount", ["1.001", "0.005", "1234567890123.00"])
def test_xc10_an_amount_that_is_not_exact_is_left_out(amount: str) -> None:
    """An amount is never rounded: one that needs it leaves the claim out."""
    assert render_claims(xledger_document(), one_line_claim(total=amount)).codes == [
        "amount_not_exact",
    ]


@pytest.mark.parametrize("amount", ["1", "1.5", "1.50", "0.10", "100000"])
def test_xc10_every_exact_form_is_written_with_two_decimals(amount: str) -> None:
    """However the database writes an exact amount, the file has two decimals."""
    row = records(render_claims(xledger_document(), one_line_claim(total=amount)).data)[0]

    assert field(row, AMOUNT) == f"{Decimal(amount):.2f}"


@ROWS
def test_xc11_numeric_fields_hold_digits_sign_and_period_only(rows: list[Record]) -> None:
    """No comma, space, exponent or currency sign is in any numeric field."""
    cells = {field(row, number) for row in rows for number in NUMERIC}

    assert all(re.fullmatch(r"-?[0-9.]*", cell) for cell in cells)


@ROWS
def test_xc12_every_voucher_sums_to_zero(rows: list[Record]) -> None:
    """The amounts of each entity, voucher type and voucher number sum to exactly zero."""
    for lines in vouchers(rows).values():
        assert sum(Decimal(field(line, AMOUNT)) for line in lines) == 0


@ROWS
def test_xc13_a_voucher_has_two_lines_or_more(rows: list[Record]) -> None:
    """Every voucher has at least two lines and none of zero."""
    for lines in vouchers(rows).values():
        assert len(lines) >= 2
        assert all(Decimal(field(line, AMOUNT)) for line in lines)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (claim(lines=[], total="0.00"), "no_lines"),
        (one_line_claim(total="0.00"), "zero_amount_line"),
        (
            claim(lines=[claim_line(), claim_line(2, amount="-530.00")], total="0.00"),
            "zero_total",
        ),
    ],
)
def test_xc13_a_claim_that_makes_a_zero_line_is_left_out(document: Document, code: str) -> None:
    """No claim lines, a line of zero, or a total of zero leaves the claim out."""
    assert render_claims(xledger_document(), document).codes == [code]


@ROWS
def test_xc14_the_lines_of_a_voucher_agree_and_are_together(rows: list[Record]) -> None:
    """The lines of a voucher share entity, type, date, year and period, one after the other."""
    shared = (ENTITY, VOUCHER_TYPE, VOUCHER_NO, VOUCHER_DATE, FISCAL_YEAR, PERIOD)
    heads = [tuple(field(row, number) for number in shared) for row in rows]
    runs = [head for place, head in enumerate(heads) if place == 0 or heads[place - 1] != head]

    assert len(runs) == len(vouchers(rows))


def test_xc15_an_entry_debits_expenses_and_credits_the_claimant() -> None:
    """Expense lines are positive and the payable line is negative."""
    rows = FILES["one_claim"]

    assert [(field(row, ACCOUNT), field(row, AMOUNT)) for row in rows] == [
        ("7100", "530.00"),
        ("7130", "120.00"),
        ("2990", "-650.00"),
    ]


def test_xc15_a_reversal_changes_every_sign_and_names_the_claim() -> None:
    """A reversal has the entry's lines with opposite signs and the same claim number."""
    entry = records(render_claims(xledger_document(), claim()).data)
    reversal = records(render_claims(xledger_document(), claim(), kind="reversal").data)

    assert [Decimal(field(row, AMOUNT)) for row in reversal] == [
        -Decimal(field(row, AMOUNT)) for row in entry
    ]
    for before, after in zip(entry, reversal, strict=True):
        assert field(before, ACCOUNT) == field(after, ACCOUNT)
        assert field(before, INVOICE_NO) == field(after, INVOICE_NO) == "2026-0001"
        assert "2026-0001" in field(after, TEXT)


@ROWS
def test_xc16_the_import_label_and_reference_fit(rows: list[Record]) -> None:
    """Fields 1 and 2 have at most 25 characters."""
    assert all(len(field(row, number)) <= 25 for row in rows for number in (1, 2))


def test_xc16_a_longer_import_label_is_refused() -> None:
    """A label of 26 characters is a fault of the configuration."""
    problems = configuration_problems(xledger_document(settings={"import_system": "x" * 26}))

    assert [problem.field for problem in problems] == ["settings.import_system"]


@ROWS
def test_xc17_every_record_has_its_claim_number(rows: list[Record]) -> None:
    """Field 24 is filled, at most 25 characters, and one claim number per voucher."""
    for lines in vouchers(rows).values():
        assert len({field(line, INVOICE_NO) for line in lines}) == 1
    assert all(1 <= len(field(row, INVOICE_NO)) <= 25 for row in rows)


def test_xc17_a_longer_claim_number_is_left_out() -> None:
    """A claim number is an identity, so it is never shortened."""
    document = claim(claim_number="N" * 26)

    assert render_claims(xledger_document(), document).codes == ["value_too_long"]


@ROWS
def test_xc18_the_text_fits_and_names_the_claim(rows: list[Record]) -> None:
    """Field 29 is filled, at most 100 characters, and holds the claim number."""
    assert all(1 <= len(field(row, TEXT)) <= 100 for row in rows)
    assert all(field(row, INVOICE_NO) in field(row, TEXT) for row in rows)


@pytest.mark.parametrize("length", range(85, 105))
def test_xc18_shortening_never_cuts_a_character(length: int) -> None:
    """A text that is cut keeps whole characters, with the marks that belong to them."""
    document = one_line_claim(description="x" * length + "q\u0323q\u0323")
    configuration = xledger_document(layout=_layout_with_dialect(also_encodable_in=[]))

    text = field(records(render_claims(configuration, document).data)[0], TEXT)

    assert len(text) <= 100
    assert text.startswith("2026-0001 x")
    assert re.sub("q\u0323", "", text).count("q") == 0


@pytest.mark.parametrize("template", ["{description}", "{description} {claim_number}", "y" * 80])
@pytest.mark.parametrize("name", ["line_text", "payable_text"])
def test_xc18_a_text_that_could_lose_the_claim_number_is_refused(template: str, name: str) -> None:
    """A text setting must put the claim number where shortening cannot reach it."""
    if name == "payable_text":
        template = template.replace("description", "purpose")
    problems = configuration_problems(xledger_document(settings={name: template}))

    assert [problem.field for problem in problems] == [f"settings.{name}"]


@pytest.mark.parametrize(
    ("settings", "codes"),
    [
        ({"accounts": ["7100", "7130", "2990"]}, []),
        ({"accounts": ["7100", "2990"]}, ["account_not_allowed"]),
        ({"account_digits": 4}, []),
        ({"account_digits": 5}, ["account_not_allowed"]),
        ({"account_digits": None}, []),
    ],
)
def test_xc19_accounts_are_the_tenants(settings: Document, codes: list[str]) -> None:
    """An account that the tenant does not have, or of another length, leaves the claim out."""
    assert render_claims(xledger_document(settings=settings), claim()).codes == codes


def test_xc20_only_the_control_account_carries_the_claimant() -> None:
    """Field 21 is the claimant's number on the payable line and empty on the expense lines."""
    rows = FILES["one_claim"]

    assert [field(row, SUBLEDGER) for row in rows] == ["", "", "10023"]


@pytest.mark.parametrize(
    ("control_accounts", "subledger", "codes"),
    [
        (["2990"], "claimant", []),
        (["2990"], "none", ["subledger_missing"]),
        (["2910"], "claimant", ["subledger_not_allowed"]),
    ],
)
def test_xc20_control_accounts_decide_when_they_are_listed(
    control_accounts: list[str],
    subledger: str,
    codes: list[str],
) -> None:
    """A listed control account must carry the claimant, and any other account must not."""
    configuration = xledger_document(
        settings={"control_accounts": control_accounts},
        posting_rules=posting_rules(subledger=subledger),
    )

    assert render_claims(configuration, claim()).codes == codes


def test_xc20_a_number_is_needed_and_has_nine_characters() -> None:
    """A claimant without a number, or with one of ten characters, is left out."""
    missing = claim(1, claimant={"name": "Kari", "number": None})
    too_long = claim(2, claimant={"name": "Kari", "number": "1234567890"})

    rendered = render_claims(xledger_document(), missing, too_long)

    assert rendered.codes == ["missing_claimant_number", "value_too_long"]
    assert [entry.field for entry in rendered.left_out] == ["claimant.number"] * 2


def test_xc20_a_tenant_may_widen_the_number() -> None:
    """The width of field 21 is the layout's, so a tenant can change it."""
    configuration = xledger_document(layout=_layout_with(21, "line.subledger_number", 12))
    document = claim(claimant={"name": "Kari", "number": "1234567890"})

    assert render_claims(configuration, document).left_out == []


@pytest.mark.parametrize(
    ("settings", "codes"),
    [
        ({"dimension_values": {"department": ["410"]}}, []),
        ({"dimension_values": {"department": ["420"]}}, ["dimension_not_allowed"]),
        ({"required_dimensions": {"7100": ["department"]}}, []),
        ({"required_dimensions": {"7100": ["project"]}}, ["dimension_missing"]),
        ({"required_dimensions": {"2990": ["department"]}}, ["dimension_missing"]),
    ],
)
def test_xc21_dimensions_are_the_tenants(settings: Document, codes: list[str]) -> None:
    """A dimension that an account needs must be there, and its code must be the tenant's."""
    assert render_claims(xledger_document(settings=settings), claim()).codes == codes


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (["department", "project"], ("410", "P1")),
        (["project", "department"], ("P1", "410")),
        (["project"], ("P1", "")),
        (["region", "project"], ("", "P1")),
    ],
)
def test_xc21_the_tenant_orders_its_dimensions(order: list[str], expected: tuple[str, str]) -> None:
    """Fields 11 and 12 are the first and second dimension of the setting."""
    configuration = xledger_document(settings={"dimension_order": order})
    document = one_line_claim(dimensions={"project": "P1"})

    row = records(render_claims(configuration, document).data)[0]

    assert (field(row, POSTING_1), field(row, POSTING_2)) == expected


@pytest.mark.parametrize(
    ("settings", "tax_code", "codes"),
    [
        ({"tax_policy": "empty"}, None, []),
        ({"tax_policy": "empty"}, "29", ["tax_code_not_allowed"]),
        ({"tax_policy": "explicit"}, None, ["tax_code_missing"]),
        ({"tax_policy": "explicit"}, "29", []),
        ({"tax_policy": "explicit", "tax_codes": ["29"]}, "29", []),
        ({"tax_policy": "explicit", "tax_codes": ["2N"]}, "29", ["tax_code_not_allowed"]),
    ],
)
def test_xc22_tax_rules_are_all_empty_or_all_explicit(
    settings: Document,
    tax_code: str | None,
    codes: list[str],
) -> None:
    """The tenant's policy holds for every expense line; the two are never mixed."""
    configuration = xledger_document(
        settings=settings,
        posting_rules=posting_rules(subledger="claimant", tax_code=tax_code),
    )

    rendered = render_claims(configuration, claim())

    assert rendered.codes == codes
    if not codes:
        rows = records(rendered.data)
        assert [field(row, TAX_RULE) for row in rows] == [tax_code or "", tax_code or "", ""]


@ROWS
def test_xc23_the_currency_fields_are_empty(rows: list[Record]) -> None:
    """Fields 31 and 32 are empty, so every amount is in the entity's own currency."""
    assert {(field(row, CURRENCY), field(row, CURRENCY_AMOUNT)) for row in rows} == {("", "")}


def test_xc23_a_claim_in_another_currency_is_left_out() -> None:
    """A claim in euro is left out of an entity in kroner."""
    assert render_claims(xledger_document(), claim(currency="EUR")).codes == [
        "currency_not_supported",
    ]


@pytest.mark.parametrize(
    ("setting", "codec"),
    [("utf-8", "utf-8"), ("windows-1252", "cp1252"), ("iso-8859-1", "latin-1")],
)
def test_xc24_the_file_decodes_strictly_in_the_configured_encoding(
    setting: str,
    codec: str,
) -> None:
    """The bytes decode strictly, without a byte order mark, and æøåÆØÅ survive."""
    configuration = xledger_document(settings={"encoding": setting})

    data = render_claims(configuration, one_line_claim(description="æøåÆØÅ")).data

    assert not data.startswith(b"\xef\xbb\xbf")
    assert field(records(data, codec)[0], TEXT) == "2026-0001 æøåÆØÅ"


@pytest.mark.parametrize(
    ("text", "setting"),
    [("🚕", "utf-8"), ("Ł", "utf-8"), ("\u202e", "utf-8"), ("\u2013", "iso-8859-1")],
)
def test_xc24_a_character_that_windows_1252_lacks_is_left_out(text: str, setting: str) -> None:
    """Such a claim is left out by name of its field, never written with a question mark."""
    configuration = xledger_document(settings={"encoding": setting})

    rendered = render_claims(configuration, one_line_claim(description=f"Taxi {text}"), claim(2))

    assert [(entry.claim_number, entry.code, entry.field) for entry in rendered.left_out] == [
        ("2026-0001", "text_not_encodable", "lines[1].description"),
    ]
    assert b"?" not in rendered.data
    assert b"2026-0002" in rendered.data


@pytest.mark.parametrize(("setting", "line_end"), [("crlf", b"\r\n"), ("lf", b"\n")])
def test_xc25_line_ends_stand_between_records_only(setting: str, line_end: bytes) -> None:
    """The configured line end is used throughout, with no empty line and none after the last."""
    configuration = xledger_document(settings={"line_end": setting})
    one, two = members(claim(1), claim(2))

    data = render(configuration, [[one], [], [two]]).data

    assert data.count(line_end) == 5
    assert data.count(b"\n") == 5
    assert data.endswith(b";x")
    assert all(data.split(line_end))


@pytest.mark.parametrize(
    ("settings", "header"),
    [
        ({}, None),
        ({"header": "none"}, None),
        ({"header": "text", "header_text": "Åpning;b"}, "Åpning;b"),
        ({"header": "names"}, "ImpSystem;ImpSystemRef;Entity;VoucherType;VoucherNo;"),
    ],
)
def test_xc26_the_header_is_the_configured_one_or_absent(
    settings: Document,
    header: str | None,
) -> None:
    """The first line is the configured header, or data."""
    data = render_claims(xledger_document(settings=settings), claim()).data
    first, _, rest = data.partition(b"\r\n")

    if header is None:
        assert first.endswith(b";530.00;;;;;;;;;;;;;;;;;;;;;;;;;;;;x")
    else:
        assert first.decode().startswith(header)
        assert rest == render_claims(xledger_document(), claim()).data


def test_xc26_a_header_text_goes_with_its_setting() -> None:
    """A header text without the header setting, or the reverse, is refused."""
    for settings in ({"header_text": "a"}, {"header": "text"}):
        assert configuration_problems(xledger_document(settings=settings))


@pytest.mark.parametrize("header", ["none", "names"])
def test_xc27_no_claims_give_no_file(header: str) -> None:
    """Without a claim there is not one byte, not even a header."""
    configuration = xledger_document(settings={"header": header})

    empty = render(configuration, [[], []])
    all_left_out = render_claims(configuration, claim(currency="EUR"))

    assert empty.data == all_left_out.data == b""
    assert empty.renderer.summary().claim_count == 0
    assert all_left_out.renderer.summary().claim_count == 0


def test_xc28_the_same_input_gives_the_same_bytes() -> None:
    """Two renderings agree, whatever order a claim's lines came in."""
    lines = claim()["lines"]
    forwards = render_claims(xledger_document(), claim(lines=lines))
    backwards = render_claims(xledger_document(), claim(lines=lines[::-1]))

    assert forwards.data == render_claims(xledger_document(), claim()).data
    assert forwards.data == backwards.data


@ROWS
def test_xc28_records_are_in_order_of_voucher_with_the_payable_last(rows: list[Record]) -> None:
    """Voucher numbers never fall, and the payable line closes each voucher."""
    numbers = [int(field(row, VOUCHER_NO)) for row in rows]

    assert numbers == sorted(numbers)
    for lines in vouchers(rows).values():
        assert [field(line, ACCOUNT) == "2990" for line in lines] == [
            *[False] * (len(lines) - 1),
            True,
        ]


def _layout_with(number: int, path: str, max_length: int | None = None) -> Document:
    layout = render(xledger_document(), []).renderer.layout
    assert isinstance(layout["columns"], list)
    column = layout["columns"][number - 1]
    column["source"] = {"kind": "path", "path": path}
    column["max_length"] = max_length
    column["type"] = "integer" if path == "voucher.fiscal_year" else "code"
    return layout


def _layout_with_dialect(**changes: object) -> Document:
    layout = render(xledger_document(), []).renderer.layout
    assert isinstance(layout["dialect"], dict)
    return {**layout, "dialect": {**layout["dialect"], **changes}}


def test_an_invalid_configuration_names_every_problem() -> None:
    """A configuration with several faults is refused with all of them."""
    settings = {"entity_code": 5, "voucher_typ": "GL", "posting_date": "today"}

    with pytest.raises(ConfigurationInvalid) as invalid:
        render(xledger_document(settings=settings), [])

    assert {problem.field for problem in invalid.value.problems} == {
        "settings.entity_code",
        "settings.voucher_typ",
        "settings.posting_date",
    }
