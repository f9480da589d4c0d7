"""What a run sends over an API, in the database's books: noted before it is sent, and after."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal
from uuid import UUID

from pydantic import TypeAdapter

from functions.export_run import ExportRun, Told
from functions.supabase_connection import SupabaseConnection
from functions.voucher_delivery import DeliveryVoucher, VoucherResult

_CODE: Final = "delivery_in_doubt"


class Container(Told):
    """Where an attempt wrote, or may have written, and every document that may be there."""

    container: str
    fencing_token: int
    document_numbers: tuple[str, ...]


class SettledVoucher(Told):
    """What a person found out: no worker sends such a voucher."""

    voucher_number: int
    state: Literal["already_there", "failed"]


class RunDeliveries(Told):
    """A run with its configuration, and what of it may be in the accounting system.

    `was_posted`: it is known of a voucher that it stands in the books.
    """

    run: ExportRun
    was_posted: bool
    configuration: Mapping[str, object]
    containers: tuple[Container, ...]


class _Containers(Told):
    containers: tuple[Container, ...]


class _Settled(Told):
    settled: tuple[SettledVoucher, ...]


class _RunTold(Told):
    run: ExportRun


_CONTAINERS: Final = TypeAdapter(_Containers)
_SETTLED: Final = TypeAdapter(_Settled)
_RUN_TOLD: Final = TypeAdapter(_RunTold)
_DELIVERIES: Final = TypeAdapter(RunDeliveries)


class DeliveryBook:
    """Stateless; safe to share. Every call refuses a fencing token that is not current."""

    def __init__(self, connection: SupabaseConnection) -> None:
        self._connection = connection

    async def open(self, run_id: UUID, fencing_token: int, container: str) -> Sequence[Container]:
        """Notes where the attempt is going to write; what earlier attempts may have left."""
        arguments = {**_held(run_id, fencing_token), "p_container": container}
        session = self._connection.as_service()
        return (await session.call("open_delivery", arguments, _CONTAINERS)).containers

    async def clear(self, run_id: UUID, fencing_token: int | None, container_token: int) -> None:
        """Nothing unposted of that attempt is in the accounting system any more.

        A completed run is nobody's: no token.
        """
        arguments = {**_held(run_id, fencing_token), "p_container_token": container_token}
        await self._connection.as_service().call("clear_delivery", arguments, _RUN_TOLD)

    async def intend(
        self, run_id: UUID, fencing_token: int, vouchers: Sequence[DeliveryVoucher]
    ) -> dict[int, SettledVoucher]:
        """Before vouchers are sent: at most a page. Those that a person has settled are told."""
        rows = [{**_voucher(voucher), "state": "intended"} for voucher in vouchers]
        settled = await self._record(run_id, fencing_token, rows)
        return {voucher.voucher_number: voucher for voucher in settled}

    async def record(
        self,
        run_id: UUID,
        fencing_token: int,
        vouchers: Sequence[DeliveryVoucher],
        results: Mapping[int, VoucherResult],
    ) -> None:
        """What became of vouchers, by their numbers."""
        rows = [
            {**_voucher(voucher), **_result(results[voucher.number])}
            for voucher in vouchers
            if voucher.number in results
        ]
        await self._record(run_id, fencing_token, rows)

    async def doubt(self, run_id: UUID, fencing_token: int, code: str) -> ExportRun:
        """Sets the run aside. Raises Refused `nothing_in_doubt` when nothing was sent anywhere."""
        arguments = {
            **_held(run_id, fencing_token),
            "p_error_code": _CODE,
            "p_error_detail": {"cause": code},
        }
        session = self._connection.as_service()
        return (await session.call("doubt_export_run", arguments, _RUN_TOLD)).run

    async def look_at(self, run_id: UUID) -> RunDeliveries:
        """What of a run may be in the accounting system, whoever holds it."""
        session = self._connection.as_service()
        return await session.call("get_export_delivery", {"p_run_id": run_id}, _DELIVERIES)

    async def _record(
        self, run_id: UUID, fencing_token: int, rows: Sequence[Mapping[str, object]]
    ) -> Sequence[SettledVoucher]:
        arguments = {**_held(run_id, fencing_token), "p_deliveries": rows}
        session = self._connection.as_service()
        return (await session.call("record_deliveries", arguments, _SETTLED)).settled


def _held(run_id: UUID, fencing_token: int | None) -> dict[str, object]:
    return {"p_run_id": run_id, "p_fencing_token": fencing_token}


def _voucher(voucher: DeliveryVoucher) -> dict[str, object]:
    return {"voucher_number": voucher.number, "document_number": voucher.document_number}


def _result(result: VoucherResult) -> dict[str, object]:
    return {
        "state": result.outcome,
        "code": result.code,
        "field": result.field,
        "message": result.message,
        "remote_code": result.remote_code,
        "correlation_id": result.correlation_id,
        "remote_ids": list(result.remote_ids),
    }
