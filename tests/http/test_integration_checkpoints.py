"""Walks the product from the claims schema to the HTTP answer and checks, at each seam, signatures and data."""

import inspect
import json
from collections.abc import AsyncIterator, Callable
from datetime import date
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from exporters.accounting_exporter import AccountingExporter
from exporters.claim import Claim, Member
from exporters.configuration import FrozenConfiguration
from exporters.registry import exporter_type, formats
from exporters.run_context import RunContext
from exporters.run_renderer import RENDERER_VERSION, RunRenderer
from functions.export_guard import ExportGuard, ExportScope, Granted
from functions.export_run import ExportRun, RunStatus
from functions.export_run_repository import ExportRunRepository
from functions.services import Services
from functions.settings import Settings
from stack.embedded_stack import EmbeddedStack
from tests.http.app_user import AppUser, sha256_of
from tests.organisation import Organisation, begin


@pytest.fixture
async def services(stack: EmbeddedStack) -> AsyncIterator[Services]:
    settings = {name.lower(): value for name, value in stack.functions_environment.items()}
    services = Services.of(Settings.model_validate(settings))
    yield services
    await services.connection.aclose()


@pytest.fixture
async def repository(services: Services) -> ExportRunRepository:
    """The repository with the service's rights."""
    return ExportRunRepository(services.connection.as_service())


def sql_parameters(organisation: Organisation, function: str) -> list[str]:
    [[names]] = organisation.execute(
        "select proargnames from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
        " where n.nspname = 'public' and p.proname = %s",
        function,
    )
    return list(names)


def test_claims_schema_to_exporters(organisation: Organisation) -> None:
    """Checkpoint 1: the document that the seam renders is the claim that the exporters read."""
    claim_id = organisation.add_claim([("mileage", "350.00"), ("toll", "56.50")])

    [[document]] = organisation.execute(
        "select document from export_engine.claim_documents(array[%s::uuid], 'Europe/Oslo')",
        claim_id,
    )
    claim = Claim.from_document(document)

    assert (claim.claim_id, claim.total, len(claim.lines)) == (claim_id, Decimal("406.50"), 2)
    assert sum(line.amount for line in claim.lines) == claim.total


def test_repository_has_the_six_operations(organisation: Organisation) -> None:
    """Checkpoint 2: the published interface, name by name, and the SQL function behind each operation."""
    operations = {
        "create_export_run": (["org_id", "triggered_by", "format"], "create_export_run"),
        "update_export_run_status": (["run_id", "status", "claim_ids"], "update_export_run_status"),
        "get_export_history": (["org_id", "limit", "offset"], "get_export_history"),
        "get_export_run_by_id": (["run_id"], "get_export_run"),
        "find_runs_by_claim_id": (["claim_id"], "find_runs_by_claim_id"),
        "delete_export_run": (["run_id"], "delete_export_run"),
    }

    for name, (parameters, function) in operations.items():
        signature = inspect.signature(getattr(ExportRunRepository, name))
        positional = [
            p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD
        ]
        assert positional == ["self", *parameters]
        assert inspect.iscoroutinefunction(getattr(ExportRunRepository, name))
        assert sql_parameters(organisation, function)


async def test_repository_from_pending_to_completed(
    organisation: Organisation, repository: ExportRunRepository
) -> None:
    """Checkpoint 3: the six operations carry one run through its life, with data that agree at every step."""
    [claim_id] = organisation.add_claims(1)

    created = await repository.create_export_run(
        organisation.id, None, "xledger_gl02b", origin="manual"
    )
    started = await repository.update_export_run_status(
        created.run_id, RunStatus.PROCESSING, [claim_id]
    )
    completed = await repository.update_export_run_status(
        created.run_id, RunStatus.COMPLETED, [claim_id], fencing_token=started.fencing_token
    )

    assert [run.status for run in (created, started, completed)] == [
        "pending",
        "processing",
        "completed",
    ]
    assert (created.target, completed.claim_count, completed.totals) == (
        "xledger",
        1,
        {"NOK": Decimal("100.00")},
    )
    assert await repository.get_export_run_by_id(created.run_id) == ExportRun(
        **completed.model_dump(exclude={"fencing_token"})
    )
    assert [run.run_id for run in await repository.get_export_history(organisation.id, 10, 0)] == [
        created.run_id
    ]
    [found] = await repository.find_runs_by_claim_id(claim_id)
    assert (found.run_id, found.membership.outcome) == (created.run_id, "included")
    assert (await repository.delete_export_run(created.run_id)).deleted
    assert await repository.get_export_history(organisation.id, 10, 0) == ()
    [marked] = await repository.find_runs_by_claim_id(claim_id)
    assert marked.deleted


def test_guard_parameters_are_those_of_the_sql_functions(organisation: Organisation) -> None:
    """Checkpoint 4: each step of the guard names the parameters of its SQL function, fencing token included."""
    fenced = [
        "reserve_export_page",
        "renew_export_lock",
        "leave_out_export_claims",
        "complete_export_run",
        "fail_export_run",
    ]

    for function in fenced:
        assert sql_parameters(organisation, function)[:2] == ["p_run_id", "p_fencing_token"]
    assert "p_fencing_token" not in sql_parameters(organisation, "begin_export")
    for method in ("reserve_page", "renew", "settle_page", "complete", "fail"):
        assert list(inspect.signature(getattr(ExportGuard, method)).parameters)[1:3] == [
            "run_id",
            "fencing_token",
        ]


async def test_guard_to_exporters(
    organisation: Organisation, coordinator: AppUser, services: Services
) -> None:
    """Checkpoint 5: what begin grants is what the exporter takes, and what it renders is what complete compares."""
    organisation.add_claim([("mileage", "350.00"), ("toll", "56.50")])
    organisation.add_claim([("helicopter", "10.00")])
    scope = ExportScope(organisation.id, None, None, date(2026, 10, 31))
    granted = await ExportGuard(services.connection).begin(
        scope, key=str(uuid4()), token=coordinator.account.access_token, invocation_id=uuid4()
    )
    assert isinstance(granted, Granted)
    assert all(isinstance(member, Member) for member in granted.claims)

    run = granted.run
    renderer = RunRenderer(
        FrozenConfiguration.from_document(granted.configuration),
        RunContext(run.run_id, run.run_number, run.organization_id, run.export_date),
    )
    content = renderer.render(granted.claims) + renderer.finish()
    summary = renderer.summary()

    assert summary.claim_count + len(renderer.left_out) == run.reserved_count
    assert summary.totals == {"NOK": Decimal("406.50")}
    rows = [line.split(";") for line in content.decode("utf-8").splitlines()]
    assert sum(Decimal(row[32]) for row in rows) == 0
    assert sum(Decimal(row[32]) for row in rows if Decimal(row[32]) > 0) == summary.totals["NOK"]


def test_every_format_has_an_exporter_behind_the_one_interface() -> None:
    """Checkpoint 6: each registered format resolves to an AccountingExporter."""
    assert set(formats()) >= set(SETTINGS)
    for name in SETTINGS:
        assert issubclass(exporter_type(name), AccountingExporter)


SETTINGS: dict[str, dict[str, str]] = {
    "xledger_gl02b": {"entity_code": "10010", "voucher_type": "GL"},
    "dynamics_bc_csv": {},
    "dynamics_bc_json": {},
    "dynamics_fo_csv": {"journal_name": "Utlegg"},
}


@pytest.mark.parametrize("format_name", SETTINGS)
def test_functions_to_file_to_database(
    stack: EmbeddedStack, new_user: Callable[..., AppUser], format_name: str
) -> None:
    """Checkpoint 7: the HTTP answer, the downloaded file and the database tell the same story."""
    organisation = Organisation.create(stack.database, exporter_type(format_name).target)
    organisation.execute(
        "update public.export_targets set format = %s, settings = %s where organization_id = %s",
        format_name,
        json.dumps(SETTINGS[format_name]),
        organisation.id,
    )
    included = [
        organisation.add_claim([("mileage", amount)]) for amount in ("350.00", "0.01", "99999.99")
    ]
    left_out = organisation.add_claim([("helicopter", "10.00")])
    user: AppUser = new_user("coordinator", organisation)

    answer = user.trigger(organisation).json()
    run, content = answer["run"], user.download(answer["run"]["run_id"]).content

    assert (answer["outcome"], run["claim_count"], run["left_out_count"]) == ("completed", 3, 1)
    assert [claim["claim_id"] for claim in answer["left_out"]] == [str(left_out)]
    assert sha256_of(content) == run["file"]["sha256"]
    assert run["totals"] == {"NOK": "100350.00"}
    assert run["renderer_version"] == RENDERER_VERSION
    assert organisation.live_memberships() == {
        claim_id: [(UUID(run["run_id"]), "completed")] for claim_id in included
    }
    numbers = {
        row[0]
        for row in organisation.execute(
            "select document ->> 'claim_number' from public.export_run_claims where run_id = %s and outcome = 'included'",
            run["run_id"],
        )
    }
    text = content.decode("utf-8")
    assert all(number in text for number in numbers)
    with organisation.as_user(user.account.user_id) as connection:
        assert begin(connection, organisation)["outcome"] == "started", (
            "the left-out claim is eligible"
        )
