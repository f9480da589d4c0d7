"""Sends vouchers into a journal, whole ones together, and finds out what became of each.

`$batch` with isolation is all or nothing, but it was seen to leave lines behind; so after every
failure the journal is looked at. A request whose reply was lost may still arrive: what cannot be
seen then is unknown, and nothing more is sent into this journal.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from functions.business_central.batch import ALL_OR_NOTHING, BatchReply, Operation, run
from functions.business_central.connection import ReplyLost
from functions.business_central.dimension_values import DimensionValues
from functions.business_central.dimensions import DimensionFault, LineDimension, set_dimensions
from functions.business_central.fault import RemoteFault
from functions.business_central.journal import Journal
from functions.business_central.lines import LineKey, PlannedLine, VoucherPlan
from functions.business_central.removal import Listed, Removal, Written, remove_lines
from functions.business_central.settings import BusinessCentralSettings
from functions.errors import DeliveryRefused, DeliveryUnavailable
from functions.voucher_delivery import DeliveryCode, Outcome, VoucherResult

Results = dict[str, VoucherResult]


@dataclass
class Sending:
    """Of one attempt into one journal. `_last` is what stopped it, for the vouchers after that."""

    journal: Journal
    settings: BusinessCentralSettings
    values: DimensionValues
    _settled: Results = field(default_factory=dict)
    _last: VoucherResult | None = None

    async def send(self, plans: Sequence[VoucherPlan]) -> Results:
        """A result for each, by document number. None is sent twice unless it failed."""
        results: Results = {
            plan.number: self._settled[plan.number]
            for plan in plans
            if plan.number in self._settled
        }
        results.update(await self._unfit([p for p in plans if p.number not in results]))
        groups = iter(self._groups(plan for plan in plans if plan.number not in results))
        async with asyncio.TaskGroup() as tasks:
            workers = [
                tasks.create_task(self._work(groups)) for _ in range(self.settings.max_in_flight)
            ]
        for worker in workers:
            results.update(worker.result())
        self._settled.update(
            (number, result)
            for number, result in results.items()
            if result.outcome is not Outcome.FAILED
        )
        return results

    async def _unfit(self, plans: Sequence[VoucherPlan]) -> Results:
        """Those that would be refused after their lines were written."""
        if self._last is not None or not self.settings.check_dimensions:
            return {}
        try:
            return await self.values.refused(plans)
        except DeliveryUnavailable as away:
            results = {plan.number: _failed_by(plan, away) for plan in plans}
            self._last = next(iter(results.values()))
            return results

    async def _work(self, groups: Iterator[list[VoucherPlan]]) -> Results:
        results: Results = {}
        for group in groups:
            results.update(await self._sent(group))
        return results

    def _groups(self, plans: Iterable[VoucherPlan]) -> Iterator[list[VoucherPlan]]:
        """Whole vouchers, as many as one request takes."""
        group: list[VoucherPlan] = []
        for plan in plans:
            operations = sum(len(other.lines) for other in group)
            if operations + len(plan.lines) > self.settings.operations_per_batch:
                yield group
                group = []
            group.append(plan)
        if group:
            yield group

    async def _sent(self, plans: list[VoucherPlan]) -> Results:
        """Sends them until all are settled: each turn without those that were refused."""
        results: Results = {}
        while waiting := [plan for plan in plans if plan.number not in results]:
            if self._last is not None:
                results.update({plan.number: _not_sent(plan, self._last) for plan in waiting})
            else:
                results.update(await self._turn(waiting))
        return results

    async def _turn(self, plans: list[VoucherPlan]) -> Results:
        """Settles at least one of them."""
        operations = list(self._operations(plans))
        try:
            reply = await run(self.journal.company.connection, operations, ALL_OR_NOTHING)
        except ReplyLost:
            return await self._after_lost_reply(plans)
        except (DeliveryRefused, DeliveryUnavailable) as error:
            results = {plan.number: _failed_by(plan, error) for plan in plans}
            self._last = next(iter(results.values()))
            return results
        if reply.faults:
            return await self._after_faults(plans, reply)
        if not reply.is_whole:
            return await self._after_gaps(plans, reply)
        return await self._with_dimensions([Written(plan, _ids(plan, reply)) for plan in plans])

    def _operations(self, plans: Sequence[VoucherPlan]) -> Iterator[Operation]:
        for plan in plans:
            for line in plan.lines:
                yield Operation(
                    _id(plan, line), "POST", f"{self.journal.path}/journalLines", line.body
                )

    async def _after_lost_reply(self, plans: list[VoucherPlan]) -> Results:
        """Operations run in order, so the batch is through when all of it can be seen."""
        unknown = {plan.number: _unknown(plan, DeliveryCode.REPLY_LOST) for plan in plans}
        self._last = _result(plans[0], Outcome.FAILED, DeliveryCode.NOT_SENT, is_retryable=True)
        try:
            listed = await self.journal.lines_of(unknown)
            arrived = self._arrived(plans, listed)
            await remove_lines(
                self.journal, [Written(plan) for plan in plans if plan not in arrived]
            )
        except (DeliveryRefused, DeliveryUnavailable):
            return unknown
        written = [Written(plan, _ids_by_key(plan, listed[plan.number])) for plan in arrived]
        return {**unknown, **await self._with_dimensions(written)}

    def _arrived(self, plans: list[VoucherPlan], listed: Listed) -> list[VoucherPlan]:
        if not all(is_all_there(plan, listed[plan.number]) for plan in plans):
            return []
        return [
            plan
            for plan in plans
            # Of those before the last, the lines after them are the proof.
            if (plan.proves_itself or plan is not plans[-1])
            and not any(line.dimensions for line in plan.lines if not line.is_listed)
        ]

    async def _after_faults(self, plans: list[VoucherPlan], reply: BatchReply) -> Results:
        removal = await self._removal(list(_written_before_fault(plans, reply)))
        results: Results = {}
        for plan in plans:
            is_clean = plan.number in removal.clean
            faulted = _first_fault(plan, reply)
            if faulted is not None:
                results[plan.number] = _refused(plan, *faulted, is_clean=is_clean)
                if faulted[1].concerns_all:
                    self._last = results[plan.number]
            elif not is_clean:
                results[plan.number] = _unknown(plan, DeliveryCode.LINES_LEFT)
        self._stop_at_unknown(results)
        return results

    async def _after_gaps(self, plans: list[VoucherPlan], reply: BatchReply) -> Results:
        """Nothing failed, yet not every operation has its one answer."""
        answered = [plan for plan in plans if len(_ids(plan, reply)) == len(plan.lines)]
        silent = [plan for plan in plans if plan not in answered]
        removal = await self._removal(
            [Written(plan, ids := _ids(plan, reply), _lacks(plan, ids)) for plan in silent]
        )
        results: Results = {}
        for plan in silent:
            is_gone = plan.number in removal.found and plan.number in removal.clean
            results[plan.number] = _result(
                plan,
                Outcome.FAILED if is_gone else Outcome.UNKNOWN,
                DeliveryCode.REPLY_INCOMPLETE,
                is_retryable=is_gone,
            )
        self._stop_at_unknown(results)
        seen = await self._seen([Written(plan, _ids(plan, reply)) for plan in answered])
        results.update({p.number: _unknown(p, DeliveryCode.LINES_DIFFER) for p in answered})
        return {**results, **await self._with_dimensions(seen)}

    async def _seen(self, written: list[Written]) -> list[Written]:
        try:
            listed = await self.journal.lines_of([one.plan.number for one in written])
        except (DeliveryRefused, DeliveryUnavailable):
            return []
        return [one for one in written if is_all_there(one.plan, listed[one.plan.number])]

    async def _with_dimensions(self, written: list[Written]) -> Results:
        """The lines are there; a voucher without its dimensions is not what was meant."""
        results = {
            one.plan.number: _result(
                one.plan,
                Outcome.ACCEPTED,
                remote_ids=tuple(one.ids[p] for p in sorted(one.ids)),
            )
            for one in written
        }
        dimensions = list(_dimensions(written))
        if not dimensions:
            return results
        meant = {dimension.document_number for dimension in dimensions}
        try:
            faults = await set_dimensions(self.journal.company, dimensions)
        except (DeliveryRefused, DeliveryUnavailable) as error:
            undone = [one for one in written if one.plan.number in meant]
            results.update({one.plan.number: _failed_by(one.plan, error) for one in undone})
            self._last = _failed_by(undone[0].plan, error)
        else:
            undone = [one for one in written if one.plan.number in faults]
            results.update({o.plan.number: _lacking(o, faults[o.plan.number]) for o in undone})
        return {**results, **await self._without(undone, results)}

    async def _without(self, undone: list[Written], results: Results) -> Results:
        """Failed if all lines could be removed again; otherwise unknown, for the same reason."""
        if not undone:
            return {}
        removal = await self._removal(undone)
        left = {
            one.plan.number: replace(
                results[one.plan.number], outcome=Outcome.UNKNOWN, is_retryable=False
            )
            for one in undone
            if one.plan.number not in removal.clean
        }
        self._stop_at_unknown(left)
        return left

    async def _removal(self, written: list[Written]) -> Removal:
        try:
            return await remove_lines(self.journal, written)
        except (DeliveryRefused, DeliveryUnavailable):
            return Removal(found=(), clean=())

    def _stop_at_unknown(self, results: Mapping[str, VoucherResult]) -> None:
        """The next attempt will clear this journal: what is sent now is sent in vain."""
        for result in results.values():
            if result.outcome is Outcome.UNKNOWN and self._last is None:
                self._last = replace(
                    result,
                    outcome=Outcome.FAILED,
                    code=DeliveryCode.NOT_SENT,
                    field=None,
                    is_retryable=True,
                )


def is_all_there(plan: VoucherPlan, listed: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the journal shows exactly the lines that it should; others of it may be hidden."""
    found = Counter(LineKey.of(line) for line in listed)
    return (
        Counter(line.key for line in plan.listed)
        <= found
        <= Counter(line.key for line in plan.lines)
    )


def _id(plan: VoucherPlan, line: PlannedLine) -> str:
    return f"{plan.voucher.number}-{line.place}"


def _ids(plan: VoucherPlan, reply: BatchReply) -> dict[int, str]:
    answers = {line.place: reply.entities.get(_id(plan, line), {}) for line in plan.lines}
    return {place: str(entity["id"]) for place, entity in answers.items() if entity.get("id")}


def _ids_by_key(plan: VoucherPlan, listed: Iterable[Mapping[str, Any]]) -> dict[int, str]:
    ids: dict[LineKey, list[str]] = {}
    for line in listed:
        ids.setdefault(LineKey.of(line), []).append(str(line["id"]))
    # Of equal lines each has one; which one makes no difference.
    return {line.place: ids[line.key].pop() for line in plan.lines if ids.get(line.key)}


def _lacks(plan: VoucherPlan, ids: Mapping[int, str]) -> bool:
    return any(not line.is_listed and line.place not in ids for line in plan.lines)


def _written_before_fault(plans: Sequence[VoucherPlan], reply: BatchReply) -> Iterator[Written]:
    """After the first fault nothing was carried out; before it, silence hides something."""
    is_before = True
    for plan in plans:
        ids = _ids(plan, reply)
        silent = False
        for line in plan.lines:
            is_before = is_before and _id(plan, line) not in reply.faults
            silent = silent or (is_before and not line.is_listed and line.place not in ids)
        yield Written(plan, ids, silent)


def _first_fault(plan: VoucherPlan, reply: BatchReply) -> tuple[PlannedLine, RemoteFault] | None:
    for line in plan.lines:
        if (fault := reply.faults.get(_id(plan, line))) is not None:
            return line, fault
    return None


def _dimensions(written: Iterable[Written]) -> Iterator[LineDimension]:
    for one in written:
        for line in one.plan.lines:
            for code, value in line.dimensions.items():
                yield LineDimension(one.plan.number, line.place, one.ids[line.place], code, value)


def _refused(
    plan: VoucherPlan, line: PlannedLine, fault: RemoteFault, *, is_clean: bool
) -> VoucherResult:
    is_known = is_clean and fault.code is not DeliveryCode.REPLY_LOST
    is_account = fault.code is DeliveryCode.VALUE_UNKNOWN and "taxCode" not in line.body
    return VoucherResult(
        plan.voucher.number,
        Outcome.FAILED if is_known else Outcome.UNKNOWN,
        fault.code,
        f"records[{line.place}]" + (".accountNumber" if is_account else ""),
        fault.message,
        fault.remote_code,
        fault.correlation_id,
        is_known and fault.is_retryable,
    )


def _lacking(written: Written, faulted: DimensionFault) -> VoucherResult:
    fault = faulted.fault
    return VoucherResult(
        written.plan.voucher.number,
        Outcome.FAILED,
        DeliveryCode.DIMENSION_REFUSED,
        f"records[{faulted.dimension.place}].dimensions.{faulted.dimension.code}",
        fault.message,
        fault.remote_code,
        fault.correlation_id,
        fault.is_retryable,
    )


def _failed_by(plan: VoucherPlan, error: DeliveryRefused | DeliveryUnavailable) -> VoucherResult:
    """The request as a whole did not come through, and certainly did nothing."""
    if isinstance(error, DeliveryUnavailable):
        return _result(plan, Outcome.FAILED, DeliveryCode.TARGET_BUSY, is_retryable=True)
    is_right = error.code == "delivery_not_permitted"
    return VoucherResult(
        plan.voucher.number,
        Outcome.FAILED,
        DeliveryCode.NOT_PERMITTED if is_right else DeliveryCode.TARGET_REFUSED,
        error.field,
        error.remote_message,
        error.remote_code,
        error.correlation_id,
    )


def _not_sent(plan: VoucherPlan, last: VoucherResult) -> VoucherResult:
    return replace(
        last,
        voucher_number=plan.voucher.number,
        outcome=Outcome.FAILED,
        code=DeliveryCode.NOT_SENT,
        field=None,
    )


def _unknown(plan: VoucherPlan, code: DeliveryCode) -> VoucherResult:
    return _result(plan, Outcome.UNKNOWN, code)


def _result(
    plan: VoucherPlan,
    outcome: Outcome,
    code: DeliveryCode | None = None,
    *,
    is_retryable: bool = False,
    remote_ids: tuple[str, ...] = (),
) -> VoucherResult:
    return VoucherResult(
        plan.voucher.number, outcome, code, is_retryable=is_retryable, remote_ids=remote_ids
    )
