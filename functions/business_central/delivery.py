"""Delivery to Business Central: unposted lines in a general journal of each attempt's own."""

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final

from functions.business_central.connection import BusinessCentralConnection
from functions.business_central.dimension_values import DimensionValues
from functions.business_central.journal import (
    Company,
    Journal,
    checked_code,
    is_ours,
    made_journal,
    was_made_as,
)
from functions.business_central.lines import VoucherPlan, exact, plan_of
from functions.business_central.records import delivery_voucher
from functions.business_central.sending import Sending, is_all_there
from functions.business_central.settings import MOST_OPERATIONS, BusinessCentralSettings
from functions.business_central.wire import literal, query
from functions.errors import Defect, DeliveryRefused, DeliveryUnavailable
from functions.voucher_delivery import (
    DeliveryCode,
    DeliveryContext,
    DeliveryVoucher,
    Outcome,
    VoucherDelivery,
    VoucherPart,
    VoucherResult,
)

# As the service names the kinds of its environments.
_KINDS: Final = {0: "production", 1: "sandbox"}
_NO_ID: Final = "00000000-0000-0000-0000-000000000000"


class BusinessCentralDelivery(VoucherDelivery):
    """See VoucherDelivery; a container is a journal's code, at most ten capitals and digits.

    The caller asks its lock between `open` and `send` and between pages: a journal is cleared by
    its identifier, so what an outrun attempt does in a cleared journal is refused, but it could
    make the journal anew.
    """

    name = "business_central"
    target = "dynamics"
    most_voucher_lines = MOST_OPERATIONS

    @classmethod
    def check_settings(cls, settings: Mapping[str, object]) -> None:
        """As VoucherDelivery."""
        BusinessCentralSettings.of(settings)

    def __init__(self, settings: Mapping[str, object], context: DeliveryContext) -> None:
        """As VoucherDelivery."""
        self._settings = BusinessCentralSettings.of(settings)
        self._connection = BusinessCentralConnection(
            self._settings, context.secrets, context.organization_id
        )
        self._company: Company | None = None
        self._sending: Sending | None = None

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """As VoucherDelivery."""
        await self._connection.aclose()

    def voucher(self, parts: Sequence[VoucherPart]) -> DeliveryVoucher:
        """As VoucherDelivery; from the records of dynamics_bc_json."""
        return delivery_voucher(parts)

    async def check(self) -> None:
        """As VoucherDelivery."""
        await self._check_environment()
        company = await self._found_company()
        if not await company.has_template():
            raise DeliveryRefused("delivery_template_not_found", field="journal_template")

    async def clear(self, container: str, document_numbers: Collection[str]) -> None:
        """As VoucherDelivery. Deletes the journal, and with it the lines that nobody can list."""
        company = await self._found_company()
        found = await company.journal(checked_code(container))
        await _refuse_if_renamed(company, container, document_numbers)
        if found is None:
            return
        _refuse_unless_ours(found)
        journal = Journal(company, str(found["id"]))
        own = {number.upper() for number in document_numbers}
        async for line in journal.lines():
            if str(line.get("documentNumber", "")).upper() not in own:
                raise _has_foreign_lines()
        await journal.remove()
        if await company.journal(container) is not None:
            raise DeliveryUnavailable("delivery_unavailable", cause="the journal is still there")

    async def find(self, vouchers: Sequence[DeliveryVoucher]) -> list[VoucherResult]:
        """As VoucherDelivery. Sums of a document are compared: VAT may have added entries."""
        company = await self._found_company()
        sums: dict[str, tuple[Decimal, Decimal]] = {}
        numbers = [voucher.document_number.upper() for voucher in vouchers]
        async for entry in company.entries(numbers):
            number = str(entry.get("documentNumber", "")).upper()
            debit, credit = sums.get(number, (Decimal(0), Decimal(0)))
            sums[number] = (
                debit + exact(entry.get("debitAmount")),
                credit + exact(entry.get("creditAmount")),
            )
        return [
            _in_ledger(voucher, sums[number])
            for voucher, number in zip(vouchers, numbers, strict=True)
            if number in sums
        ]

    async def open(self, container: str) -> None:
        """As VoucherDelivery."""
        company = await self._found_company()
        found = await made_journal(company, checked_code(container))
        if not was_made_as(found, container):
            # Posting gave an empty journal of ours the next name, and left it its description.
            await (await _empty(company, found)).remove()
            found = await made_journal(company, container)
        journal = await _empty(company, found)
        if _balances(found):
            # Empty and ours: no attempt after this one would use it.
            await journal.remove()
            raise DeliveryRefused("delivery_container_balances", field="journal_template")
        self._sending = Sending(journal, self._settings, DimensionValues(company))

    async def send(self, vouchers: Sequence[DeliveryVoucher]) -> list[VoucherResult]:
        """As VoucherDelivery."""
        sending = self._opened()
        if len({voucher.document_number.upper() for voucher in vouchers}) < len(vouchers):
            raise Defect("two vouchers of one document number")
        planned = [plan_of(voucher, self._settings) for voucher in vouchers]
        plans = [plan for plan in planned if isinstance(plan, VoucherPlan)]
        results = await sending.send(plans)
        return [results[plan.number] if isinstance(plan, VoucherPlan) else plan for plan in planned]

    async def verify(self, vouchers: Sequence[DeliveryVoucher]) -> list[VoucherResult]:
        """As VoucherDelivery; what somebody posted meanwhile is `already_there`."""
        journal = self._opened().journal
        listed = await journal.lines_of([voucher.document_number for voucher in vouchers])
        gone = [v for v in vouchers if not listed[v.document_number.upper()]]
        posted = {result.voucher_number: result for result in await self.find(gone)}
        return [
            posted.get(voucher.number)
            or self._compared(voucher, listed[voucher.document_number.upper()])
            for voucher in vouchers
        ]

    def _compared(
        self, voucher: DeliveryVoucher, listed: Sequence[Mapping[str, Any]]
    ) -> VoucherResult:
        plan = plan_of(voucher, self._settings)
        if isinstance(plan, VoucherPlan) and is_all_there(plan, listed):
            ids = tuple(str(line["id"]) for line in listed)
            return VoucherResult(voucher.number, Outcome.ACCEPTED, remote_ids=ids)
        return VoucherResult(voucher.number, Outcome.UNKNOWN, DeliveryCode.LINES_DIFFER)

    def _opened(self) -> Sending:
        if self._sending is None:
            raise Defect("nothing is sent before open")
        return self._sending

    async def _check_environment(self) -> None:
        if not self._settings.check_environment:
            return
        reply = await self._connection.public(self._settings.environment_url)
        told = reply.body if isinstance(reply.body, Mapping) else {}
        kind = told.get("environmentType")
        if reply.status != HTTPStatus.OK or not isinstance(kind, int) or kind not in _KINDS:
            raise DeliveryRefused("delivery_environment_not_found", field="environment")
        if _KINDS[kind] != self._settings.environment_kind:
            raise DeliveryRefused("delivery_environment_mixed_up", field="environment_kind")

    async def _found_company(self) -> Company:
        if self._company is None:
            condition = f"name eq {literal(self._settings.company)}"
            async for found in self._connection.listed(f"companies?{query(filter=condition)}"):
                self._company = Company(self._connection, self._settings, str(found["id"]))
                break
            else:
                raise DeliveryRefused("delivery_company_not_found", field="company")
        return self._company


async def _empty(company: Company, found: Mapping[str, Any]) -> Journal:
    """The journal, if it is ours and nobody wrote into it."""
    _refuse_unless_ours(found)
    journal = Journal(company, str(found["id"]))
    if await journal.has_lines():
        raise _has_foreign_lines()
    return journal


def _refuse_unless_ours(journal: Mapping[str, Any]) -> None:
    """Somebody may have had a journal of this name before us."""
    if not is_ours(journal):
        raise _has_foreign_lines()


async def _refuse_if_renamed(
    company: Company, container: str, document_numbers: Collection[str]
) -> None:
    """Somebody may have renamed the journal: then the lines are still there, to be posted."""
    for found in await company.journals_made_as(container):
        if found.get("code") == container:
            continue
        lines = await Journal(company, str(found["id"])).lines_of(document_numbers)
        if any(lines.values()):
            raise _has_foreign_lines()


def _has_foreign_lines() -> DeliveryRefused:
    return DeliveryRefused("delivery_container_has_foreign_lines", field="container")


def _balances(journal: Mapping[str, Any]) -> bool:
    account_id = str(journal.get("balancingAccountId") or _NO_ID)
    return account_id != _NO_ID or bool(journal.get("balancingAccountNumber"))


def _in_ledger(voucher: DeliveryVoucher, sums: tuple[Decimal, Decimal]) -> VoucherResult:
    total = sum(voucher.debit_totals.values(), Decimal(0))
    if sums == (total, total):
        return VoucherResult(voucher.number, Outcome.ALREADY_THERE)
    return VoucherResult(voucher.number, Outcome.UNKNOWN, DeliveryCode.LEDGER_DIFFERS)
