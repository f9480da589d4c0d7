"""The JSON schema of a layout, for editors that help whoever writes one."""

from exporters.layout import Layout

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def layout_schema() -> dict[str, object]:
    """Describe every key of a layout; what one key demands of another only `Layout` knows."""
    return {"$schema": SCHEMA_DIALECT, **Layout.model_json_schema()}
