"""Documents beside a file, as the functions store and record them."""

from typing import Any

from tests.organisation import Organisation, call

KINDS = {"verification_sheet_nb": ("c" * 64, "xlsx"), "manifest": ("d" * 64, "json")}


def stored_documents(organisation: Organisation, run_id: str) -> list[dict[str, Any]]:
    """Make the database believe that both were uploaded."""
    documents = []
    for kind, (sha256, extension) in KINDS.items():
        path = f"{organisation.id}/{run_id}/{sha256}.{extension}"
        organisation.execute(
            "insert into storage.objects (bucket_id, name) values ('exports', %s) on conflict do nothing",
            path,
        )
        documents.append(
            {
                "kind": kind,
                "path": path,
                "name": f"{kind}.{extension}",
                "sha256": sha256,
                "size": 10,
                "content_type": "application/json",
            }
        )
    return documents


def record_documents(organisation: Organisation, run_id: str) -> dict[str, Any]:
    """Store and record both."""
    documents = stored_documents(organisation, run_id)
    with organisation.as_service() as service:
        return call(
            service, "record_export_documents", p_run_id=run_id, p_documents=list(documents)
        )
