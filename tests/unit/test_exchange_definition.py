"""The definition says what the layout says: change one, and the other changes with it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from cli.__main__ import app
from exporters.layout import Layout
from exporters.problem import ConfigurationInvalid
from exporters.registry import configuration_problems, exchange_definition_of
from tests.golden.case import FOLDER
from tests.unit.claim_factory import (
    Document,
    claim,
    dynamics_document,
    posting_rules,
    render_claims,
)

FORMAT = "dynamics_bc_csv"
GOLDEN = FOLDER / "exchange_definition.xml"
Columns = dict[str, Document]


def shipped() -> Document:
    return Layout.shipped(FORMAT).model_dump(mode="json")


def changed(change: Callable[[Document, Columns], None]) -> Document:
    """Give the shipped layout with a change to its dialect or its columns."""
    layout = shipped()
    columns = {column["name"]: column for column in layout["columns"]}
    change(layout["dialect"], columns)
    layout["columns"] = list(columns.values())
    return layout


def definition(layout: Document | None = None, **settings: object) -> ET.Element:
    text = exchange_definition_of(FORMAT, layout, settings)
    root = ET.fromstring(text.encode())  # noqa: S314 - our own
    found = root.find("DataExchDef")
    assert found is not None
    return found


def columns_of(found: ET.Element) -> list[dict[str, str]]:
    return [element.attrib for element in found.iter("DataExchColumnDef")]


def mappings_of(found: ET.Element) -> dict[str, dict[str, str]]:
    """Give the mappings by the names of their columns."""
    names = {column["ColumnNo"]: column["Name"] for column in columns_of(found)}
    return {
        names[element.attrib["ColumnNo"]]: element.attrib
        for element in found.iter("DataExchFieldMapping")
    }


def reasons(layout: Document, **settings: object) -> list[str]:
    with pytest.raises(ConfigurationInvalid) as refused:
        exchange_definition_of(FORMAT, layout, settings)
    return [problem.message for problem in refused.value.problems]


def test_b06_the_shipped_definition_is_the_one_that_is_checked_in() -> None:
    """`python -m cli exchange-definition > tests/golden/exchange_definition.xml`."""
    assert exchange_definition_of(FORMAT, None, {}) == GOLDEN.read_text("utf-8")


def test_b06_columns_and_fields_are_the_layouts() -> None:
    layout = Layout.shipped(FORMAT)
    found = definition()
    line = next(found.iter("DataExchLineDef"))

    assert line.attrib["ColumnCount"] == str(len(layout.columns))
    assert [column["ColumnNo"] for column in columns_of(found)] == [
        str(place) for place in range(1, len(layout.columns) + 1)
    ]
    assert [column["Name"] for column in columns_of(found)] == [c.name for c in layout.columns]
    mappings = mappings_of(found)
    for column in layout.columns:
        assert column.target_field is not None
        mapping = mappings[column.name]
        assert mapping["FieldID"] == str(column.target_field.number)
        assert mapping["Priority"] == str(column.target_field.priority)
        assert ("Optional" in mapping) is not column.required
    assert next(found.iter("DataExchMapping")).attrib["TableId"] == "81"


def test_b06_the_file_is_read_as_it_is_written() -> None:
    """A file of the shipped layout, taken apart by what the definition alone says."""
    found = definition()
    data = render_claims(dynamics_document(), claim()).data
    encoding = {"1": "utf-8", "3": "cp1252"}[found.attrib["FileEncoding"]]
    line_end = {"0": "\r\n", "2": "\n"}[found.attrib["LineSeparator"]]
    separator = {"1": "\t", "2": ";", "3": ","}[found.attrib["ColumnSeparator"]]
    rows = data.decode(encoding).removesuffix(line_end).split(line_end)
    records = [row.split(separator) for row in rows[int(found.attrib["HeaderLines"]) :]]

    journal = [
        {
            mapping["FieldID"]: record[int(mapping["ColumnNo"]) - 1]
            for mapping in mappings_of(found).values()
        }
        for record in records
    ]
    assert [(line["4"], line["7"], line["13"]) for line in journal] == [
        ("7100", "HLF26-001001", "530.00"),
        ("7130", "HLF26-001001", "120.00"),
        ("2990", "HLF26-001001", "-650.00"),
    ]


def test_b06_texts_replace_what_the_line_has_already() -> None:
    mappings = mappings_of(definition()).values()

    overwritten = {mapping["FieldID"] for mapping in mappings if "OverwriteValue" in mapping}
    assert overwritten >= {"7", "8", "77"}


def test_b06_the_account_is_filled_before_what_it_changes() -> None:
    priorities = {
        mapping["FieldID"]: int(mapping["Priority"])
        for mapping in mappings_of(definition()).values()
    }

    assert priorities["4"] > max(priorities["8"], priorities["24"], priorities["13"])
    assert priorities["5"] > max(priorities["76"], priorities["13"])


def _swap(_: Document, columns: Columns) -> None:
    columns["Amount"] = columns.pop("Amount")


def _rename(_: Document, columns: Columns) -> None:
    columns["Description"]["name"] = "Tekst & <mer>"


def _date(_: Document, columns: Columns) -> None:
    columns["PostingDate"]["format"] = "dd/mm/yyyy"


def _minor(_: Document, columns: Columns) -> None:
    columns["Amount"]["amount_form"] = {"sign": "inverted", "unit": "minor"}


def _field(_: Document, columns: Columns) -> None:
    columns["Comment"]["target_field"]["number"] = 289
    columns["Comment"]["max_length"] = 140


def _constant(_: Document, columns: Columns) -> None:
    columns["Reason"] = {
        "name": "Reason",
        "source": {"kind": "constant", "value": "UTLEGG"},
        "type": "code",
        "case": "upper",
        "max_length": 10,
        "target_field": {"number": 52, "priority": 5},
    }


def _dialect(**changes: object) -> Callable[[Document, Columns], None]:
    return lambda dialect, _: dialect.update(changes)


def column(name: str, key: str) -> Callable[[ET.Element], str | None]:
    return lambda found: next(c for c in columns_of(found) if c["Name"] == name).get(key)


def mapping(name: str, key: str) -> Callable[[ET.Element], str | None]:
    return lambda found: mappings_of(found)[name].get(key)


def head(key: str) -> Callable[[ET.Element], str | None]:
    return lambda found: found.attrib.get(key)


@pytest.mark.parametrize(
    ("change", "look", "before", "after"),
    [
        (_swap, column("Amount", "ColumnNo"), "6", "11"),
        (_swap, mapping("Amount", "ColumnNo"), "6", "11"),
        (_rename, lambda found: columns_of(found)[4]["Name"], "Description", "Tekst & <mer>"),
        (_date, column("PostingDate", "DataFormat"), "yyyy-MM-dd", "dd'/'MM'/'yyyy"),
        (_minor, mapping("Amount", "Multiplier"), None, "-0.01"),
        (_field, mapping("Comment", "FieldID"), "5618", "289"),
        (_field, column("Comment", "Length"), "250", "140"),
        (_constant, lambda found: columns_of(found)[-1].get("Constant"), None, "UTLEGG"),
        (_constant, lambda found: str(len(columns_of(found))), "11", "12"),
        (
            _constant,
            lambda found: next(found.iter("DataExchLineDef")).attrib["ColumnCount"],
            "11",
            "12",
        ),
        (_dialect(delimiter="\t"), head("ColumnSeparator"), "2", "1"),
        (_dialect(delimiter="|"), head("CustomColumnSeparator"), None, "|"),
        (_dialect(encoding="windows-1252"), head("FileEncoding"), "1", "3"),
        (_dialect(line_end="lf"), head("LineSeparator"), "0", "2"),
        (_dialect(header={"kind": "none"}), head("HeaderLines"), "1", None),
        (_dialect(decimal_mark=","), column("Amount", "DataFormattingCulture"), "en-US", "da-DK"),
    ],
)
def test_what_changes_in_the_layout_changes_in_the_definition(
    change: Callable[[Document, Columns], None],
    look: Callable[[ET.Element], str | None],
    before: str | None,
    after: str | None,
) -> None:
    layout = changed(change)

    assert (look(definition(shipped())), look(definition(layout))) == (before, after)
    assert configuration_problems(dynamics_document(layout=layout)) == ()


def test_settings_change_the_definition_as_they_change_the_file() -> None:
    found = definition(
        encoding="windows-1252", line_end="lf", header="none", exchange_definition_code="HLF-UTLEGG"
    )

    assert (found.attrib["FileEncoding"], found.attrib["LineSeparator"]) == ("3", "2")
    assert "HeaderLines" not in found.attrib
    assert found.attrib["Code"] == "HLF-UTLEGG"


def test_the_definition_tells_the_layout_and_its_version() -> None:
    layout = {**shipped(), "name": "hlf_bc", "version": 7}

    assert definition(layout).attrib["Name"] == "hlf_bc, version 7"


def _drop(name: str) -> Callable[[Document, Columns], None]:
    return lambda _, columns: columns[name].pop("target_field")


def _target(name: str, **target: int) -> Callable[[Document, Columns], None]:
    return lambda _, columns: columns[name]["target_field"].update(target)


def _set(name: str, /, **changes: object) -> Callable[[Document, Columns], None]:
    return lambda _, columns: columns[name].update(changes)


def _extension(_: Document, columns: Columns) -> None:
    """A field of an extension, of which nothing is known."""
    columns["Comment"]["target_field"]["number"] = 50_000
    columns["Comment"]["max_length"] = 251


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_dialect(quoting="minimal"), "cannot say that values stand in quotes"),
        (_dialect(encoding="iso-8859-1"), "not iso-8859-1"),
        (_dialect(bom=True, header={"kind": "none"}), "would become part of a value"),
        (_dialect(length_unit="characters"), "UTF-16 units"),
        (_drop("AccountNo"), "No column fills field 4 Account No."),
        (_drop("Amount"), "No column fills field 13 Amount."),
        (_target("Dim2", number=24), "More than one column fills field 24."),
        (_target("Dim2", priority=50), "More than one column has the priority 50"),
        (_target("Description", priority=200), "Field 4 Account No. changes field 8 Description"),
        (_target("DocumentDate", priority=300), "Field 5 Posting Date changes field 76"),
        (_set("Amount", amount_form={"sign": "trailing"}), "has its sign trailing"),
        (_set("Comment", max_length=300), "at most 250"),
        (_extension, "needs a max_length of at most 250: the rest of a cell is cut off"),
        (_set("Comment", name="a\x01b"), "a character in its name"),
        (
            _set("Comment", source={"kind": "constant", "value": "x" * 31}),
            "A constant has at most 30 characters: Comment.",
        ),
    ],
)
def test_a_layout_that_no_definition_can_express_is_refused(
    change: Callable[[Document, Columns], None], reason: str
) -> None:
    found = reasons(changed(change))

    assert any(reason in one for one in found), found


def test_fixed_widths_are_refused() -> None:
    layout = shipped()
    layout["dialect"]["delimiter"] = ""
    for one in layout["columns"]:
        one["width"] = one.pop("max_length") or 20

    assert "A definition needs a delimiter between the columns." in reasons(layout)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_target("Dim1", number=6), "must not fill field 6 Document Type"),
        (_target("Dim1", number=63), "must not fill field 63 Bal. Account Type"),
        (_target("Dim1", number=2), "must not fill field 2 Line No."),
        (_target("Amount", number=8), "is of type amount, and field 8 Description is of type text"),
        (_target("PostingDate", number=13), "is of type date, and field 13 Amount"),
        (_target("Amount", number=14), "shows both amounts, and field 14 Debit Amount takes debit"),
        (_set("Description", max_length=101), "at most 100, as field 8 Description has"),
        (_set("Dim1", max_length=21), "at most 20, as field 24"),
        (_set("Dim1", case="keep"), "needs the case upper"),
    ],
)
def test_b05_a_layout_that_names_the_wrong_field_makes_no_file_either(
    change: Callable[[Document, Columns], None], reason: str
) -> None:
    """What is known of the journal's fields holds for files as for definitions."""
    problems = configuration_problems(dynamics_document(layout=changed(change)))

    assert any(reason in problem.message for problem in problems), problems
    assert {problem.code for problem in problems} == {"layout_invalid"}


def test_debits_and_credits_can_fill_fields_of_their_own() -> None:
    def split(_: Document, columns: Columns) -> None:
        amount = columns.pop("Amount")
        for number, side in ((14, "debit"), (15, "credit")):
            columns[side] = {
                **amount,
                "name": side,
                "required": False,
                "amount_form": {"side": side},
                "target_field": {"number": number, "priority": number},
            }

    mappings = mappings_of(definition(changed(split)))

    assert {name: mappings[name]["FieldID"] for name in ("debit", "credit")} == {
        "debit": "14",
        "credit": "15",
    }
    assert mappings["debit"]["Optional"] == "true"


def _account_types(source: Document | None = None) -> Document:
    """Give a layout with account types, by the captions of the settings."""

    def path(name: str) -> Document:
        return {"kind": "path", "path": name}

    def by_kind(ledger: str, claimant: str) -> Document:
        cases = {"ledger": path(ledger), "claimant": path(claimant)}
        return {"kind": "case", "by": path("line.account_kind"), "cases": cases}

    def add(_: Document, columns: Columns) -> None:
        columns["AccountNo"]["source"] = by_kind("line.account_code", "line.subledger_number")
        columns["AccountType"] = {
            "name": "AccountType",
            "source": source
            or by_kind("settings.ledger_account_type", "settings.claimant_account_type"),
            "max_length": 30,
            "required": True,
            "target_field": {"number": 3, "priority": 120},
        }

    return changed(add)


CAPTIONS: Document = {"ledger_account_type": "Finanskonto", "claimant_account_type": "Ansatt"}


def test_b04_account_types_are_the_captions_of_the_settings() -> None:
    configuration = dynamics_document(
        layout=_account_types(),
        settings=CAPTIONS,
        posting_rules=posting_rules(subledger="claimant"),
    )
    assert configuration_problems(configuration) == ()
    rows = render_claims(configuration, claim()).data.decode().splitlines()[1:]

    assert [(row.split(";")[0], row.split(";")[-1]) for row in rows] == [
        ("7100", "Finanskonto"),
        ("7130", "Finanskonto"),
        ("10023", "Ansatt"),
    ]
    priorities = mappings_of(definition(_account_types(), **CAPTIONS))
    assert int(priorities["AccountType"]["Priority"]) > int(priorities["AccountNo"]["Priority"])


def test_b04_an_account_type_without_its_caption_is_refused() -> None:
    problems = configuration_problems(dynamics_document(layout=_account_types()))

    assert [(problem.code, problem.field) for problem in problems] == [
        ("setting_missing", "settings.ledger_account_type"),
        ("setting_missing", "settings.claimant_account_type"),
    ]


def test_b04_an_account_type_that_a_claim_would_tell_is_refused() -> None:
    own = {"kind": "path", "path": "claim.purpose"}
    (problem,) = configuration_problems(dynamics_document(layout=_account_types(own)))

    assert "not by claim.purpose" in problem.message


def test_the_command_prints_the_definition(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["exchange-definition"])
    assert told.exit_code == 0
    assert told.stdout_bytes == GOLDEN.read_bytes()

    layout, settings = tmp_path / "layout.json", tmp_path / "settings.json"
    layout.write_text(json.dumps({**shipped(), "version": 9}), "utf-8")
    settings.write_text('{"exchange_definition_code": "HLF"}', "utf-8")
    own = ["exchange-definition", "--layout", str(layout), "--settings", str(settings)]
    told = CliRunner().invoke(app, own)
    assert 'Code="HLF" Name="dynamics_bc_csv, version 9"' in told.stdout


@pytest.mark.parametrize("format_name", ["dynamics_fo_csv", "dynamics_bc_json", "xledger_gl02b"])
def test_the_command_refuses_formats_that_no_definition_imports(
    format_name: str, tmp_path: Path
) -> None:
    settings = tmp_path / "settings.json"
    needed: dict[str, Any] = {
        "dynamics_fo_csv": {"journal_name": "Utlegg"},
        "xledger_gl02b": {"entity_code": "1", "voucher_type": "GL"},
    }
    settings.write_text(json.dumps(needed.get(format_name, {})), "utf-8")
    arguments = ["exchange-definition", "--format", format_name, "--settings", str(settings)]
    told = CliRunner().invoke(app, arguments)

    assert told.exit_code == 2
    assert f"No data exchange definition imports the format {format_name}." in told.output
