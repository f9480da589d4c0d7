"""`layout-schema`: the JSON schema that layouts are written by."""

import json

from exporters.layout_schema import layout_schema as schema


def layout_schema() -> None:
    """Print the JSON schema of a layout, as docs/layout.schema.json has it."""
    print(json.dumps(schema(), ensure_ascii=False, indent=2))
