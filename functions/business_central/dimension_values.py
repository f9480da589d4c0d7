"""Which dimension values the company has: asked before anything is written.

A voucher whose dimension is refused after its lines were written has to be taken out again, and a
line that the journal does not list can only be taken out with the whole journal.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from functions.business_central.journal import Company
from functions.business_central.lines import VoucherPlan
from functions.business_central.wire import conditions, query
from functions.errors import DeliveryRefused
from functions.voucher_delivery import DeliveryCode, Outcome, VoucherResult


@dataclass
class DimensionValues:
    """Of one attempt; each value is asked for once. All in capitals, as codes are."""

    company: Company
    _ids: Mapping[str, str] | None = None
    _known: dict[str, set[str]] = field(default_factory=dict)
    _asked: set[tuple[str, str]] = field(default_factory=set)

    async def refused(self, plans: Sequence[VoucherPlan]) -> dict[str, VoucherResult]:
        """Results of the vouchers that use a value which is not there, by document number.

        An installation that does not answer the question refuses later, or not.

        Raises:
            DeliveryUnavailable
        """
        try:
            await self._ask(_used(plans))
        except DeliveryRefused:
            return {}
        found = ((plan, self._first_unknown(plan)) for plan in plans)
        return {
            plan.number: VoucherResult(
                plan.voucher.number, Outcome.FAILED, DeliveryCode.DIMENSION_REFUSED, place
            )
            for plan, place in found
            if place is not None
        }

    async def _ask(self, used: set[tuple[str, str]]) -> None:
        news = used - self._asked
        if news and self._ids is None:
            self._ids = {
                str(dimension.get("code", "")).upper(): str(dimension.get("id"))
                async for dimension in self.company.connection.listed(
                    f"{self.company.path}/dimensions"
                )
            }
        for code in sorted({code for code, _ in news}):
            values = sorted(value for other, value in news if other == code)
            self._known.setdefault(code, set()).update(await self._there(code, values))
        self._asked |= news

    async def _there(self, code: str, values: Iterable[str]) -> set[str]:
        dimension_id = (self._ids or {}).get(code)
        if dimension_id is None:
            return set()
        path = f"{self.company.path}/dimensions({dimension_id})/dimensionValues"
        return {
            str(value.get("code", "")).upper()
            for condition in conditions("code", values)
            async for value in self.company.connection.listed(f"{path}?{query(filter=condition)}")
        }

    def _first_unknown(self, plan: VoucherPlan) -> str | None:
        for line in plan.lines:
            for code, value in line.dimensions.items():
                if value.upper() not in self._known.get(code.upper(), set()):
                    return f"records[{line.place}].dimensions.{code}"
        return None


def _used(plans: Sequence[VoucherPlan]) -> set[tuple[str, str]]:
    return {
        (code.upper(), value.upper())
        for plan in plans
        for line in plan.lines
        for code, value in line.dimensions.items()
    }
