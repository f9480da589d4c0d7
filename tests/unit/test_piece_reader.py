"""Pieces of a file are read back as the lines or records that were written, for every dialect."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.configuration import FrozenConfiguration
from exporters.layout import Layout
from exporters.piece_reader import PieceReader
from exporters.run_renderer import RunRenderer
from tests.unit.claim_factory import RUN, claim, dynamics_document, members, xledger_document

DIALECTS: dict[str, dict[str, Any]] = {
    "as shipped": {},
    "windows": {"encoding": "windows-1252", "line_end": "crlf", "bom": False},
    "mark and names": {"bom": True, "header": {"kind": "names"}},
    "no final line end": {"final_newline": False},
    "final line end": {"final_newline": True, "quoting": "all"},
}


def renderer(document: dict[str, Any]) -> RunRenderer:
    return RunRenderer(FrozenConfiguration.from_document(document), RUN)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@given(sizes=st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_the_pieces_of_a_delimited_file_are_its_lines(
    dialect: dict[str, Any], sizes: list[int]
) -> None:
    layout = Layout.shipped("dynamics_bc_csv").model_dump(mode="json")
    layout["dialect"] |= dialect
    made, content, lines = renderer(dynamics_document(layout=layout)), b"", []
    reader = PieceReader(made.layout)
    everybody = iter(members(*(claim(number) for number in range(1, sum(sizes) + 2))))
    for size in [*sizes, 1]:
        piece = made.render([next(everybody) for _ in range(size)])
        content += piece
        lines += reader.lines(piece)

    codec = {"utf-8": "utf-8-sig", "windows-1252": "cp1252"}[made.layout["dialect"]["encoding"]]  # type: ignore[index]
    assert lines == content.decode(codec).splitlines()


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("most", [None, 3, 4, 7])
def test_the_pieces_of_json_are_its_records(most: int | None, size: int) -> None:
    """Also where a full document is closed within a piece or between two, and at the end."""
    layout = Layout.shipped("xledger_json").model_dump(mode="json")
    layout["dialect"]["most_records"] = most
    document = xledger_document(layout=layout, format="xledger_json")
    document["settings"]["job_level_db_sub_id"] = 1
    made = renderer(document)
    everybody = members(*(claim(number) for number in range(1, 6)))
    pieces = [made.render(everybody[start : start + size]) for start in range(0, 5, size)]
    pieces.append(made.finish())
    reader, content = PieceReader(made.layout), b"".join(pieces)
    records = [record for piece in pieces for record in reader.lines(piece)]

    where = layout["dialect"]["records_at"].split(".")
    kept = []
    for line in content.splitlines():
        told = json.loads(line)
        for key in where:
            told = told[key]
        kept += told
    assert [json.loads(record) for record in records] == kept
    assert len(kept) == 15
    assert all(record.encode() in content for record in records)


def test_without_a_layout_there_are_lines() -> None:
    assert PieceReader({}).lines("æ\nø\n".encode()) == ["æ", "ø"]
    assert PieceReader({}).lines(b"") == []
