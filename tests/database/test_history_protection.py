"""Triggers hold the history against everybody, the database owner in the table editor included."""

import psycopg
import pytest

from stack.database import Database
from tests.organisation import Organisation, begin, complete


@pytest.fixture
def organisation(database: Database) -> Organisation:
    """An organisation with one completed run of one claim."""
    organisation = Organisation.create(database)
    organisation.add_claim()
    complete(organisation, begin(organisation.as_user(organisation.add_member()), organisation))
    return organisation


HISTORY = [
    "export_runs",
    "export_run_claims",
    "export_run_events",
    "export_locks",
    "export_counters",
]
EDITS = [
    "update public.export_runs set status = 'failed'",
    "update public.export_runs set file_sha256 = repeat('b', 64)",
    "update public.export_runs set error_code = 'x'",
    "update public.export_run_claims set released_at = now(), outcome = 'released'",
    "update public.export_run_claims set amount = 1",
    "update public.export_run_events set event = 'voided'",
    "update public.export_locks set fencing_token = 0",
    "update public.export_locks set fencing_token = 99",
    "update public.export_counters set last_value = 0",
    "update public.export_counters set last_value = 99999999",
    (
        "update public.export_locks set acquired_at = now(), expires_at = '2099-01-01', holder_id = gen_random_uuid(),"
        " run_id = (select id from public.export_runs)"
    ),
    (
        "insert into public.export_run_events (run_id, organization_id, actor, event) select id, organization_id, 'x',"
        " 'completed' from public.export_runs"
    ),
    (
        "insert into public.export_runs (organization_id, run_number, trigger, target, format, period_to, time_zone, cut_off,"
        " export_date, configuration) select organization_id, 99, 'cli', target, format, period_to, time_zone, cut_off,"
        " export_date, configuration from public.export_runs"
    ),
    (
        "insert into public.export_run_claims (run_id, position, organization_id, claim_id, voucher_number, document, amount,"
        " currency) select run_id, 2, organization_id, gen_random_uuid(), 2, document, amount, currency from public.export_run_claims"
    ),
]


@pytest.mark.parametrize("edit", EDITS)
def test_history_is_not_edited_in_the_dashboard(organisation: Organisation, edit: str) -> None:
    """The owner's edits of runs, memberships, events, tokens and counters are refused with a sentence."""
    with pytest.raises(psycopg.Error) as error:
        organisation.execute(edit)

    assert (error.value.sqlstate, error.value.diag.message_detail) == (
        "PT403",
        "history_is_protected",
    )


@pytest.mark.parametrize("verb", ["delete from", "truncate"])
@pytest.mark.parametrize("table", HISTORY)
def test_history_is_not_deleted(organisation: Organisation, table: str, verb: str) -> None:
    """Nothing is hard-deleted, whoever asks."""
    with pytest.raises(psycopg.Error) as error:
        organisation.execute(f"{verb} public.{table}" + (" cascade" if verb == "truncate" else ""))

    assert (error.value.sqlstate, error.value.diag.message_detail) == (
        "PT403",
        "history_is_protected",
    )


@pytest.mark.parametrize(
    "edit",
    [
        "update public.export_runs set status = 'processing'",
        "update public.export_runs set status = 'failed', failed_at = now(), releasing_at = now()",
        "update public.export_runs set file_path = 'x/y', totals = '{}'",
        "update public.export_runs set configuration = '{}'",
        "update public.export_runs set period_to = '2030-01-01'",
        "update public.export_run_claims set document = '{}'",
    ],
)
def test_even_the_engine_cannot_break_the_law(organisation: Organisation, edit: str) -> None:
    """With the engine's own mark set, illegal transitions and changes of frozen facts are still refused."""
    owner = organisation.database.connect("postgres", autocommit=False)
    owner.execute("select export_engine.open_for_writing()")
    with pytest.raises(psycopg.Error) as error:
        owner.execute(edit.encode())

    assert error.value.diag.message_detail in {"illegal_transition", "history_is_protected"}


def test_released_membership_stays_released(organisation: Organisation) -> None:
    """A membership is released once and never comes back."""
    with organisation.database.connect("postgres", autocommit=False) as owner:
        owner.execute("select export_engine.open_for_writing()")
        owner.execute(
            "update public.export_run_claims set outcome = 'released', released_at = now()"
        )
        with pytest.raises(psycopg.Error) as error:
            owner.execute(
                "update public.export_run_claims set outcome = 'included', released_at = null"
            )

    assert error.value.diag.message_detail == "history_is_protected"


def test_lock_may_be_expired_by_hand(organisation: Organisation) -> None:
    """The admin at night may let the next trigger take over; that is all she may do to a lock."""
    organisation.add_claim()
    coordinator = organisation.as_user(organisation.add_member())
    begin(coordinator, organisation)

    organisation.expire_lease()

    assert begin(coordinator, organisation)["outcome"] == "resumed"
    with pytest.raises(psycopg.Error) as error:
        organisation.execute(
            "update public.export_locks set run_id = null, holder_id = null, acquired_at = null, expires_at = null"
        )
    assert error.value.diag.message_detail == "history_is_protected"


def test_counter_may_be_raised_by_hand(organisation: Organisation) -> None:
    """A number series may begin higher; the next voucher follows it."""
    organisation.execute(
        "update public.export_counters set last_value = 5000 where name = 'voucher_number'"
    )
    organisation.add_claim()

    answer = begin(organisation.as_user(organisation.add_member()), organisation)

    assert answer["claims"][0]["voucher_number"] == 5001


def test_targets_and_rules_stay_editable(organisation: Organisation) -> None:
    """Configuration is edited in the dashboard, and reaches the next run only."""
    organisation.execute(
        'update public.export_targets set settings = settings || \'{"voucher_type": "AP"}\''
    )
    organisation.execute(
        "update public.export_posting_rules set account_code = '7101' where expense_type = 'mileage'"
    )
    organisation.execute("delete from public.export_posting_rules where expense_type = 'train'")
    organisation.add_claim()

    answer = begin(organisation.as_user(organisation.add_member()), organisation)

    assert answer["configuration"]["settings"]["voucher_type"] == "AP"
    assert [
        row[0]
        for row in organisation.execute(
            "select configuration -> 'settings' ->> 'voucher_type' from public.export_runs order by run_number"
        )
    ] == ["GL", "AP"]


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        ("update public.export_targets set time_zone = 'Europe/Tromsø'", "unknown_time_zone"),
        ("update public.export_targets set format = 'dynamics_bc_csv'", "format_not_of_target"),
    ],
)
def test_bad_configuration_is_refused_when_it_is_saved(
    organisation: Organisation, edit: str, code: str
) -> None:
    """The dashboard refuses a target that no export could use."""
    with pytest.raises(psycopg.Error) as error:
        organisation.execute(edit)

    assert error.value.diag.message_detail == code


@pytest.mark.parametrize(
    "edit",
    [
        "update public.export_targets set settings = '[]'",
        "update public.export_targets set layout = '\"x\"'",
        "update public.export_targets set on_problem = 'ignore'",
        "update public.export_posting_rules set account_code = ''",
        "update public.export_posting_rules set expense_type = null where side = 'expense'",
        (
            "insert into public.export_posting_rules (organization_id, target, side, account_code)"
            " select organization_id, target, 'payable', '2400' from public.export_targets"
        ),
    ],
)
def test_bad_configuration_violates_a_named_constraint(
    organisation: Organisation, edit: str
) -> None:
    """Shapes that make no sense are refused by constraints."""
    with pytest.raises(psycopg.errors.IntegrityError) as error:
        organisation.execute(edit)

    assert error.value.diag.constraint_name


def test_claim_that_was_ever_a_member_is_not_deleted(organisation: Organisation) -> None:
    """Neither by hand nor by the app's service key; a claim without history may go."""
    fresh = organisation.add_claim()
    with organisation.as_service() as service:
        service.execute("delete from public.expense_claims where id = %s", [fresh])
        with pytest.raises(psycopg.Error) as error:
            service.execute("delete from public.expense_claims")

    assert error.value.diag.message_detail == "claim_has_history"


def test_claim_keeps_its_id_and_organisation(organisation: Organisation) -> None:
    """Memberships point at the id, so it never changes."""
    with organisation.as_service() as service, pytest.raises(psycopg.Error) as error:
        service.execute("update public.expense_claims set id = gen_random_uuid()")

    assert error.value.diag.message_detail == "claim_has_history"


def test_unique_index_alone_stops_a_double(organisation: Organisation) -> None:
    """With triggers off and all functions bypassed, a second live entry of a claim is impossible."""
    with organisation.database.connect("supabase_admin") as superuser:
        superuser.execute("set session_replication_role = replica")
        with pytest.raises(psycopg.errors.UniqueViolation) as error:
            superuser.execute(
                "insert into public.export_run_claims (run_id, position, organization_id, claim_id, voucher_number, document,"
                " amount, currency) select run_id, 2, organization_id, claim_id, 2, document, amount, currency"
                " from public.export_run_claims"
            )

    assert error.value.diag.constraint_name == "export_run_claims_live_key"


def test_lease_is_not_lengthened_by_hand(organisation: Organisation) -> None:
    """A lease of years would keep the organisation from exporting."""
    organisation.add_claim()
    begin(organisation.as_user(organisation.add_member()), organisation)

    with pytest.raises(psycopg.Error) as error:
        organisation.execute(
            "update public.export_locks set expires_at = '2099-01-01' where run_id is not null"
        )

    assert error.value.diag.message_detail == "history_is_protected"


def test_organisation_that_never_exported_can_be_removed(organisation: Organisation) -> None:
    """Setting a target up by mistake binds nobody for ever."""
    other = Organisation.create(organisation.database, "dynamics", "HLF")

    for table in ("export_locks", "export_targets"):
        other.execute(f"delete from public.{table} where organization_id = %s", other.id)
    other.execute("delete from public.organizations where id = %s", other.id)

    assert organisation.execute("select id from public.organizations") == [(organisation.id,)]


def test_claims_are_not_truncated(organisation: Organisation) -> None:
    """Not even all of them at once."""
    with pytest.raises(psycopg.Error) as error:
        organisation.execute("truncate public.expense_claims cascade")

    assert error.value.diag.message_detail == "history_is_protected"


def test_claim_is_not_deleted_under_an_old_snapshot(organisation: Organisation) -> None:
    """A repeatable-read transaction would not see the membership that was made meanwhile."""
    fresh = organisation.add_claim()
    owner = organisation.database.connect("postgres", autocommit=False)
    owner.execute("set transaction isolation level repeatable read")

    with pytest.raises(psycopg.Error) as error:
        owner.execute("delete from public.expense_claims where id = %s", [fresh])

    assert error.value.diag.message_detail == "claim_history_unknown"


@pytest.mark.parametrize(("kind", "generation"), [("entry", 2), ("entry", 3), ("reversal", 2)])
def test_no_generation_is_skipped(database: Database, kind: str, generation: int) -> None:
    """Not even the engine's own mark enters a claim a second time, or takes back what was not entered, under a higher number."""
    organisation = Organisation.create(database)
    organisation.add_claim()
    complete(organisation, begin(organisation.as_user(organisation.add_member()), organisation))

    with database.connect("postgres", autocommit=False) as owner:
        owner.execute("select export_engine.open_for_writing()")
        with pytest.raises(psycopg.Error, match="needs a completed"):
            owner.execute(
                "insert into public.export_run_claims (run_id, position, organization_id, claim_id, kind, generation,"
                " voucher_number, document, amount, currency) select run_id, 99, organization_id, claim_id, %s, %s, 99,"
                " document, amount, currency from public.export_run_claims",
                [kind, generation],
            )
