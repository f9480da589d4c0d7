import hashlib
import json
from pathlib import Path

import pytest

from exporters.run_renderer import RENDERER_VERSION
from tests.golden import regenerate
from tests.golden.case import EXPECTED_JSON, VERSIONS_FILE, Case, cases

EVERY_CASE = pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)


@EVERY_CASE
def test_a_stored_run_renders_to_its_golden_bytes(case: Case) -> None:
    """A stored run gives its golden file byte for byte and leaves out the claims it names."""
    data, left_out = case.render()

    assert data == case.expected_file.read_bytes()
    assert [[entry.claim_number, entry.code] for entry in left_out] == case.content["left_out"]


@EVERY_CASE
def test_bytes_change_only_with_the_renderer_version(case: Case) -> None:
    """The hash recorded under the current renderer version is that of the bytes made now."""
    recorded = json.loads(VERSIONS_FILE.read_text("utf-8"))[RENDERER_VERSION]

    assert recorded[case.name] == hashlib.sha256(case.render()[0]).hexdigest(), (
        "The bytes changed: raise RENDERER_VERSION, then regenerate the golden files."
    )


def test_every_golden_file_has_a_case() -> None:
    """No expected file is left behind without the run that makes it."""
    expected = {case.expected_file for case in cases()}
    folder = Path(regenerate.__file__).parent

    stored = {
        path
        for path in folder.glob("*/*")
        if path.suffix not in {".json", ".pyc"} or path.name.endswith(EXPECTED_JSON)
    }
    assert stored == expected


def _copied(case: Case, folder: Path) -> Case:
    copy = Case(folder / case.path.name)
    copy.path.write_bytes(case.path.read_bytes())
    return copy


@pytest.fixture
def changed_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    """Give a case in a folder of its own, whose expected bytes are no longer what is rendered."""
    case = _copied(cases()[0], tmp_path)
    monkeypatch.setattr("tests.golden.case.FOLDER", tmp_path)
    case.expected_file.write_bytes(b"older bytes")
    return case


def test_regenerating_refuses_to_overwrite_without_force(changed_case: Case) -> None:
    """A golden file that would change stays as it is unless force is given."""
    assert "--force" in (regenerate.write(changed_case, {}, force=False) or "")
    assert changed_case.expected_file.read_bytes() == b"older bytes"

    assert regenerate.write(changed_case, {}, force=True) is None
    assert changed_case.expected_file.read_bytes() == changed_case.render()[0]


def test_regenerating_refuses_other_bytes_under_the_same_version(changed_case: Case) -> None:
    """Even force does not put other bytes under a renderer version that stored runs may have."""
    recorded = {changed_case.name: "0" * 64}

    assert "RENDERER_VERSION" in (regenerate.write(changed_case, recorded, force=True) or "")
    assert changed_case.expected_file.read_bytes() == b"older bytes"
