"""What a run makes of the formats of Dynamics: no empty file, and a name that any disk takes."""

import re
from datetime import UTC, datetime

import pytest

from functions.errors import RunFailed
from functions.export_guard import Granted
from functions.export_run import ExportRun
from functions.hashed_file import HashedFile
from functions.run_rendering import RunRendering
from tests.unit.claim_factory import RUN, Document, claim, dynamics_document, members

NOW = datetime(2026, 10, 6, tzinfo=UTC)
FORMATS: dict[str, Document] = {
    "dynamics_bc_csv": {},
    "dynamics_bc_json": {},
    "dynamics_fo_csv": {"journal_name": "Utlegg"},
}
EVERY_FORMAT = pytest.mark.parametrize("format_name", FORMATS)


def rendering(format_name: str, content: HashedFile) -> RunRendering:
    configuration = dynamics_document(format=format_name, settings=FORMATS[format_name])
    counts = ("attempt", "reserved_count", "left_out_count", "skipped_count")
    run: Document = {
        **dict.fromkeys(ExportRun.model_fields),
        **dict.fromkeys(counts, 1),
        "run_id": RUN.run_id,
        "run_number": RUN.run_number,
        "organization_id": RUN.organization_id,
        "origin": "engine",
        "trigger": "user",
        "target": "dynamics",
        "format": format_name,
        "period_to": RUN.export_date,
        "time_zone": "Europe/Oslo",
        "cut_off": NOW,
        "export_date": RUN.export_date,
        "status": "processing",
        "created_at": NOW,
        "deleted": False,
    }
    granted = {
        "outcome": "started",
        "run": run,
        "fencing_token": 1,
        "configuration": configuration,
        "claims": [],
        "last_page": True,
    }
    return RunRendering(Granted.model_validate(granted), content)


@EVERY_FORMAT
def test_f10_a_run_without_claims_fails_and_makes_no_file(format_name: str) -> None:
    with HashedFile() as content:
        begun = rendering(format_name, content)
        begun.write(members(claim(1, currency="SEK")))

        with pytest.raises(RunFailed, match="all_claims_left_out"):
            begun.finish()
        assert content.size == 0


@EVERY_FORMAT
def test_f14_the_files_name_is_plain_and_tells_the_run(format_name: str) -> None:
    with HashedFile() as content:
        begun = rendering(format_name, content)
        begun.write(members(claim()))
        begun.finish()
        file = begun.file()

    end = "json" if format_name == "dynamics_bc_json" else "csv"
    assert file.name == f"dynamics-2026-10-06-00007.{end}"
    assert re.fullmatch(r"[A-Za-z0-9._-]+", file.name)
    assert str(RUN.run_id) in file.path
    assert re.fullmatch(r"[A-Za-z0-9._/-]+", file.path)
