"""The objects of a process, put together once. Nothing here opens a connection."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from functions.delivery_book import DeliveryBook
from functions.delivery_registry import delivery_for
from functions.export_documents import ExportDocuments
from functions.export_engine import ExportEngine
from functions.export_guard import ExportGuard
from functions.export_preview import ExportPreview
from functions.export_reconciliation import ExportReconciliation
from functions.export_run_repository import ExportRunRepository
from functions.export_storage import ExportStorage
from functions.export_sweep import ExportSweep
from functions.preview_source import PreviewSource
from functions.run_delivery import RunDelivery
from functions.secret_reference import SecretStore
from functions.settings import Settings
from functions.supabase_connection import SupabaseConnection
from functions.voucher_delivery import DeliveryContext, VoucherDelivery


@dataclass(frozen=True)
class Services:
    """What endpoints use."""

    settings: Settings
    connection: SupabaseConnection
    storage: ExportStorage
    engine: ExportEngine
    reconciliation: ExportReconciliation
    documents: ExportDocuments
    sweep: ExportSweep

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Everything that the settings describe."""
        connection = SupabaseConnection(settings)
        storage = ExportStorage(connection, settings)
        guard = ExportGuard(connection)
        delivery = RunDelivery(guard, DeliveryBook(connection), _delivery)
        engine = ExportEngine(guard, storage, delivery, settings)
        reconciliation = ExportReconciliation(connection, storage, settings)
        documents = ExportDocuments(connection, storage, settings)
        sweep = ExportSweep(guard, engine, documents, reconciliation, settings)
        return cls(settings, connection, storage, engine, reconciliation, documents, sweep)

    def runs_as_user(self, token: str) -> ExportRunRepository:
        """What this user may see, as the database judges."""
        return ExportRunRepository(self.connection.as_user(token))

    def preview_as_user(self, token: str) -> ExportPreview:
        """What this user may see of an export that is to come."""
        return ExportPreview(PreviewSource(self.connection.as_user(token)), self.settings)

    def preview_as_service(self) -> ExportPreview:
        """The same for the command line."""
        return ExportPreview(PreviewSource(self.connection.as_service()), self.settings)


def _delivery(
    name: str, connection: Mapping[str, object], organization_id: UUID
) -> VoucherDelivery:
    """The way of one attempt; no secret is read before something is asked of it."""
    return delivery_for(name, connection, DeliveryContext(organization_id, SecretStore()))
