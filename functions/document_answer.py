"""What lies beside a file, as a caller reads it."""

from functions.export_run import RunDocument


def document_json(document: RunDocument) -> dict[str, object]:
    """Without its place in the bucket, which is nobody's to know."""
    return document.model_dump(mode="json", exclude={"path"})
