"""Golden cases: a stored run beside the bytes that its file must have."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from exporters.claim import Member
from exporters.configuration import FrozenConfiguration
from exporters.problem import LeftOut
from exporters.registry import exporter_type
from exporters.run_renderer import RunContext, RunRenderer

FOLDER: Final = Path(__file__).parent
VERSIONS_FILE: Final = FOLDER / "renderer_versions.json"
EXPECTED_JSON: Final = ".expected.json"


@dataclass(frozen=True)
class Case:
    """One `<target>/<name>.json`: `run`, `configuration`, `members` and the `left_out` to expect.

    The expected bytes are in the file beside it that ends as the format's files do, their hash
    per renderer version in `renderer_versions.json`.
    """

    path: Path

    @property
    def name(self) -> str:
        """The target's folder and the file's name without its end."""
        return self.path.relative_to(FOLDER).with_suffix("").as_posix()

    @property
    def expected_file(self) -> Path:
        """Where the expected bytes are."""
        format_name = self.content["configuration"]["format"]
        extension = exporter_type(format_name).file_extension
        # A JSON file would be the case itself.
        return self.path.with_suffix(EXPECTED_JSON if extension == "json" else f".{extension}")

    @property
    def content(self) -> dict[str, Any]:
        """The stored run."""
        content: dict[str, Any] = json.loads(self.path.read_text("utf-8"))
        return content

    def render(self) -> tuple[bytes, list[LeftOut]]:
        """Render the stored run as one page."""
        content = self.content
        run = content["run"]
        renderer = RunRenderer(
            FrozenConfiguration.from_document(content["configuration"]),
            RunContext(
                run_id=UUID(run["run_id"]),
                run_number=run["run_number"],
                organization_id=UUID(run["organization_id"]),
                export_date=date.fromisoformat(run["export_date"]),
            ),
        )
        data = renderer.render(Member.model_validate(entry) for entry in content["members"])
        return data + renderer.finish(), renderer.take_left_out()


def cases() -> list[Case]:
    """List every case, in a fixed order."""
    paths = sorted(FOLDER.glob("*/*.json"))
    return [Case(path) for path in paths if not path.name.endswith(EXPECTED_JSON)]
