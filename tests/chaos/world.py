"""Everything the oracle judges, read by plain SQL over tables: none of the engine's functions or views."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.rows import namedtuple_row

from stack.database import Database
from tests.chaos.books import Books
from tests.chaos.fenced_call import FencedCall
from tests.chaos.stored_file import StoredFile

ReadObject = Callable[[str], bytes | None]
"""The bytes of an object of the bucket by its name; None when the storage has none."""


class Claim(NamedTuple):
    """A claim as it stands now. `has_rules`: each of its lines has an account."""

    claim_id: UUID
    organization_id: UUID
    claim_number: str
    status: str
    has_rules: bool


class Version(NamedTuple):
    """What a claim became at a moment, stamped while its row was locked."""

    claim_id: UUID
    version: int
    status: str
    amount: Decimal
    approved_at: datetime | None
    stamped_at: datetime


class Member(NamedTuple):
    """A claim in a run; `purpose` and `line_*` come from the frozen document."""

    run_id: UUID
    position: int
    organization_id: UUID
    claim_id: UUID
    kind: str
    voucher_number: int
    outcome: str
    reason_code: str | None
    reserved_at: datetime
    released_at: datetime | None
    amount: Decimal
    currency: str
    claim_number: str
    purpose: str
    total: Decimal
    line_texts: list[str]
    line_amounts: list[Decimal]


class Run(NamedTuple):
    """A run; `approved_*` are the instants of its period in its time zone."""

    run_id: UUID
    organization_id: UUID
    run_number: int
    format: str
    status: str
    attempt: int
    fencing_token: int | None
    approved_from: datetime | None
    approved_before: datetime
    reserved_count: int
    left_out_count: int
    claim_count: int | None
    voucher_count: int | None
    line_count: int | None
    totals: dict[str, str] | None
    file_path: str | None
    file_sha256: str | None
    file_size: int | None
    created_at: datetime
    processing_at: datetime | None
    sealed_at: datetime | None
    completed_at: datetime | None
    releasing_at: datetime | None
    failed_at: datetime | None


class Event(NamedTuple):
    """One entry of a run's history."""

    event_id: int
    run_id: UUID
    organization_id: UUID
    event: str
    occurred_at: datetime
    detail: dict[str, Any]

    @property
    def granted_token(self) -> int | None:
        """The fencing token that was given; a container that is cleared has that of its attempt."""
        return None if self.event == "delivery_cleared" else self.detail.get("fencing_token")


class Document(NamedTuple):
    """What is recorded to lie beside a run's file; `stored_sha256` is of its bytes in the bucket."""

    run_id: UUID
    kind: str
    path: str
    sha256: str
    stored_sha256: str | None = None


class Container(NamedTuple):
    """Where an attempt wrote in an accounting system, and whether it is said to be removed."""

    run_id: UUID
    fencing_token: int
    container: str
    is_cleared: bool


class HeldLock(NamedTuple):
    """A lock that somebody holds, or held and did not give back."""

    organization_id: UUID
    run_id: UUID | None


class Acknowledgement(NamedTuple):
    """What a phone was told: this run is completed, with this file."""

    run_id: UUID
    sha256: str


@dataclass
class World:
    """`files` has the stored file of each completed run that has one at its path."""

    claims: Sequence[Claim] = ()
    versions: Sequence[Version] = ()
    members: Sequence[Member] = ()
    runs: Sequence[Run] = ()
    events: Sequence[Event] = ()
    held_locks: Sequence[HeldLock] = ()
    objects: Sequence[str] = ()
    documents: Sequence[Document] = ()
    containers: Sequence[Container] = ()
    # Of organisations that send their vouchers there: what is in the accounting system.
    books: dict[UUID, Books] = field(default_factory=dict)
    files: dict[UUID, StoredFile] = field(default_factory=dict)
    fenced_calls: Sequence[FencedCall] = ()
    acknowledgements: Sequence[Acknowledgement] = ()
    unanswered: Sequence[str] = ()

    @classmethod
    def read(cls, database: Database, read_object: ReadObject) -> "World":
        """What the database and the bucket hold; what the harness saw is for the caller to add."""
        with database.connect("postgres", autocommit=False) as owner:
            owner.execute("set transaction isolation level repeatable read")
            cursor = owner.cursor(row_factory=namedtuple_row)
            rows = {name: cursor.execute(query).fetchall() for name, query in _QUERIES.items()}
        world = cls(
            claims=[Claim._make(row) for row in rows["claims"]],
            versions=[Version._make(row) for row in rows["versions"]],
            members=[Member._make(row) for row in rows["members"]],
            runs=[Run._make(row) for row in rows["runs"]],
            events=[Event._make(row) for row in rows["events"]],
            held_locks=[HeldLock._make(row) for row in rows["held_locks"]],
            containers=[Container._make(row) for row in rows["containers"]],
            objects=[row[0] for row in rows["objects"]],
            documents=[
                Document._make((*row, _sha256_of(read_object(row[2])))) for row in rows["documents"]
            ],
        )
        for run in world.runs:
            content = read_object(run.file_path) if run.file_path else None
            if content is not None:
                world.files[run.run_id] = StoredFile.read(content, run.format)
        return world


def _sha256_of(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()


# The joins are hashed: a sub-select per row would ask a hundred thousand times.
_QUERIES = {
    "claims": """
        select c.id, c.organization_id, c.claim_number, c.status, bad.claim_id is null as has_rules
        from public.expense_claims c
        left join (
          select distinct l.claim_id
          from public.expense_claim_lines l
          join public.expense_claims h on h.id = l.claim_id
          left join public.export_posting_rules p
            on p.organization_id = h.organization_id and p.expense_type = l.expense_type and p.side = 'expense'
          where p.organization_id is null
        ) bad on bad.claim_id = c.id""",
    "versions": """
        select claim_id, version, status, amount, approved_at, stamped_at
        from chaos.claim_versions order by claim_id, stamped_at, id""",
    "members": """
        select run_id, position, organization_id, claim_id, kind, voucher_number, outcome, reason_code,
          reserved_at, released_at, amount, currency,
          document ->> 'claim_number' as claim_number, document ->> 'purpose' as purpose,
          (document ->> 'total')::numeric as total,
          array(select l ->> 'description' from jsonb_array_elements(document -> 'lines') l) as line_texts,
          array(select (l ->> 'amount')::numeric from jsonb_array_elements(document -> 'lines') l) as line_amounts
        from public.export_run_claims order by run_id, position""",
    "runs": """
        select id as run_id, organization_id, run_number, format, status, attempt, fencing_token,
          period_from::timestamp at time zone time_zone as approved_from,
          least((period_to + 1)::timestamp at time zone time_zone, cut_off) as approved_before,
          reserved_count, left_out_count, claim_count, voucher_count, line_count, totals,
          file_path, file_sha256, file_size,
          created_at, processing_at, sealed_at, completed_at, releasing_at, failed_at
        from public.export_runs order by organization_id, run_number""",
    "events": """
        select id as event_id, run_id, organization_id, event, occurred_at, detail
        from public.export_run_events order by id""",
    "held_locks": """
        select organization_id, run_id from public.export_locks
        where holder_id is not null or run_id is not null or expires_at is not null""",
    "containers": """
        select run_id, fencing_token, container, cleared_at is not null as is_cleared
        from public.export_delivery_containers order by run_id, fencing_token""",
    "documents": "select run_id, kind, path, sha256 from public.export_run_documents order by path",
    "objects": "select name from storage.objects where bucket_id = 'exports' order by name",
}
