"""Two organisations in the same state, with something in every table and view, and the people of one of them."""

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg

from stack.database import Database
from tests.access.matrix import PEOPLE, Role, database_role
from tests.database.bookkeeper import Bookkeeper, vouchers
from tests.database.documents import record_documents
from tests.organisation import Organisation, begin, call, complete


@dataclass(frozen=True)
class Place:
    """An organisation with what a caller can name of it."""

    organisation: Organisation
    run_id: UUID
    in_doubt: UUID
    file_path: str
    exported: UUID
    eligible: UUID
    held: UUID
    reconciliation: UUID

    @classmethod
    def furnish(cls, database: Database, name: str) -> "Place":
        """Create it, and let everything happen there that leaves rows."""
        organisation = Organisation.create(database, name=name)
        claim_ids = organisation.add_claims(2)
        coordinator = organisation.as_user(organisation.add_member())
        done = complete(organisation, begin(coordinator, organisation))
        run_id = done["run"]["run_id"]
        record_documents(organisation, run_id)
        # Runs of their own: one without documents, one that waits, one for whoever asks next.
        organisation.add_claim()
        complete(organisation, begin(coordinator, organisation), content_hash="b" * 64)
        in_doubt = add_delivery(organisation)
        delete_a_run(organisation)
        held = leave_notes(organisation)
        [(path, reconciliation)] = organisation.execute(
            "select (select file_path from public.export_runs where id = %s),"
            " (select id from public.export_reconciliations where organization_id = %s limit 1)",
            run_id,
            organisation.id,
        )
        return cls(
            organisation,
            UUID(run_id),
            in_doubt,
            path,
            claim_ids[0],
            organisation.add_claim(),
            held,
            reconciliation,
        )

    def marks(self) -> set[str]:
        """What an answer that tells something of this organisation names."""
        rows = self.organisation.execute(
            "select unnest(array[o.id::text, o.name]) from public.organizations as o where o.id = %s"
            " union select unnest(array[c.id::text, c.claim_number]) from public.expense_claims as c where c.organization_id = %s"
            " union select unnest(array[r.id::text, r.file_path]) from public.export_runs as r where r.organization_id = %s"
            " union select m.user_id::text from public.organization_members as m where m.organization_id = %s",
            *[self.organisation.id] * 4,
        )
        return {row[0] for row in rows if row[0] is not None}


@dataclass(frozen=True)
class World:
    """`own` is where the people are members, each in the role of her name; `other` is where nobody is."""

    database: Database
    own: Place
    other: Place
    people: dict[Role, UUID]
    sessions: dict[Role, psycopg.Connection] = field(default_factory=dict)

    @classmethod
    def create(cls, database: Database) -> "World":
        """Furnish both, and let the member have a claim in her organisation."""
        own = Place.furnish(database, "Blindeforbundet")
        other = Place.furnish(database, "HLF")
        people: dict[Role, UUID] = {role: own.organisation.add_member(role) for role in PEOPLE}
        own.organisation.execute(
            "update public.expense_claims set claimant_id = %s where id = %s",
            people["member"],
            own.eligible,
        )
        return cls(database, own, other, people)

    def session(self, role: Role) -> psycopg.Connection:
        """The data API as this role; whoever uses it rolls back what she did."""
        if role not in self.sessions:
            claims = {"sub": str(self.people[role])} if role in self.people else None
            self.sessions[role] = self.database.connect(
                database_role(role), claims=claims, autocommit=False
            )
        return self.sessions[role]

    def places(self) -> list[tuple[Place, bool]]:
        """Both organisations, and whether each is her own."""
        return [(self.own, True), (self.other, False)]


def add_delivery(organisation: Organisation) -> UUID:
    """A run in doubt, a voucher of which may have been sent over an API."""
    organisation.execute(
        "update public.export_targets set delivery = 'business_central', connection = '{\"company\": \"HLF\"}'"
        " where organization_id = %s",
        organisation.id,
    )
    organisation.add_claims(1)
    begun = begin(organisation.as_user(organisation.add_member()), organisation)
    held: dict[str, Any] = {
        "p_run_id": begun["run"]["run_id"],
        "p_fencing_token": begun["fencing_token"],
    }
    delivery = {"voucher_number": 9, "document_number": "HLF9", "state": "intended"}
    with organisation.as_service() as service:
        call(service, "open_delivery", **held, p_container="EX1")
        call(service, "record_deliveries", **held, p_deliveries=json.dumps([delivery]))
        call(
            service,
            "doubt_export_run",
            **held,
            p_error_code="delivery_unavailable",
            p_error_detail="{}",
        )
    organisation.execute(
        "update public.export_targets set delivery = 'file', connection = '{}' where organization_id = %s",
        organisation.id,
    )
    return UUID(begun["run"]["run_id"])


def delete_a_run(organisation: Organisation) -> None:
    """What is left of a run that was deleted for good, and of an erasure, without the years that go before."""
    with organisation.database.connect("supabase_admin", autocommit=False) as superuser:
        superuser.execute("set local session_replication_role = replica")
        superuser.execute(
            "insert into public.export_deleted_runs (run_id, organization_id, run_number, status, export_date,"
            " kept_until, voucher_numbers, confirmation, reason, deleted_by)"
            " values (%s, %s, 99, 'completed', '2015-01-31', '2021-01-31', '{}', 'yes', 'Kept long enough.', 'Ingrid')",
            [uuid4(), organisation.id],
        )
        superuser.execute(
            "insert into public.export_erasures (organization_id, claim_id, actor, reason)"
            " values (%s, %s, 'Ingrid', 'Asked for.')",
            [organisation.id, uuid4()],
        )


def leave_notes(organisation: Organisation) -> UUID:
    """Fill what is left: a refused voucher, a hold, a changed claim, a gap, a reconciliation, a bad set-up, a dead worker; return the held claim."""
    accountant = Bookkeeper(organisation.as_user(organisation.add_member("accountant")))
    [(run_id,)] = organisation.execute(
        "select id from public.export_runs where organization_id = %s and run_number = 1",
        organisation.id,
    )
    accountant.confirm(run_id, "refused", vouchers(2))
    for statement in (
        "update public.expense_claims set purpose = 'Rettet' where organization_id = %s",
        "update public.export_counters set last_value = last_value + 1 where organization_id = %s",
        "select public.reconcile_exports(%s)",
        "select public.record_configuration_check(%s, 'xledger', repeat('a', 64), '2', '[{\"field\": \"layout\"}]')",
    ):
        organisation.execute(statement, organisation.id)
    organisation.add_claim()
    begin(organisation.as_user(organisation.add_member()), organisation)
    organisation.expire_lease()
    # Whoever exports by hand lifts such a hold.
    held = organisation.add_claim()
    organisation.execute("select public.hold_claims(%s, 'Receipt is missing.', 'Ingrid')", [held])
    return held
