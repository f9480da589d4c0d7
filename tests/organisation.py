"""An organisation with its people, target, rules and claims, made by plain SQL for tests of every tier."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg

from exporters.run_renderer import RENDERER_VERSION
from stack.database import Database

ACCOUNTS = {
    "mileage": "7100",
    "toll": "7140",
    "parking": "7140",
    "train": "7140",
    "receipt": "6860",
}
SETTINGS: dict[str, dict[str, Any]] = {
    "xledger": {"entity_code": "10010", "voucher_type": "GL"},
    "dynamics": {},
}
FORMATS = {"xledger": "xledger_gl02b", "dynamics": "dynamics_bc_csv"}
APPROVED_AT = datetime(2026, 10, 5, 12, tzinfo=UTC)
OCTOBER = ("2026-10-01", "2026-10-31")


@dataclass(frozen=True)
class Organisation:
    """One organisation in one database; methods write as the database owner, as the app's backend would."""

    database: Database
    id: UUID = field(default_factory=uuid4)
    name: str = "Blindeforbundet"

    @classmethod
    def create(
        cls, database: Database, target: str = "xledger", name: str = "Blindeforbundet"
    ) -> "Organisation":
        """Create it with one target and a posting rule for every usual expense type."""
        organisation = cls(database, name=name)
        organisation.execute(
            "insert into public.organizations (id, name) values (%s, %s)", organisation.id, name
        )
        organisation.add_target(target)
        return organisation

    def check_configuration(self) -> None:
        """Write down that the functions found nothing wrong with every target as it is now."""
        self.execute(
            "select export_engine.record_configuration_check(t.organization_id, t.target,"
            " export_engine.configuration_fingerprint(export_engine.freeze_configuration(t, %s)), %s, '[]')"
            " from public.export_targets as t where t.organization_id = %s",
            RENDERER_VERSION,
            RENDERER_VERSION,
            self.id,
        )

    def execute(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run one statement as the owner and return its rows, if it has any."""
        with self.database.connect("postgres") as owner:
            cursor = owner.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def add_target(self, target: str, **columns: object) -> None:
        """Configure an accounting system with rules for every usual expense type and the payable side."""
        self.execute(
            "insert into public.export_targets (organization_id, target, format, settings, time_zone)"
            " values (%s, %s, %s, %s, 'Europe/Oslo')",
            self.id,
            target,
            columns.get("format", FORMATS[target]),
            json.dumps(columns.get("settings", SETTINGS[target])),
        )
        for expense_type, account_code in ACCOUNTS.items():
            self.execute(
                "insert into public.export_posting_rules"
                " (organization_id, target, side, expense_type, account_code) values (%s, %s, 'expense', %s, %s)",
                self.id,
                target,
                expense_type,
                account_code,
            )
        self.execute(
            "insert into public.export_posting_rules (organization_id, target, side, account_code)"
            " values (%s, %s, 'payable', '2990')",
            self.id,
            target,
        )

    def add_member(self, role: str = "coordinator", name: str = "Kåre Åsen") -> UUID:
        """Add somebody with a role; she cannot log in, but the database knows her."""
        user_id = uuid4()
        self.execute(
            "insert into auth.users (id, email) values (%s, %s)", user_id, f"{user_id}@example.org"
        )
        self.enrol(user_id, role, name)
        return user_id

    def enrol(self, user_id: UUID, role: str, name: str) -> None:
        """Make an existing user a member."""
        self.execute(
            "insert into public.organization_members (organization_id, user_id, role, display_name)"
            " values (%s, %s, %s, %s)",
            self.id,
            user_id,
            role,
            name,
        )

    def add_claim(
        self,
        lines: Sequence[tuple[str, str]] = (("mileage", "350.00"), ("toll", "56.00")),
        *,
        status: str = "approved",
        approved_at: datetime = APPROVED_AT,
        claimant: str = "Åse Ødegård",
        currency: str = "NOK",
    ) -> UUID:
        """Add a claim with (expense type, amount) lines."""
        claim_id = uuid4()
        self.execute(
            "insert into public.expense_claims"
            " (id, organization_id, claim_number, claimant_name, claimant_number, purpose, currency, status, approved_at)"
            " values (%s, %s, %s, %s, '10023', 'Tillitsvalgtmøte i Tromsø', %s, %s, %s)",
            claim_id,
            self.id,
            f"2026-{claim_id.hex[:8]}",
            claimant,
            currency,
            status,
            approved_at if status == "approved" else None,
        )
        for number, (expense_type, amount) in enumerate(lines, start=1):
            self.execute(
                "insert into public.expense_claim_lines"
                " (claim_id, line_number, expense_type, description, expense_date, amount)"
                " values (%s, %s, %s, 'Tromsø-Alta', '2026-09-30', %s)",
                claim_id,
                number,
                expense_type,
                Decimal(amount),
            )
        return claim_id

    def add_claims(
        self,
        count: int,
        *,
        approved_at: datetime = APPROVED_AT,
        spacing: timedelta = timedelta(seconds=1),
    ) -> list[UUID]:
        """Add many claims with one mileage line each, approved one after the other, oldest first."""
        rows = self.execute(
            "with claims as ("
            "  insert into public.expense_claims"
            "    (organization_id, claim_number, claimant_name, claimant_number, purpose, status, approved_at)"
            "  select %s, '2026-' || left(md5(gen_random_uuid()::text), 12), 'Åse Ødegård', '10023', 'Møte', 'approved', %s + n * %s"
            "  from generate_series(1, %s) as n returning id, approved_at"
            "), lines as ("
            "  insert into public.expense_claim_lines (claim_id, line_number, expense_type, description, expense_date, amount)"
            "  select id, 1, 'mileage', 'Kjøring', '2026-09-30', 100 from claims"
            ") select id from claims order by approved_at",
            self.id,
            approved_at,
            spacing,
            count,
        )
        return [row[0] for row in rows]

    def expire_lease(self) -> None:
        """Shift the stored times of the lock into the past, as if its worker had been silent for long."""
        self.execute(
            "update public.export_locks set acquired_at = clock_timestamp() - interval '1 hour',"
            " expires_at = clock_timestamp() - interval '1 second' where organization_id = %s and run_id is not null",
            self.id,
        )

    def live_memberships(self) -> dict[UUID, list[tuple[UUID, str]]]:
        """Claim -> (run, run status) of its live memberships."""
        found: dict[UUID, list[tuple[UUID, str]]] = {}
        for claim_id, run_id, status in self.execute(
            "select m.claim_id, m.run_id, r.status from public.export_run_claims m"
            " join public.export_runs r on r.id = m.run_id"
            " where m.organization_id = %s and m.released_at is null",
            self.id,
        ):
            found.setdefault(claim_id, []).append((run_id, status))
        return found

    def as_user(self, user_id: UUID) -> psycopg.Connection:
        """A connection of the data API that carries this user's token."""
        return self.database.connect("authenticated", claims={"sub": str(user_id)})

    def as_service(self) -> psycopg.Connection:
        """A connection of the data API that carries the service key."""
        return self.database.connect("service_role")


def call(connection: psycopg.Connection, function: str, **arguments: object) -> dict[str, Any]:
    """Call a function of the data API by name and return its JSON."""
    names = ", ".join(f"{name} => %({name})s" for name in arguments)
    values = {
        name: json.dumps(value)
        if isinstance(value, Mapping | list) and name not in _ARRAYS
        else value
        for name, value in arguments.items()
    }
    row = connection.execute(f"select public.{function}({names})".encode(), values).fetchone()
    assert row is not None
    answer: dict[str, Any] = row[0]
    return answer


_ARRAYS = {"p_claim_ids", "p_statuses"}


def begin(  # noqa: PLR0913 - the request of begin_export
    connection: psycopg.Connection,
    organisation: Organisation,
    period: tuple[str | None, str] = OCTOBER,
    *,
    key: str | None = None,
    invocation: UUID | None = None,
    target: str | None = None,
) -> dict[str, Any]:
    """Call begin_export as the connection's user."""
    return call(
        connection,
        "begin_export",
        p_organization_id=organisation.id,
        p_target=target,
        p_period_from=period[0],
        p_period_to=period[1],
        p_idempotency_key=key,
        p_invocation_id=invocation or uuid4(),
    )


def store_file(
    organisation: Organisation, run_id: str, content_hash: str = "a" * 64
) -> dict[str, Any]:
    """Make the database believe that a file was uploaded, and return what complete_export_run wants to know of it."""
    path = f"{organisation.id}/{run_id}/{content_hash}.csv"
    organisation.execute(
        "insert into storage.objects (bucket_id, name) values ('exports', %s) on conflict do nothing",
        path,
    )
    return {
        "path": path,
        "name": "export.csv",
        "sha256": content_hash,
        "size": 10,
        "content_type": "text/csv",
    }


def summary_of(claims: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a renderer would report for these members."""
    totals: dict[str, Decimal] = {}
    for claim in claims:
        document = claim["document"]
        totals[document["currency"]] = totals.get(document["currency"], Decimal(0)) + Decimal(
            document["total"]
        )
    return {
        "claim_count": len(claims),
        "voucher_count": len(claims),
        "line_count": sum(len(claim["document"]["lines"]) + 1 for claim in claims),
        "totals": {currency: str(total) for currency, total in totals.items()},
        "renderer_version": "1",
        "layout": {"name": "test"},
        "breakdown": breakdown_of(claims),
        "lines": lines_of(claims),
    }


def breakdown_of(claims: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a renderer would report of accounts: one for all expenses, one for what is owed."""
    groups = []
    for currency in sorted({claim["document"]["currency"] for claim in claims}):
        documents = [c["document"] for c in claims if c["document"]["currency"] == currency]
        total = sum(Decimal(document["total"]) for document in documents)
        expense, owed = ("debit", "credit") if total >= 0 else ("credit", "debit")
        sides = {"currency": currency, "dimensions": {}, "debit": "0.00", "credit": "0.00"}
        lines = sum(len(document["lines"]) for document in documents)
        groups += [
            {**sides, "account_code": "7100", expense: str(abs(total)), "line_count": lines},
            {**sides, "account_code": "2990", owed: str(abs(total)), "line_count": len(documents)},
        ]
    return {"groups": groups, "cut": False}


def lines_of(claims: Sequence[Mapping[str, Any]], first: int = 1) -> dict[str, Any] | None:
    """Where a renderer would write these members: one line for each of a claim's and one more."""
    starts = [first]
    for claim in claims:
        starts.append(starts[-1] + len(claim["document"]["lines"]) + 1)
    if not claims:
        return None
    return {
        "positions": [claim.get("position", place) for place, claim in enumerate(claims, 1)],
        "first_lines": starts[:-1],
        "last_line": starts[-1] - 1,
    }


def complete(
    organisation: Organisation,
    begun: Mapping[str, Any],
    *,
    content_hash: str = "a" * 64,
    token: int | None = None,
) -> dict[str, Any]:
    """Complete a run that was begun, with all its claims, as the service."""
    run_id = begun["run"]["run_id"]
    with organisation.as_service() as service:
        return call(
            service,
            "complete_export_run",
            p_run_id=run_id,
            p_fencing_token=begun["fencing_token"] if token is None else token,
            p_file=store_file(organisation, run_id, content_hash),
            p_summary=summary_of(begun["claims"]),
            p_left_out=[],
        )
