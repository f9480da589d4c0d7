"""What a layout can say beyond paths and constants, each seen in the bytes of a file."""

import csv
import io
from typing import Any

import pytest

from exporters.registry import configuration_problems
from tests.unit.claim_factory import (
    Document,
    claim,
    claim_line,
    dynamics_document,
    one_line_claim,
    posting_rules,
    render_claims,
)

# What every layout needs: account, date, amount, voucher number and claim number.
NEEDED: list[Document] = [
    {"name": "Konto", "source": {"kind": "path", "path": "line.account_code"}, "type": "code"},
    {
        "name": "Dato",
        "source": {"kind": "path", "path": "voucher.posting_date"},
        "type": "date",
        "format": "yyyymmdd",
    },
    {"name": "Belop", "source": {"kind": "path", "path": "line.amount"}, "type": "amount"},
    {"name": "Bilag", "source": {"kind": "path", "path": "voucher.number"}, "type": "integer"},
    {"name": "Krav", "source": {"kind": "path", "path": "claim.claim_number"}, "type": "code"},
]


def path(name: str) -> Document:
    return {"kind": "path", "path": name}


def layout(*columns: Document, without: str | None = None, **dialect: object) -> Document:
    """Make a layout whose own columns come first."""
    return {
        "name": "own",
        "version": 1,
        "dialect": {
            "delimiter": ";",
            "quoting": "none",
            "header": {"kind": "none"},
            "encoding": "utf-8",
            "bom": False,
            "line_end": "lf",
            "final_newline": True,
            "decimal_mark": ".",
            **dialect,
        },
        "columns": [*columns, *(column for column in NEEDED if column["name"] != without)],
    }


def text(document: Document, *claims: Document, left_out: int = 0) -> str:
    """Render claims in a layout and read the file as an editor would."""
    rendered = render_claims(dynamics_document(layout=document), *(claims or (claim(),)))
    assert len(rendered.left_out) == left_out
    return rendered.data.decode()


def cells(source: Document, *claims: Document, type: str = "text", **column: object) -> list[str]:  # noqa: A002 - the column's own word
    """Give one column of the file, line by line."""
    own = {"name": "Egen", "source": source, "type": type, **column}
    return [line.split(";")[0] for line in text(layout(own), *claims).splitlines()]


def reasons(document: Document) -> list[tuple[str, str]]:
    problems = configuration_problems(dynamics_document(layout=document))
    return [(problem.field, problem.message) for problem in problems]


def test_parts_are_joined_where_they_are_not_empty() -> None:
    source = {
        "kind": "concatenate",
        "separator": "-",
        "parts": [
            path("line.expense_type"),
            {"kind": "constant", "value": "HLF"},
            path("voucher.fiscal_year"),
        ],
    }

    assert cells(source) == ["mileage-HLF-2026", "toll-HLF-2026", "HLF-2026"]


def test_a_table_translates_a_code() -> None:
    table = {"mileage": "KM", "toll": "BOM"}
    look_up = {"kind": "look_up", "source": path("line.expense_type"), "table": table}

    assert cells(look_up) == ["KM", "BOM", ""], "the payable line has no expense type"


@pytest.mark.parametrize(("otherwise", "shown"), [("keep", "toll"), ("empty", "")])
def test_a_table_says_what_becomes_of_what_it_lacks(otherwise: str, shown: str) -> None:
    table = {"mileage": "KM"}
    source = {
        "kind": "look_up",
        "source": path("line.expense_type"),
        "table": table,
        "otherwise": otherwise,
    }

    assert cells(source) == ["KM", shown, ""]


def test_what_a_table_lacks_leaves_the_claim_out_unless_told_otherwise() -> None:
    own = {
        "name": "Egen",
        "source": {
            "kind": "look_up",
            "source": path("line.expense_type"),
            "table": {"mileage": "KM"},
        },
    }
    rendered = render_claims(
        dynamics_document(layout=layout(own)), claim(1), one_line_claim(2, expense_type="mileage")
    )

    assert [(one.code, one.field) for one in rendered.left_out] == [
        ("not_in_table", "lines[2].expense_type")
    ]
    assert rendered.data.decode().count("2026-0002") == 2


@pytest.mark.parametrize(
    ("cut", "shown"),
    [
        ({"start": 1, "length": 4}, "2026"),
        ({"start": 6}, "0001"),
        ({"start": -4}, "0001"),
        ({"start": -4, "length": 2}, "00"),
        ({"start": -99, "length": 3}, "202"),
        ({"start": 99}, ""),
    ],
)
def test_a_substring_counts_from_either_end(cut: Document, shown: str) -> None:
    source = {"kind": "substring", "source": path("claim.claim_number"), **cut}

    assert cells(source) == [shown] * 3


def test_functions_can_be_nested() -> None:
    year = {"kind": "substring", "source": path("voucher.fiscal_year"), "start": -2}
    unit = {
        "kind": "look_up",
        "source": path("line.dimensions.department"),
        "table": {"410": "Nord"},
        "otherwise": "keep",
    }

    assert cells({"kind": "concatenate", "parts": [year, unit], "separator": "/"}) == [
        "26/Nord",
        "26/Nord",
        "26",
    ]


def test_a_sign_column_tells_debit_from_credit() -> None:
    own = {"name": "Side", "source": {"kind": "sign", "debit": "D", "credit": "K"}, "type": "code"}
    amount = {
        "name": "Sum",
        "source": path("line.amount"),
        "type": "amount",
        "amount_form": {"sign": "omitted"},
    }
    lines = text(layout(own, amount, without="Belop")).splitlines()

    assert [line.split(";")[:2] for line in lines] == [
        ["D", "530.00"],
        ["D", "120.00"],
        ["K", "650.00"],
    ]


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ({}, ["530.00", "120.00", "-650.00"]),
        ({"sign": "trailing"}, ["530.00", "120.00", "650.00-"]),
        ({"sign": "inverted"}, ["-530.00", "-120.00", "650.00"]),
        ({"unit": "minor"}, ["53000", "12000", "-65000"]),
        ({"side": "debit"}, ["530.00", "120.00", ""]),
        ({"side": "credit"}, ["", "", "650.00"]),
    ],
)
def test_amounts_take_the_form_that_the_column_says(form: Document, shown: list[str]) -> None:
    assert cells(path("line.amount"), type="amount", amount_form=form) == shown


@pytest.mark.parametrize(
    ("source", "type_", "column", "shown"),
    [
        (path("line.account_code"), "code", {"width": 6}, ["7100  ", "7130  ", "2990  "]),
        (
            path("line.account_code"),
            "code",
            {"width": 6, "padding": {"side": "left", "character": "0"}},
            ["007100", "007130", "002990"],
        ),
        (path("voucher.number"), "integer", {"width": 6}, ["  1001"] * 3),
        (
            path("line.amount"),
            "amount",
            {"width": 9, "padding": {"side": "left", "character": "0"}},
            ["000530.00", "000120.00", "-00650.00"],
        ),
        (path("line.tax_code"), "code", {"width": 3}, ["   "] * 3),
        (
            path("line.tax_code"),
            "code",
            {"width": 3, "padding": {"side": "left", "character": "0"}},
            ["   "] * 3,
        ),
    ],
)
def test_a_width_is_filled_up(
    source: Document, type_: str, column: Document, shown: list[str]
) -> None:
    assert cells(source, type=type_, **column) == shown


def test_a_value_wider_than_its_width_leaves_the_claim_out_or_is_cut() -> None:
    own = {"name": "Egen", "source": path("claim.purpose"), "width": 5}

    text(layout(own), left_out=1)
    assert cells(path("claim.purpose"), width=5, on_overflow="truncate") == ["Tilli"] * 3


def test_a_file_without_delimiter_has_fixed_places() -> None:
    widths = {"Konto": 6, "Dato": 8, "Belop": 10, "Bilag": 6, "Krav": 12}
    document = layout(delimiter="", header={"kind": "names"})
    document["columns"] = [
        {**column, "width": widths[column["name"]]} for column in document["columns"]
    ]

    assert text(document).splitlines() == [
        "Konto Dato    Belop     Bilag Krav        ",
        "7100  20261005    530.00  10012026-0001   ",
        "7130  20261005    120.00  10012026-0001   ",
        "2990  20261005   -650.00  10012026-0001   ",
    ]


HOSTILE = 'Møte; "Nord" og\nsør'


@pytest.mark.parametrize("quoting", ["minimal", "text", "all"])
def test_quoted_text_comes_back_from_an_independent_reader(quoting: str) -> None:
    own = {"name": "Formål", "source": path("claim.purpose")}
    document = layout(own, quoting=quoting, replaced_characters="", header={"kind": "names"})
    records = list(
        csv.DictReader(io.StringIO(text(document, claim(purpose=HOSTILE))), delimiter=";")
    )

    assert [record["Formål"] for record in records] == ['Møte; "Nord" og sør'] * 3
    assert [record["Belop"] for record in records] == ["530.00", "120.00", "-650.00"]


def test_quoting_marks_what_the_dialect_says() -> None:
    own = {"name": "Formål", "source": path("claim.purpose")}
    by_quoting = {
        quoting: text(layout(own, quoting=quoting), claim()).splitlines()[0]
        for quoting in ("minimal", "text", "all")
    }

    assert by_quoting == {
        "minimal": "Tillitsvalgtmøte i Tromsø;7100;20261005;530.00;1001;2026-0001",
        "text": '"Tillitsvalgtmøte i Tromsø";"7100";20261005;530.00;1001;"2026-0001"',
        "all": '"Tillitsvalgtmøte i Tromsø";"7100";"20261005";"530.00";"1001";"2026-0001"',
    }


def test_a_decimal_comma_between_commas_is_quoted() -> None:
    document = layout(delimiter=",", decimal_mark=",", quoting="minimal")

    assert '"530,00"' in text(document)


def test_invisible_characters_are_removed_and_reported_or_refused() -> None:
    purpose = "Møte\u202e i\u200b Tromsø"
    own = {"name": "Formål", "source": path("claim.purpose")}

    assert "Møte\u202e" in text(layout(own), claim(purpose=purpose))
    removed = render_claims(
        dynamics_document(layout=layout(own, invisible_characters="remove")), claim(purpose=purpose)
    )
    assert "Møte i Tromsø;" in removed.data.decode()
    refused = render_claims(
        dynamics_document(layout=layout(own, invisible_characters="refuse")), claim(purpose=purpose)
    )
    assert [(one.code, one.field) for one in refused.left_out] == [
        ("forbidden_character", "purpose")
    ]
    assert "U+202E" in refused.left_out[0].message


def test_a_code_with_an_invisible_character_is_refused_and_never_altered() -> None:
    document = layout(invisible_characters="remove")
    rendered = render_claims(
        dynamics_document(layout=document), claim(claim_number="2026\u200b-0001")
    )

    assert [one.code for one in rendered.left_out] == ["forbidden_character"]


def test_text_can_be_written_in_small_letters() -> None:
    assert cells(path("claimant.name"), case="lower") == ["åse ødegård"] * 3


def test_the_claim_number_may_be_part_of_a_reference() -> None:
    """What concatenate shows counts as shown; what substring cuts does not."""
    whole = {
        "name": "Ref",
        "source": {
            "kind": "concatenate",
            "parts": [{"kind": "constant", "value": "K"}, path("claim.claim_number")],
        },
    }
    part = {
        "name": "Ref",
        "source": {"kind": "substring", "source": path("claim.claim_number"), "length": 4},
    }

    assert reasons(layout(whole, without="Krav")) == []
    assert [field for field, _ in reasons(layout(part, without="Krav"))] == ["layout.columns"]


def _own(**column: object) -> Document:
    return {"name": "Egen", **column}


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (
            _own(source={"kind": "concatenate", "parts": [path("line.amount"), path("line.text")]}),
            "made of texts and whole numbers, not of amount",
        ),
        (
            _own(source={"kind": "substring", "source": path("voucher.posting_date")}),
            "not of date",
        ),
        (_own(source={"kind": "substring", "source": path("line.text"), "start": 0}), "is 1"),
        (_own(source={"kind": "concatenate", "parts": [path("line.text")]}), "at least 2 items"),
        (
            _own(source={"kind": "look_up", "source": path("line.text"), "table": {}}),
            "at least 1 item",
        ),
        (
            _own(source={"kind": "look_up", "source": path("no.path"), "table": {"a": "b"}}),
            "no.path",
        ),
        (_own(source={"kind": "sign", "debit": "D", "credit": "D"}), "different texts"),
        (
            _own(source={"kind": "sign", "debit": "1", "credit": "2"}, type="amount"),
            "cannot show a sign",
        ),
        (_own(source=path("line.text"), amount_form={}), "Only an amount"),
        (
            _own(
                source=path("line.amount"),
                type="amount",
                amount_form={"side": "debit"},
                required=True,
            ),
            "is not required",
        ),
        (
            _own(
                source=path("line.amount"),
                type="amount",
                amount_form={"side": "debit", "sign": "trailing"},
            ),
            "no sign to form",
        ),
        (_own(source=path("line.text"), width=5, max_length=5), "not both"),
        (_own(source=path("line.text"), padding={"side": "left"}), "the column has none"),
        (
            _own(source=path("line.text"), width=5, padding={"side": "left", "character": "0"}),
            "filled up with zeros",
        ),
        (
            _own(
                source=path("line.account_code"),
                type="code",
                width=5,
                padding={"side": "right", "character": "0"},
            ),
            "would change the value",
        ),
    ],
)
def test_a_column_that_makes_no_sense_is_refused_by_name(column: Document, reason: str) -> None:
    found = reasons(layout(column))

    assert len(found) == 1, found
    field, message = found[0]
    assert field.startswith("layout.columns[1] (Egen)")
    assert reason in message


def test_a_constant_that_its_table_lacks_is_refused_before_any_claim() -> None:
    source = {
        "kind": "look_up",
        "source": path("settings.currency"),
        "table": {"EUR": "E"},
    }

    assert [field for field, _ in reasons(layout(_own(source=source)))] == ["settings.currency"]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (layout(delimiter=""), "need a width: Konto, Dato, Belop, Bilag, Krav"),
        (
            layout(
                _own(source=path("line.amount"), type="amount", amount_form={"side": "debit"}),
                without="Belop",
            ),
            "Debits and credits both need a column",
        ),
        (
            layout(
                _own(source=path("line.amount"), type="amount", amount_form={"sign": "omitted"}),
                without="Belop",
            ),
            "need a column with the source `sign`",
        ),
    ],
)
def test_a_layout_that_would_lose_something_is_refused(document: Document, reason: str) -> None:
    found = reasons(document)

    assert len(found) == 1, found
    assert reason in found[0][1]


def test_separate_columns_for_debit_and_credit_are_enough() -> None:
    sides: list[Document] = [
        {
            "name": side,
            "source": path("line.amount"),
            "type": "amount",
            "amount_form": {"side": side},
        }
        for side in ("debit", "credit")
    ]

    lines = text(layout(*sides, without="Belop")).splitlines()

    assert [line.split(";")[:2] for line in lines] == [
        ["530.00", ""],
        ["120.00", ""],
        ["", "650.00"],
    ]


def test_a_credit_line_of_a_claim_is_on_the_other_side() -> None:
    lines: list[dict[str, Any]] = [
        claim_line(),
        claim_line(2, expense_type="toll", amount="-30.00", description="Retur"),
    ]
    shown = cells(
        path("line.amount"),
        claim(total="500.00", lines=lines),
        type="amount",
        amount_form={"side": "credit"},
    )

    assert shown == ["", "30.00", "500.00"]


SEGMENTS: Document = {
    "kind": "concatenate",
    "separator": "-",
    "keep_places": True,
    "parts": [path("line.account_code"), path("dimensions.1"), path("dimensions.2")],
}


def test_parts_can_keep_their_places() -> None:
    assert cells(SEGMENTS) == ["7100-410-", "7130-410-", "2990--"]
    nothing = {**SEGMENTS, "parts": [path("line.tax_code"), path("dimensions.2")]}
    assert cells(nothing) == [""] * 3


def test_a_part_that_would_move_the_others_leaves_the_claim_out() -> None:
    own = {"name": "Egen", "source": SEGMENTS}
    hostile = claim(dimensions={"department": "4-10"})
    rendered = render_claims(dynamics_document(layout=layout(own)), hostile)

    assert [(one.code, one.field) for one in rendered.left_out] == [
        ("forbidden_character", "lines[1].dimensions.department")
    ]
    assert "'4-10'" in rendered.left_out[0].message


def test_places_need_a_separator() -> None:
    own = {"name": "Egen", "source": {**SEGMENTS, "separator": ""}}

    assert "only with a separator" in reasons(layout(own))[0][1]


KINDS: Document = {
    "kind": "case",
    "by": path("line.account_kind"),
    "cases": {
        "ledger": path("line.account_code"),
        "claimant": path("line.subledger_number"),
    },
}


def by_kind(ledger: Document, claimant: Document) -> Document:
    return {**KINDS, "cases": {"ledger": ledger, "claimant": claimant}}


def with_claimants(document: Document) -> Document:
    return dynamics_document(layout=document, posting_rules=posting_rules(subledger="claimant"))


def test_a_case_chooses_by_the_kind_of_account() -> None:
    own = {"name": "Egen", "source": KINDS, "type": "code"}
    kind = {
        "name": "Type",
        "source": by_kind({"kind": "empty"}, {"kind": "constant", "value": "Ansatt"}),
        "type": "code",
    }
    rendered = render_claims(with_claimants(layout(own, kind, without="Konto")), claim())

    assert [line.split(";")[:2] for line in rendered.data.decode().splitlines()] == [
        ["7100", ""],
        ["7130", ""],
        ["10023", "Ansatt"],
    ]


def test_accounts_and_claimants_in_one_column_need_one_that_tells_them_apart() -> None:
    own = {"name": "Egen", "source": KINDS, "type": "code"}
    document = with_claimants(layout(own, without="Konto"))

    (problem,) = configuration_problems(document)
    assert problem.message == (
        "The column Egen shows accounts and claimants' numbers, and no other column tells which"
        " (line.account_kind)."
    )
    assert reasons(layout(own, without="Konto")) == [], "no rule gives a claimant's number"


def test_a_text_without_a_case_leaves_the_claim_out() -> None:
    source = {
        "kind": "case",
        "by": path("line.expense_type"),
        "cases": {"toll": path("run.run_id")},
    }
    rendered = render_claims(
        dynamics_document(layout=layout({"name": "Egen", "source": source})), claim()
    )

    assert [(one.code, one.field) for one in rendered.left_out] == [
        ("not_in_table", "lines[1].expense_type")
    ]


def test_what_only_some_cases_show_is_not_shown() -> None:
    number = path("claim.claim_number")
    some = {
        "kind": "case",
        "by": path("voucher.kind"),
        "cases": {"entry": number, "reversal": {"kind": "empty"}},
    }
    always = {**some, "cases": {"entry": number, "reversal": number}}

    assert reasons(layout({"name": "Ref", "source": always}, without="Krav")) == []
    assert [f for f, _ in reasons(layout({"name": "Ref", "source": some}, without="Krav"))] == [
        "layout.columns"
    ]


def test_the_other_side_can_be_zero() -> None:
    form = {"side": "debit", "other_side": "zero"}
    shown = cells(path("line.amount"), type="amount", required=True, amount_form=form)

    assert shown == ["530.00", "120.00", "0.00"]
    both = {"name": "Sum", "source": path("line.amount"), "type": "amount"}
    assert (
        "no other side"
        in reasons(layout({**both, "amount_form": {"other_side": "zero"}}, without="Belop"))[0][1]
    )


def test_a_dimension_has_the_accounting_systems_code() -> None:
    assert cells(path("dimension_codes.1")) == ["department"] * 3
    assert cells(path("dimension_codes.3")) == [""] * 3
