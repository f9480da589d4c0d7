"""One organisation's export: two coordinators at once, a retry, a lost key, and the file."""

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from rich.console import Console

from demo.failure import DemoFailure, demand
from demo.phone import Answer, Phone, download
from demo.tables import (
    Turn,
    show_claims,
    show_conversation,
    show_first_lines,
    show_history,
    show_preview,
    show_run,
)
from stack.embedded_stack import EmbeddedStack
from stack.example_organisations import Example

_MOST_RETRIES = 20
_DAYS = 60


def tell(
    console: Console, stack: EmbeddedStack, example: Example, organization_id: UUID, output: Path
) -> None:
    """Export the claims as the coordinators would, and check every promise on the way.

    Raises:
        DemoFailure: something was not as promised.
    """
    console.rule(f"[bold]{example.name}: {example.format}")
    one, other = example.coordinators[:2]
    with Phone(stack, one) as first, Phone(stack, other) as second:
        preview = first.preview(organization_id, _period()).expect(200)
        show_preview(console, preview)
        turns = _conversation(first, second, organization_id)
        show_conversation(console, turns)

        run = _the_one_run(turns)
        details = first.run(run["run_id"]).expect(200)
        content = download(details["download"]["url"])
        folder = output / example.folder
        path = _keep(content, folder, details["run"]["file"])
        beside = _documents(first, run["run_id"], folder)
        claims = first.claims(organization_id)
        _check(example, details, claims, content)
        demand(
            preview["first_lines"] == content.decode("utf-8").splitlines()[:20],
            "the preview showed other lines than the file has",
        )
        show_claims(console, claims, details["left_out"])
        show_run(console, details["run"], str(path.relative_to(output.parent)), beside)
        show_first_lines(console, content)
        show_history(console, first.history(organization_id).expect(200)["runs"])


def _period() -> tuple[date, date]:
    today = date.today()  # noqa: DTZ011 - what a calendar on the phone shows
    return today - timedelta(days=_DAYS), today


def _conversation(first: Phone, second: Phone, organization_id: UUID) -> list[Turn]:
    """Two taps at once, a retry with the same key, and a tap by somebody who lost hers."""
    period = _period()
    key = str(uuid4())
    with ThreadPoolExecutor(2) as taps:
        tapped = taps.submit(first.trigger, organization_id, period, key)
        also_tapped = taps.submit(second.trigger, organization_id, period, str(uuid4()))
    retried = _until_done(first, organization_id, period, key)
    again = second.trigger(organization_id, period, str(uuid4()))
    again.expect(200)
    return [
        (first.person.name, "taps export", tapped.result()),
        (second.person.name, "taps at the same moment", also_tapped.result()),
        (first.person.name, "retries with the same key", retried),
        (second.person.name, "lost her key, taps again", again),
    ]


def _until_done(phone: Phone, organization_id: UUID, period: tuple[date, date], key: str) -> Answer:
    """Retry with the same key, as an app does that is not sure whether its request arrived."""
    for _ in range(_MOST_RETRIES):
        answer = phone.trigger(organization_id, period, key)
        if answer.status == 200:  # noqa: PLR2004 - HTTP OK
            return answer
        answer.expect(202, 409)
        time.sleep(float(answer.body.get("retry_after") or 1))
    raise DemoFailure("the export did not come to an end")


def _the_one_run(turns: list[Turn]) -> dict[str, Any]:
    """All answers name one run, and one of them made it."""
    runs = {
        turn[2].body["run"]["run_id"]: turn[2].body["run"]
        for turn in turns
        if turn[2].body.get("run")
    }
    demand(len(runs) == 1, f"one period made {len(runs)} runs instead of one")
    created = [turn for turn in turns if turn[2].status == 201]  # noqa: PLR2004 - HTTP Created
    demand(len(created) == 1, f"{len(created)} calls say that they made the run")
    return next(iter(runs.values()))


def _keep(content: bytes, folder: Path, file: dict[str, Any]) -> Path:
    demand(
        hashlib.sha256(content).hexdigest() == file["sha256"],
        f"the downloaded bytes of {file['name']} have another hash",
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / str(file["name"])
    path.write_bytes(content)
    return path


def _documents(phone: Phone, run_id: str, folder: Path) -> str:
    """Keep the accountant's sheet and the manifest beside the file; their names."""
    told = phone.sheet(run_id).expect(200)
    documents = [told["verification_sheet"], told["manifest"]]
    kept = [_keep(download(entry["download"]["url"]), folder, entry) for entry in documents]
    manifest = json.loads(kept[1].read_text("utf-8"))
    demand(
        manifest["file_sha256"] == told["file"]["sha256"]
        and manifest["sum_debit"] == manifest["sum_credit"],
        "the manifest is of another file, or does not balance",
    )
    return ", ".join(path.name for path in kept)


def _check(
    example: Example, details: dict[str, Any], claims: list[dict[str, Any]], content: bytes
) -> None:
    """What the tables are about to claim."""
    run = details["run"]
    approved = [claim.number for claim in example.claims if claim.status == "approved"]
    demand(
        [claim["claim_number"] for claim in claims] == sorted(approved),
        "not every approved claim is accounted for",
    )
    exported = [claim for claim in claims if claim["export_status"] == "exported"]
    demand(len(exported) == run["claim_count"], "the run counts other claims than the claims say")
    demand(
        len(exported) + len(details["left_out"]) == len(approved),
        "a claim is neither in the file nor left out",
    )
    text = content.decode("utf-8")
    for claim in claims:
        is_in_file = claim["claim_number"] in text
        demand(
            is_in_file == (claim in exported),
            f"claim {claim['claim_number']} is in the file against its status",
        )
