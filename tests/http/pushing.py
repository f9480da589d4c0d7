"""An organisation that sends its vouchers to the double of Business Central."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from typing import Final
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr

from functions.delivery_book import DeliveryBook
from functions.delivery_registry import delivery_for
from functions.errors import LeftInDoubt, RunFailed
from functions.export_guard import ExportGuard
from functions.run_delivery import RunDelivery
from functions.secret_reference import SecretStore, environment_name
from functions.services import Services
from functions.settings import Settings
from functions.voucher_delivery import DeliveryContext
from stack.embedded_stack import EmbeddedStack
from tests.business_central.double import BusinessCentralDouble
from tests.http.functions_door import functions_door
from tests.organisation import ACCOUNTS, Organisation

# Impatient, so that a test is soon over.
QUICK: Final[Mapping[str, object]] = {
    "read_seconds": 2,
    "patience_seconds": 1,
    "first_pause_seconds": 0.01,
    "longest_pause_seconds": 0.05,
}


def open_accounts(double: BusinessCentralDouble) -> None:
    """The accounts that the organisation's posting rules name."""
    some = next(iter(double.books.accounts.values()))
    for number in {*ACCOUNTS.values(), "2990"}:
        double.books.accounts["G/L Account", number] = some


def connect(
    organisation: Organisation, double: BusinessCentralDouble, **settings: object
) -> dict[str, object]:
    """Let the organisation's Dynamics target go over the API, and check it; its connection."""
    reference = f"env:{environment_name(organisation.id)}"
    connection = double.settings(reference, **{**QUICK, **settings})
    organisation.execute(
        "update public.export_targets set format = 'dynamics_bc_json', delivery = 'business_central', connection = %s"
        " where organization_id = %s and target = 'dynamics'",
        json.dumps(connection),
        organisation.id,
    )
    organisation.check_configuration()
    return connection


def to_file(organisation: Organisation) -> None:
    """Back to a file."""
    organisation.execute(
        "update public.export_targets set delivery = 'file' where organization_id = %s",
        organisation.id,
    )
    organisation.check_configuration()


@contextmanager
def pushing_door(
    stack: EmbeddedStack,
    organisation: Organisation,
    double: BusinessCentralDouble,
    monkeypatch: pytest.MonkeyPatch,
    address: str | None = None,
) -> Iterator[httpx.Client]:
    """Functions that know the organisation's secret."""
    monkeypatch.setenv(environment_name(organisation.id), double.login.client_secret)
    with functions_door(stack.functions_environment, address or stack.url) as door:
        yield door


@asynccontextmanager
async def services_of(stack: EmbeddedStack) -> AsyncIterator[Services]:
    """As the scheduler's functions have them."""
    environment = stack.functions_environment
    services = Services.of(
        Settings.model_validate(
            {
                "supabase_url": stack.url,
                "supabase_publishable_key": environment["SUPABASE_PUBLISHABLE_KEY"],
                "supabase_secret_key": SecretStr(environment["SUPABASE_SECRET_KEY"]),
            }
        )
    )
    try:
        yield services
    finally:
        await services.connection.aclose()


async def ask_again(stack: EmbeddedStack, run_id: str) -> str:
    """What the sweep does with a run in doubt when its time has come; the run's state then."""
    async with services_of(stack) as services:
        try:
            await services.engine.settle_doubt(UUID(run_id))
        except LeftInDoubt:
            return "in_doubt"
        except RunFailed:
            return "failed"
        return "completed"


def in_books(double: BusinessCentralDouble) -> dict[str, list[Decimal]]:
    """Amounts by document, in journals and ledger together."""
    found: dict[str, list[Decimal]] = {}
    for row in double.books.lines.values():
        found.setdefault(row["documentNumber"], []).append(Decimal(str(row["amount"])))
    for entry in double.books.entries:
        amount = Decimal(str(entry["debitAmount"])) - Decimal(str(entry["creditAmount"]))
        found.setdefault(entry["documentNumber"], []).append(amount)
    return found


def states(organisation: Organisation) -> list[tuple[str, str | None]]:
    """Of each voucher, with its code."""
    rows = organisation.execute(
        "select state, code from public.export_deliveries where organization_id = %s order by voucher_number",
        organisation.id,
    )
    return [(row[0], row[1]) for row in rows]


def containers(organisation: Organisation) -> list[bool]:
    """Of each attempt, whether it is cleared."""
    rows = organisation.execute(
        "select cleared_at is not null from public.export_delivery_containers"
        " where organization_id = %s order by fencing_token",
        organisation.id,
    )
    return [row[0] for row in rows]


def status_of(organisation: Organisation, run_id: UUID | str) -> str:
    """Of a run."""
    [[status]] = organisation.execute(
        "select status from public.export_runs where id = %s", UUID(str(run_id))
    )
    return str(status)


def delivery_of(services: Services) -> RunDelivery:
    """A worker's hands, without the worker."""
    return RunDelivery(
        ExportGuard(services.connection),
        DeliveryBook(services.connection),
        lambda name, connection, organization_id: delivery_for(
            name, connection, DeliveryContext(organization_id, SecretStore())
        ),
    )


def settle(organisation: Organisation, run_id: str, *vouchers: Mapping[str, object]) -> None:
    """As an admin, after a look into Business Central."""
    with organisation.as_service() as service:
        service.execute(
            "select public.settle_export_delivery(%s, %s, 'Looked.', 'Ingrid Vik')",
            [run_id, json.dumps(vouchers)],
        )


def assert_each_once(double: BusinessCentralDouble, organisation: Organisation) -> None:
    """I1 across the network: the vouchers of live entries are in the books, balanced, once, and no others."""
    rows = organisation.execute(
        "select m.voucher_number, sum(m.amount) from public.export_run_claims as m"
        " join public.export_runs as r on r.id = m.run_id"
        " where r.organization_id = %s and r.status = 'completed' and m.outcome = 'included' group by 1",
        organisation.id,
    )
    books = in_books(double)
    assert set(books) == {str(number) for number, _ in rows}
    for number, total in rows:
        amounts = books[str(number)]
        assert sum(amounts) == 0
        assert sum(amount for amount in amounts if amount > 0) == total
