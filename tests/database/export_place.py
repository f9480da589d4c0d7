"""Where random lives happen: a database with small pages, long leases and open connections."""

from uuid import UUID, uuid4

from stack.database import Database
from tests.database.connected_organisation import ConnectedOrganisation
from tests.database.organisation_snapshot import take_snapshot
from tests.organisation import begin


class ExportPlace:
    """A database for many examples: open connections, two coordinators, and a neighbour who must not notice."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.owner = database.connect("postgres")
        self.service = database.connect("service_role")
        self.owner.execute(
            "create or replace function export_engine.page_size() returns integer language sql immutable return 2"
        )
        self.owner.execute(
            "create or replace function export_engine.lease() returns interval language sql immutable return interval '1 hour'"
        )
        self.neighbour = ConnectedOrganisation(database, name="HLF", owner=self.owner)
        self._found(self.neighbour)
        self.stranger = self.neighbour.as_user(self.neighbour.add_member("admin"))
        self.neighbour.add_claims(3)
        begin(self.stranger, self.neighbour)
        self.user_ids = [uuid4(), uuid4()]
        for user_id in self.user_ids:
            self.owner.execute(
                "insert into auth.users (id, email) values (%s, %s)",
                [user_id, f"{user_id}@example.org"],
            )
        self.users = [
            database.connect("authenticated", claims={"sub": str(user_id)})
            for user_id in self.user_ids
        ]
        self.unmoved = take_snapshot(self.owner, self.neighbour.id)

    def _found(self, organisation: ConnectedOrganisation) -> None:
        organisation.execute(
            "insert into public.organizations (id, name) values (%s, %s)",
            organisation.id,
            organisation.name,
        )
        organisation.add_target("xledger")

    def settle(self) -> ConnectedOrganisation:
        """A fresh organisation of the two coordinators."""
        organisation = ConnectedOrganisation(self.database, owner=self.owner)
        self._found(organisation)
        for user_id in self.user_ids:
            organisation.enrol(user_id, "coordinator", "Kåre Åsen")
        return organisation

    def assert_others_unmoved(self, organisation_id: UUID) -> None:
        """I9: the neighbour is as it was, and its admin sees nothing of the organisation."""
        assert take_snapshot(self.owner, self.neighbour.id) == self.unmoved, "I9: neighbour changed"
        seen = self.stranger.execute(
            "select (select count(*) from public.export_runs where organization_id = %(id)s)"
            " + (select count(*) from public.export_run_claims where organization_id = %(id)s)"
            " + (select count(*) from public.export_run_events where organization_id = %(id)s)"
            " + (select count(*) from public.claim_export_status where organization_id = %(id)s)"
            " + (select count(*) from public.export_runs_stuck where organization_id = %(id)s)",
            {"id": organisation_id},
        ).fetchone()
        assert seen == (0,), "I9: a stranger sees something"
