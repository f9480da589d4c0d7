from typing import Any

import pytest

from exporters.layout import Layout
from exporters.problem import ConfigurationInvalid
from exporters.registry import BUILT_IN, configuration_problems
from tests.unit.claim_factory import Document, claim, dynamics_document, render, render_claims


def layout_document() -> dict[str, Any]:
    """Make a small layout that could be saved as an organisation's own."""
    return {
        "name": "own",
        "version": 1,
        "dialect": {
            "delimiter": ",",
            "quoting": "none",
            "header": {"kind": "names"},
            "encoding": "utf-8",
            "bom": True,
            "line_end": "lf",
            "final_newline": True,
            "decimal_mark": ".",
        },
        "columns": [
            {"name": "Konto", "source": {"kind": "path", "path": "line.account_code"}},
            {
                "name": "Dato",
                "source": {"kind": "path", "path": "voucher.posting_date"},
                "type": "date",
                "format": "dd.mm.yyyy",
            },
            {
                "name": "Belop",
                "source": {"kind": "path", "path": "line.amount"},
                "type": "amount",
            },
            {"name": "Tom"},
            {"name": "Fast", "source": {"kind": "constant", "value": "K1"}, "type": "code"},
            {
                "name": "Region",
                "source": {"kind": "path", "path": "line.dimensions.region"},
                "type": "code",
            },
            {
                "name": "Bilag",
                "source": {"kind": "path", "path": "voucher.number"},
                "type": "integer",
            },
            {
                "name": "Krav",
                "source": {"kind": "path", "path": "claim.claim_number"},
                "type": "code",
            },
        ],
    }


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_shipped_layouts_are_valid_and_graded(name: str) -> None:
    """Every shipped layout loads, and each of its columns says how sure it is."""
    layout = Layout.shipped(name)

    assert layout.name == name
    assert all(column.grade for column in layout.columns)


def test_an_organisations_own_layout_replaces_the_shipped_one() -> None:
    """Order, constants, empty columns, date form and dialect are all the layout's."""
    data = render_claims(
        dynamics_document(layout=layout_document()),
        claim(dimensions={"region": "N"}),
    ).data

    assert data == (
        b"\xef\xbb\xbfKonto,Dato,Belop,Tom,Fast,Region,Bilag,Krav\n"
        b"7100,05.10.2026,530.00,,K1,N,1001,2026-0001\n"
        b"7130,05.10.2026,120.00,,K1,N,1001,2026-0001\n"
        b"2990,05.10.2026,-650.00,,K1,,1001,2026-0001\n"
    )


def test_a_decimal_comma_is_written_when_the_dialect_says_so() -> None:
    """The decimal mark is the dialect's."""
    layout = layout_document()
    layout["dialect"] |= {"decimal_mark": ",", "delimiter": ";"}

    assert b";530,00;" in render_claims(dynamics_document(layout=layout), claim()).data


def _column(**changes: object) -> Document:
    return {"name": "Ekstra", **changes}


def _path(path: str) -> Document:
    return {"kind": "path", "path": path}


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (_column(source=_path("line.amout"), type="amount"), "There is no source line.amout"),
        (_column(source=_path("line.__class__")), "There is no source"),
        (_column(source=_path("claim.claimant.name.upper()")), "There is no source"),
        (_column(source=_path("line.amount")), "type text cannot show line.amount"),
        (_column(source=_path("line.text"), type="date", format="yyyymmdd"), "cannot show"),
        (_column(source=_path("voucher.posting_date"), type="date"), "exactly when its type"),
        (
            _column(source=_path("voucher.posting_date"), type="date", format="%Y%m%d"),
            "A date format is",
        ),
        (
            _column(source=_path("voucher.posting_date"), type="date", format="yyyymm"),
            "A date format is",
        ),
        (_column(on_overflow="truncate"), "Only a text column with a max_length or a width"),
        (
            _column(source=_path("line.account_code"), type="code", max_length=3)
            | {"on_overflow": "truncate"},
            "Only a text column",
        ),
        (_column(source=_path("line.amount"), type="amount", case="upper"), "Only text and code"),
        (_column(required=True), "cannot have an empty source"),
        (_column(source={"kind": "constant", "value": "1"}, type="integer"), "A constant is"),
        (_column(source={"kind": "code", "value": "1"}), "does not match any of the expected tags"),
        (_column(widht=5), "Extra inputs are not permitted"),
        (_column(max_length=0), "greater than or equal to 1"),
        (_column(type="float"), "Input should be"),
    ],
)
def test_a_layout_problem_names_the_column_and_the_reason(column: Document, reason: str) -> None:
    """A faulty column is refused by its place, its name and a reason."""
    layout = layout_document()
    layout["columns"].append(column)

    problems = configuration_problems(dynamics_document(layout=layout))

    assert len(problems) == 1
    assert problems[0].code == "layout_invalid"
    assert problems[0].field.startswith("layout.columns[9] (Ekstra)")
    assert reason in problems[0].message


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (_column(source={"kind": "constant", "value": "a,b"}, type="code"), "holds the character"),
        (_column(source={"kind": "constant", "value": "abc"}, max_length=2), "is longer than 2"),
        (_column(source=_path("settings.dimension_order")), "no setting dimension_order"),
        (_column(source=_path("settings.entity_code")), "There is no setting entity_code"),
        (_column(source=_path("dimensions.3"), required=True), "must not be empty"),
    ],
)
def test_a_column_that_no_claim_could_fill_is_refused_first(
    column: Document,
    reason: str,
) -> None:
    """What no claim can change is checked before any claim."""
    layout = layout_document()
    layout["columns"].append(column)

    problems = configuration_problems(dynamics_document(layout=layout))

    assert len(problems) == 1
    assert reason in problems[0].message


@pytest.mark.parametrize(
    "dialect",
    [
        {"delimiter": "a"},
        {"delimiter": "", "quoting": "all"},
        {"quoting": "some"},
        {"quoting": "text", "decimal_mark": ","},  # numbers would not be quoted
        {"invisible_characters": "show"},
        {"encoding": "utf-16"},
        {"encoding": "windows-1252"},  # with the byte order mark of the layout
        {"decimal_mark": ","},  # which is the delimiter
        {"line_end": "\n"},
        {"header": {"kind": "text"}},
        {"header": {"kind": "text", "text": "a\nb"}},
        {"header": "names"},
    ],
)
def test_an_impossible_dialect_is_refused(dialect: Document) -> None:
    """A dialect that could not be read back is refused."""
    layout = layout_document()
    layout["dialect"] |= dialect

    problems = configuration_problems(dynamics_document(layout=layout))

    assert {problem.code for problem in problems} == {"layout_invalid"}
    assert all(problem.field.startswith("layout.dialect") for problem in problems)


def test_a_header_that_the_encoding_lacks_is_refused() -> None:
    """A header is held to the encoding like any text."""
    layout = layout_document()
    layout["dialect"] |= {"bom": False, "encoding": "windows-1252"}
    layout["dialect"]["header"] = {"kind": "text", "text": "Beløp 🚕"}

    assert [problem.field for problem in configuration_problems(dynamics_document(layout=layout))]


@pytest.mark.parametrize("missing", ["line.amount", "line.account_code", "voucher.posting_date"])
def test_a_layout_that_could_not_be_posted_is_refused(missing: str) -> None:
    """A layout must show account, amount and posting date."""
    layout = layout_document()
    layout["columns"] = [
        column for column in layout["columns"] if column.get("source", {}).get("path") != missing
    ]

    problems = configuration_problems(dynamics_document(layout=layout))

    assert [problem.field for problem in problems] == ["layout.columns"]
    assert missing in problems[0].message


def _layout_with_sources(*columns: tuple[str, str]) -> Document:
    """Put these in the place of the voucher number and the claim number."""
    layout = layout_document()
    layout["columns"] = layout["columns"][:6] + [
        {"name": path, "source": _path(path), "type": column_type} for path, column_type in columns
    ]
    return layout


VOUCHER_NUMBER = ("voucher.number", "integer")
DOCUMENT_NUMBER = ("voucher.document_number", "code")
CLAIM_NUMBER = ("claim.claim_number", "code")
REFERENCE = ("line.reference", "code")
TEXT = ("line.text", "text")


@pytest.mark.parametrize(
    ("columns", "settings", "missing"),
    [
        ([VOUCHER_NUMBER, CLAIM_NUMBER], {}, []),
        ([DOCUMENT_NUMBER, REFERENCE], {}, []),
        ([DOCUMENT_NUMBER, TEXT], {}, []),
        ([VOUCHER_NUMBER, TEXT], {"line_text": "{description}"}, ["the claim number"]),
        ([VOUCHER_NUMBER, TEXT], {"reversal_payable_text": "Storno"}, ["the claim number"]),
        ([VOUCHER_NUMBER, REFERENCE, TEXT], {"line_text": "{description}"}, []),
        ([VOUCHER_NUMBER, ("claim.purpose", "text")], {}, ["the claim number"]),
        ([CLAIM_NUMBER], {}, ["the voucher number"]),
        ([], {}, ["the voucher number", "the claim number"]),
    ],
)
def test_a_layout_must_keep_voucher_and_claim_number(
    columns: list[tuple[str, str]],
    settings: Document,
    missing: list[str],
) -> None:
    """Without a voucher number lines fall apart, without a claim number nobody finds the claim."""
    configuration = dynamics_document(layout=_layout_with_sources(*columns), settings=settings)

    problems = configuration_problems(configuration)

    assert [(problem.code, problem.field) for problem in problems] == [
        ("layout_invalid", "layout.columns") for _ in missing
    ]
    for problem, name in zip(problems, missing, strict=True):
        assert problem.message.startswith(f"No column shows {name} (")


def test_two_columns_of_one_name_are_refused() -> None:
    """A problem names its column, so names must differ."""
    layout = layout_document()
    layout["columns"].append({"name": "Konto"})

    assert configuration_problems(dynamics_document(layout=layout))


def test_a_layout_that_is_no_layout_is_refused() -> None:
    """Anything else in its place is a problem and no crash."""
    layouts: list[Document] = [{}, {"columns": 5}, {"columns": [3]}, {"columns": []}]
    for layout in layouts:
        with pytest.raises(ConfigurationInvalid):
            render(dynamics_document(layout=layout), [])
