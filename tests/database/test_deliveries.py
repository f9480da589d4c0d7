"""Deliveries over an API: written down before they are sent, and no claim let go that may have arrived."""

import json
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from stack.database import Database
from tests.database.bookkeeper import Bookkeeper, refusal
from tests.database.worker import Worker
from tests.organisation import Organisation, begin, call

STALE = ("PT409", "stale_token")


@pytest.fixture
def organisation(database: Database) -> Organisation:
    organisation = Organisation.create(database)
    organisation.execute(
        "update public.export_targets set delivery = 'business_central', connection = '{\"company\": \"HLF\"}'"
    )
    return organisation


@pytest.fixture
def coordinator(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member())


@pytest.fixture
def service(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_service()


class Deliverer:
    """A worker that delivers; every claim here is a voucher of its own."""

    def __init__(
        self, organisation: Organisation, service: psycopg.Connection, answer: dict[str, Any]
    ) -> None:
        self.organisation = organisation
        self.service = service
        self.run_id = answer["run"]["run_id"]
        self.token = answer["fencing_token"]
        self.members = answer["claims"]
        self.worker = Worker.of(organisation, service, answer)

    def _write(self, function: str, **arguments: object) -> dict[str, Any]:
        return call(
            self.service, function, p_run_id=self.run_id, p_fencing_token=self.token, **arguments
        )

    def open(self) -> list[dict[str, Any]]:
        """Note where this attempt writes; what earlier ones left."""
        answer = self._write("open_delivery", p_container=f"EX{self.token:08d}")
        return list(answer["containers"])

    def record(self, state: str, numbers: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """Say the same of vouchers, of all if none is named; what a person settled."""
        numbers = numbers or [member["voucher_number"] for member in self.members]
        deliveries = [
            {"voucher_number": number, "document_number": f"HLF{number}", "state": state}
            for number in numbers
        ]
        answer = self._write("record_deliveries", p_deliveries=json.dumps(deliveries))
        return list(answer["settled"])

    def clear(self, token: int) -> dict[str, Any]:
        """Say that a container was removed."""
        return self._write("clear_delivery", p_container_token=token)

    def doubt(self) -> dict[str, Any]:
        """Give up without knowing; the run."""
        return dict(
            self._write(
                "doubt_export_run",
                p_error_code="delivery_unavailable",
                p_error_detail=json.dumps({"cause": "ReadTimeout"}),
            )["run"]
        )

    def complete(self) -> dict[str, Any]:
        """Complete with every claim; the run."""
        return dict(self.worker.complete(self.members)["run"])


def deliverer(organisation: Organisation, connection: psycopg.Connection) -> Deliverer:
    return Deliverer(organisation, organisation.as_service(), begin(connection, organisation))


def resumed(organisation: Organisation, run_id: str) -> Deliverer:
    service = organisation.as_service()
    answer = call(service, "resume_doubted_export_run", p_run_id=run_id, p_invocation_id=uuid4())
    assert answer["outcome"] == "resumed"
    return Deliverer(organisation, service, answer)


def settle(
    service: psycopg.Connection, run_id: str, vouchers: object, actor: str = "Ingrid Vik"
) -> dict[str, Any]:
    return call(
        service,
        "settle_export_delivery",
        p_run_id=run_id,
        p_vouchers=json.dumps(vouchers) if vouchers is not None else None,
        p_reason="Looked into Business Central.",
        p_actor=actor,
    )


def states(organisation: Organisation) -> list[str]:
    rows = organisation.execute(
        "select state from public.export_deliveries order by voucher_number"
    )
    return [row[0] for row in rows]


def due(service: psycopg.Connection) -> list[str]:
    found = call(service, "find_stalled_export_runs", p_limit=10)
    return [run["run_id"] for run in found["runs"] if run["status"] == "in_doubt"]


def test_a_delivered_run_is_completed_when_every_voucher_is_there(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    organisation.add_claims(2)
    worker = deliverer(organisation, coordinator)
    assert worker.open() == []
    worker.record("intended")
    assert refusal(worker.complete) == ("PT409", "totals_mismatch")

    worker.record("accepted", [1])
    worker.record("already_there", [2])

    assert worker.complete()["status"] == "completed"
    assert states(organisation) == ["accepted", "already_there"]


def test_what_an_earlier_attempt_delivered_counts_no_more(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Its container is removed, so a successor must deliver again; what is in the ledger stays there."""
    organisation.add_claims(2)
    first = deliverer(organisation, coordinator)
    first.open()
    first.record("accepted", [1])
    first.record("already_there", [2])
    organisation.expire_lease()

    second = deliverer(organisation, coordinator)
    assert second.open() == [
        {
            "container": f"EX{first.token:08d}",
            "fencing_token": first.token,
            "document_numbers": ["HLF1", "HLF2"],
        }
    ]
    second.clear(first.token)
    assert second.open() == []
    assert refusal(second.complete) == ("PT409", "totals_mismatch")
    second.record("accepted", [1])

    assert second.complete()["status"] == "completed"


def test_an_outrun_worker_is_refused_at_every_door(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """So asking to note what is going to be sent is asking the lock."""
    organisation.add_claims(1)
    first = deliverer(organisation, coordinator)
    first.open()
    organisation.expire_lease()
    second = deliverer(organisation, coordinator)
    second.open()

    assert refusal(first.open) == STALE
    assert refusal(lambda: first.record("intended")) == STALE
    assert refusal(lambda: first.clear(second.token)) == STALE
    assert refusal(first.doubt) == STALE


def test_claims_that_may_have_arrived_are_not_let_go(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Neither by the worker nor by an admin nor by the owner in the table editor."""
    [claim_id] = organisation.add_claims(1)
    worker = deliverer(organisation, coordinator)
    worker.open()

    def by_admin() -> dict[str, Any]:
        return call(
            service, "fail_export_run_by_admin", p_run_id=worker.run_id, p_reason="x", p_actor="x"
        )

    assert refusal(worker.worker.fail) == ("PT409", "delivery_not_cleared")
    assert refusal(by_admin) == ("PT409", "delivery_not_cleared")
    assert set(organisation.live_memberships()) == {claim_id}
    worker.clear(worker.token)
    by_admin()
    assert organisation.live_memberships() == {}


def test_a_run_in_doubt_keeps_its_claims_and_frees_the_organisation(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    organisation.add_claims(1)
    worker = deliverer(organisation, coordinator)
    worker.open()
    worker.record("intended")

    run = worker.doubt()

    assert (run["status"], run["error_code"]) == ("in_doubt", "delivery_unavailable")
    assert worker.doubt() == run
    nothing = begin(coordinator, organisation)
    assert nothing["outcome"] == "nothing_to_export"
    assert nothing["parked_run"]["run_id"] == worker.run_id
    organisation.execute("update public.export_targets set delivery = 'file'")
    organisation.check_configuration()
    organisation.add_claims(1)
    other = begin(coordinator, organisation)
    assert other["outcome"] == "started"
    assert "delivery" not in other["configuration"]
    [(advice,)] = organisation.execute(
        "select what_to_do from public.export_needs_attention where kind = 'stuck_run'"
    )
    assert "settle_export_delivery" in advice


def test_nothing_is_in_doubt_that_was_never_sent(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    organisation.add_claims(1)
    worker = deliverer(organisation, coordinator)

    assert refusal(worker.doubt) == ("PT409", "nothing_in_doubt")
    worker.worker.fail()
    assert organisation.live_memberships() == {}


def test_the_sweep_asks_again_with_growing_patience(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    organisation.add_claims(1)
    worker = deliverer(organisation, coordinator)
    worker.open()
    worker.doubt()
    assert due(service) == []
    organisation.execute(
        "create or replace function export_engine.doubt_patience() returns interval language sql immutable return interval '0'"
    )

    assert due(service) == [worker.run_id]
    successor = resumed(organisation, worker.run_id)
    assert successor.token > worker.token
    assert due(service) == []
    assert [found["fencing_token"] for found in successor.open()] == [worker.token]


def test_a_run_in_doubt_waits_while_the_organisation_is_busy_or_on_hold(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    organisation.add_claims(1)
    worker = deliverer(organisation, coordinator)
    worker.open()
    worker.doubt()
    organisation.add_claims(1)
    other = deliverer(organisation, coordinator)

    def resume(invocation: UUID | None = None) -> dict[str, Any]:
        return call(
            service,
            "resume_doubted_export_run",
            p_run_id=worker.run_id,
            p_invocation_id=invocation or uuid4(),
        )

    assert resume()["outcome"] == "busy"
    other.worker.fail()
    call(service, "hold_exports", p_organization_id=organisation.id, p_reason="x", p_actor="x")
    assert refusal(resume) == ("PT409", "organization_held")
    call(
        service,
        "lift_export_hold",
        p_organization_id=organisation.id,
        p_actor="x",
    )
    invocation = uuid4()
    first = resume(invocation)
    assert first["outcome"] == "resumed"
    assert resume(invocation)["fencing_token"] == first["fencing_token"], "a lost reply"
    assert resume()["outcome"] == "busy"


def test_what_a_person_settled_is_not_overruled(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    organisation.add_claims(3)
    worker = deliverer(organisation, coordinator)
    worker.open()
    worker.record("unknown")
    worker.doubt()

    settled = settle(
        service,
        worker.run_id,
        [
            {"voucher_number": 1, "state": "already_there"},
            {"voucher_number": 2, "state": "failed"},
        ],
    )
    assert settled["settled"] == 2
    assert due(service) == [worker.run_id], "no reason to wait any longer"
    successor = resumed(organisation, worker.run_id)
    successor.open()
    assert successor.record("intended") == [
        {"voucher_number": 1, "state": "already_there"},
        {"voucher_number": 2, "state": "failed"},
    ]
    assert states(organisation) == ["already_there", "failed", "intended"]


def test_a_person_who_removed_everything_can_end_the_run(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    organisation.add_claims(1)
    worker = deliverer(organisation, coordinator)
    worker.open()
    worker.doubt()

    settle(service, worker.run_id, None)
    call(service, "fail_export_run_by_admin", p_run_id=worker.run_id, p_reason="x", p_actor="x")

    assert organisation.live_memberships() == {}
    events = organisation.execute(
        "select actor, detail ->> 'reason' from public.export_run_events where event = 'delivery_settled'"
    )
    assert events == [("Ingrid Vik", "Looked into Business Central.")]


@pytest.mark.parametrize(
    "vouchers",
    [
        [],
        {},
        [1],
        [{"voucher_number": 1}],
        [{"voucher_number": 1, "state": "accepted"}],
        [{"voucher_number": "x", "state": "failed"}],
    ],
)
def test_a_malformed_settlement_is_refused(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    vouchers: object,
) -> None:
    organisation.add_claims(1)
    worker = deliverer(organisation, coordinator)
    worker.open()
    worker.record("unknown")
    worker.doubt()

    assert refusal(lambda: settle(service, worker.run_id, vouchers)) == (
        "PT400",
        "deliveries_malformed",
    )
    strange = [{"voucher_number": 99, "state": "failed"}]
    assert refusal(lambda: settle(service, worker.run_id, strange)) == (
        "PT422",
        "vouchers_not_in_run",
    )
    assert states(organisation) == ["unknown"]


def test_a_run_that_is_not_in_doubt_is_not_settled(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    organisation.add_claims(1)
    worker = deliverer(organisation, coordinator)
    worker.open()

    assert refusal(lambda: settle(service, worker.run_id, None)) == ("PT409", "run_not_in_doubt")


def test_a_completed_run_is_voided_once_its_container_is_removed(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    organisation.add_claims(1)
    worker = deliverer(organisation, coordinator)
    worker.open()
    worker.record("accepted")
    worker.complete()
    admin = Bookkeeper(organisation.as_user(organisation.add_member("admin")))

    assert refusal(lambda: admin.void(worker.run_id)) == ("PT409", "delivery_not_cleared")
    call(
        service,
        "clear_delivery",
        p_run_id=worker.run_id,
        p_fencing_token=None,
        p_container_token=worker.token,
    )
    assert admin.void(worker.run_id)["run"]["status"] == "voided"


def test_a_file_export_has_nothing_to_deliver(database: Database) -> None:
    organisation = Organisation.create(database)
    organisation.add_claims(1)
    worker = deliverer(organisation, organisation.as_user(organisation.add_member()))

    assert refusal(worker.open) == ("PT409", "run_not_deliverable")
    assert worker.complete()["status"] == "completed"


def test_an_open_run_is_not_delivered(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """I2: what is sent was sealed before."""
    organisation.execute(
        "create or replace function export_engine.page_size() returns integer language sql immutable return 2"
    )
    organisation.add_claims(3)

    assert refusal(deliverer(organisation, coordinator).open) == ("PT409", "run_not_deliverable")


@pytest.mark.parametrize("table", ["export_deliveries", "export_delivery_containers"])
def test_nobody_writes_deliveries_by_hand(
    organisation: Organisation, coordinator: psycopg.Connection, table: str
) -> None:
    """The owner neither, in the table editor."""
    organisation.add_claims(1)
    worker = deliverer(organisation, coordinator)
    worker.open()
    worker.record("accepted")

    acts: list[Callable[[], object]] = [
        lambda: organisation.execute(f"delete from public.{table}"),
        lambda: organisation.execute(
            f"update public.{table} set organization_id = organization_id"
        ),
    ]
    for act in acts:
        assert refusal(act) == ("PT403", "history_is_protected")


def test_a_page_of_deliveries_is_the_most(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    organisation.add_claims(1)
    worker = deliverer(organisation, coordinator)
    worker.open()

    assert refusal(lambda: worker.record("intended", list(range(1, 2002)))) == (
        "PT400",
        "deliveries_malformed",
    )


def test_a_delivery_needs_a_connection(organisation: Organisation) -> None:
    """Found when it is saved."""
    with pytest.raises(psycopg.errors.CheckViolation):
        organisation.execute("update public.export_targets set connection = '{}'")


def test_an_outrun_worker_clears_nothing_of_a_completed_run(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """It has a token; who voids has none."""
    organisation.add_claims(1)
    first = deliverer(organisation, coordinator)
    first.open()
    organisation.expire_lease()
    second = deliverer(organisation, coordinator)
    second.open()
    second.clear(first.token)
    second.record("accepted")
    second.complete()

    assert refusal(lambda: first.clear(second.token)) == STALE
    assert refusal(lambda: second.clear(second.token)) == STALE
    left = organisation.execute(
        "select fencing_token from public.export_delivery_containers where cleared_at is null"
    )
    assert left == [(second.token,)]


def test_claims_in_the_books_are_not_let_go_when_no_container_is_left(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A person may still say that it is not so."""
    organisation.add_claims(2)
    worker = deliverer(organisation, coordinator)
    worker.open()
    worker.record("already_there", [1])
    worker.record("failed", [2])
    worker.clear(worker.token)

    assert refusal(worker.worker.fail) == ("PT409", "delivery_not_cleared")
    assert worker.doubt()["status"] == "in_doubt"
    settle(service, worker.run_id, [{"voucher_number": 1, "state": "failed"}])
    call(service, "fail_export_run_by_admin", p_run_id=worker.run_id, p_reason="x", p_actor="x")
    assert organisation.live_memberships() == {}


@pytest.mark.parametrize("status", ["failed", "completed"])
def test_the_repository_neither_completes_nor_fails_what_may_have_arrived(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    status: str,
) -> None:
    """With the token of the worker, and without one when its run is in doubt."""
    [claim_id] = organisation.add_claims(1)
    worker = deliverer(organisation, coordinator)
    worker.open()
    worker.record("unknown")

    def update(token: int | None) -> dict[str, Any]:
        return call(
            service,
            "update_export_run_status",
            p_run_id=worker.run_id,
            p_status=status,
            p_claim_ids=[claim_id] if status == "completed" else [],
            p_fencing_token=token,
            p_error_code=None,
        )

    assert refusal(lambda: update(worker.token))[0] == "PT409"
    worker.doubt()
    assert refusal(lambda: update(None)) == ("PT409", "illegal_transition")
    assert set(organisation.live_memberships()) == {claim_id}


def test_a_parked_run_keeps_what_may_have_arrived(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """It is ended when a person has said that all is removed, or goes on under a new token."""
    organisation.execute(
        "create or replace function export_engine.most_attempts() returns integer language sql immutable return 1"
    )
    [claim_id] = organisation.add_claims(1)
    worker = deliverer(organisation, coordinator)
    worker.open()
    worker.record("intended")
    organisation.expire_lease()
    begin(coordinator, organisation)
    [(status,)] = organisation.execute(
        "select status from public.export_runs where id = %s", worker.run_id
    )
    assert status == "parked"

    def end() -> dict[str, Any]:
        return call(
            service, "fail_export_run_by_admin", p_run_id=worker.run_id, p_reason="x", p_actor="x"
        )

    assert refusal(end) == ("PT409", "delivery_not_cleared")
    assert set(organisation.live_memberships()) == {claim_id}
    settle(service, worker.run_id, None)
    end()
    assert organisation.live_memberships() == {}


def test_doubts_park_nothing_and_only_a_doubt_is_resumed(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A system that does not answer for a day is no fault of the run."""
    organisation.add_claims(1)
    worker = deliverer(organisation, coordinator)
    first = worker.token
    worker.open()
    worker.doubt()
    worker = resumed(organisation, worker.run_id)
    worker.open()
    worker.doubt()
    counted = organisation.execute(
        "select attempt, attempts_without_progress from public.export_runs"
    )
    assert counted == [(2, 0)]

    worker = resumed(organisation, worker.run_id)
    for token in (first, first + 1):
        worker.clear(token)
    worker.worker.fail()
    answer = call(
        service, "resume_doubted_export_run", p_run_id=worker.run_id, p_invocation_id=uuid4()
    )
    assert answer["outcome"] == "nothing_to_resume"
