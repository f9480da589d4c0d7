"""What a search from the books or the file found."""

from typing import Literal
from uuid import UUID

from functions.claim_status import MembershipInShort
from functions.export_run import ExportRun, Membership, Told


class FoundRun(ExportRun):
    """A run, and by what it was found."""

    found_by: tuple[Literal["run_number", "file_name", "manual_file_name", "file_sha256"], ...]


class FoundClaim(MembershipInShort):
    """A claim in a run, under the number that stood on it then, and by what it was found."""

    claim_id: UUID
    claim_number: str | None
    found_by: tuple[Literal["voucher_number", "claim_number", "external_number"], ...]


class ClaimAtLine(Membership):
    """The claim behind a line of a file; `voucher_line` is the line within its voucher, from 1."""

    line_number: int
    voucher_line: int
    claim_id: UUID
    claim_number: str | None


class FoundExports(Told):
    """At most fifty of each; `has_more` when there are others."""

    runs: tuple[FoundRun, ...]
    claims: tuple[FoundClaim, ...]
    has_more: bool
