"""A completed run once more through its exporter, for the documents that lie beside its file.

They are made of the vouchers that the file was made of: what the exporter writes is hashed, and
when it is not the bytes of the file, there are no documents.
"""

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from threading import Lock
from typing import Final

from exporters import manifest
from exporters.claim import Member
from exporters.configuration import FrozenConfiguration
from exporters.problem import ConfigurationInvalid
from exporters.run_facts import RunFacts
from exporters.run_renderer import RunRenderer
from exporters.voucher import Voucher
from functions.errors import Defect, Refused
from functions.export_run import ExportFile, ExportRun, LeftOutClaim, RunDocument, Told
from functions.hashed_file import HashedFile
from functions.language import Language
from functions.left_out_page import LeftOutRow
from functions.problem_sentences import who_must_act, why
from functions.run_context import context_of
from functions.sheet_words import WORDS
from functions.verification_sheet import VerificationSheet
from functions.workbook import CONTENT_TYPE

_NAME_ENDS: Final[Mapping[Language, str]] = {
    Language.NORWEGIAN: "kontrollark",
    Language.ENGLISH: "verification-sheet",
}


class DocumentSource(Told):
    """A run with a file, and what was frozen into it; its members come in pages.

    `layout` is the one that was used, in full: what is shipped with the format may be a later one.
    """

    run: ExportRun
    configuration: Mapping[str, object]
    layout: Mapping[str, object] | None
    organization_name: str
    reverses_run_number: int | None
    completed_at: str
    completed_at_utc: str
    documents: tuple[RunDocument, ...]


class LeftOutMember(LeftOutClaim):
    """A claim that the run left out, and what it comes to."""

    position: int
    amount: Decimal
    currency: str


class DocumentRendering:
    """Not for two threads at once; blocks, so call it off the event loop.

    `sheet` and `beside` receive the sheet and the manifest. `discard` it in the end, come what may.
    """

    def __init__(
        self, source: DocumentSource, language: Language, sheet: HashedFile, beside: HashedFile
    ) -> None:
        """Raises Refused `sheet_not_reproducible`: this program does not know the format."""
        self._source = source
        self._language = language
        self._content = sheet
        self._beside = beside
        self._file = _file_of(source.run)
        self._digest = hashlib.sha256()
        self._renderer = self._new_renderer()
        # Whoever is cancelled leaves a thread behind that still writes.
        self._writing = Lock()
        self._sheet = VerificationSheet(
            sheet.append,
            WORDS[language.value],
            self._renderer.shown_dimensions,
            line_count=source.run.line_count or 0,
        )

    def write(self, members: Sequence[Member]) -> None:
        """Takes the next page. Raises Refused `sheet_not_reproducible`."""
        with self._writing:
            self._digest.update(self._renderer.render(members))
        if self._renderer.take_left_out():
            raise _not_reproducible("a claim of the file is left out now")

    def end_file(self) -> None:
        """After the last page. Raises Refused `sheet_not_reproducible`: these are other bytes."""
        self._digest.update(self._renderer.finish())
        if self._digest.hexdigest() != self._file.sha256:
            raise _not_reproducible(f"rendered by version {self._source.run.renderer_version}")

    def leave_out(self, claims: Sequence[LeftOutMember]) -> None:
        """Takes the next page of left-out claims."""
        with self._writing:
            self._sheet.leave_out(self._left_out_row(claim) for claim in claims)

    def finish(self) -> None:
        """Writes the totals and the manifest."""
        facts, summary = self._facts(), self._renderer.summary()
        with self._writing:
            sides = self._sheet.finish(facts, summary, self._renderer.notices())
        self._beside.append(manifest.manifest(facts, summary, sides))

    def discard(self) -> None:
        """Removes the temporary files, whether or not the documents were finished."""
        with self._writing:
            self._sheet.discard()

    def sheet_file(self) -> ExportFile:
        """Where the sheet belongs."""
        end = _NAME_ENDS[self._language]
        return self._beside_file(self._content, end, "xlsx", CONTENT_TYPE)

    def manifest_file(self) -> ExportFile:
        """Where the manifest belongs."""
        return self._beside_file(self._beside, "manifest", "json", manifest.CONTENT_TYPE)

    def _beside_file(
        self, content: HashedFile, end: str, extension: str, content_type: str
    ) -> ExportFile:
        run = self._source.run
        return ExportFile(
            path=f"{run.organization_id}/{run.run_id}/{content.sha256}.{extension}",
            name=f"{self._file.name.rpartition('.')[0]}-{end}.{extension}",
            sha256=content.sha256,
            size=content.size,
            content_type=content_type,
        )

    def _new_renderer(self) -> RunRenderer:
        context = context_of(self._source.run)
        try:
            document = {**self._source.configuration, "layout": self._source.layout or None}
            configuration = FrozenConfiguration.from_document(document)
            return RunRenderer(configuration, context, observe=self._take)
        except ConfigurationInvalid as invalid:
            raise _not_reproducible("the frozen configuration is not valid any more") from invalid

    def _take(self, voucher: Voucher) -> None:
        self._sheet.add(voucher)

    def _left_out_row(self, claim: LeftOutMember) -> LeftOutRow:
        return LeftOutRow(
            claim_number=claim.claim_number or "",
            reason=why(claim.code).said(self._language),
            action=who_must_act(claim.code, claim.field).said(self._language),
            field=claim.field or "",
            note=claim.message or "",
            amount=claim.amount,
            currency=claim.currency,
        )

    def _facts(self) -> RunFacts:
        source, run, layout = self._source, self._source.run, self._renderer.layout
        name, version = layout.get("name"), layout.get("version")
        return RunFacts(
            organization_id=run.organization_id,
            organization_name=source.organization_name,
            run_id=run.run_id,
            run_number=run.run_number,
            reverses_run_number=source.reverses_run_number,
            target=run.target,
            format=run.format,
            layout_name=name if isinstance(name, str) else None,
            layout_version=version if isinstance(version, int) else None,
            period_from=run.period_from,
            period_to=run.period_to,
            export_date=run.export_date,
            time_zone=run.time_zone,
            triggered_by=run.triggered_by_name,
            completed_at=source.completed_at,
            completed_at_utc=source.completed_at_utc,
            file_name=self._file.name,
            file_sha256=self._file.sha256,
            file_size=self._file.size,
            renderer_version=run.renderer_version or "",
        )


def _file_of(run: ExportRun) -> ExportFile:
    if run.file is None:
        raise Defect("a completed run of ours without a file")
    return run.file


def _not_reproducible(cause: str) -> Refused:
    return Refused("sheet_not_reproducible", cause=cause)
