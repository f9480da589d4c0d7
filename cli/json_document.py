"""A file at the command line that holds one JSON value."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import typer


def json_document(path: Path | None) -> Mapping[str, object] | None:
    """Read a JSON object; a path to something else is a wrong command line."""
    if path is None:
        return None
    document = _value(path)
    if not isinstance(document, dict):
        raise typer.BadParameter(f"{path} holds no JSON object.")
    return document


def json_objects(path: Path) -> Sequence[Mapping[str, object]]:
    """Read a JSON list of objects; a path to something else is a wrong command line."""
    document = _value(path)
    if not isinstance(document, list) or not all(isinstance(one, dict) for one in document):
        raise typer.BadParameter(f"{path} holds no JSON list of objects.")
    return document


def _value(path: Path) -> object:
    try:
        return json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"{path} is no JSON in UTF-8: {error}") from error
