import ast
from pathlib import Path

import pytest

import exporters

SOURCES = sorted(Path(exporters.__file__).parent.glob("*.py"))
EVERY_SOURCE = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)

# What a pure module may know of the world. The registry finds installed exporters, the layout
# reads the files that are shipped with it.
ALLOWED = {
    "abc",
    "collections",
    "collections.abc",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "pydantic",
    "pydantic_core",
    "re",
    "string",
    "typing",
    "unicodedata",
    "uuid",
}
ALLOWED_IN = {
    "registry": {"importlib.metadata"},
    "layout": {"importlib.resources"},
    "json_writer": {"json"},
    "piece_reader": {"json"},
    "file_reading": {"csv", "json"},
    "manifest": {"json"},
}
FORBIDDEN_CALLS = {
    "float",
    "open",
    "eval",
    "exec",
    "print",
    "input",
    "now",
    "today",
    "utcnow",
    "uuid1",
    "uuid4",
}


@EVERY_SOURCE
def test_exporters_import_nothing_that_touches_the_world(source: Path) -> None:
    """No clock, network, environment, randomness or function code is imported."""
    imported = set()
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    outside = {name for name in imported if not name.startswith("exporters.")}

    assert outside <= ALLOWED | ALLOWED_IN.get(source.stem, set())


@EVERY_SOURCE
def test_exporters_have_no_float(source: Path) -> None:
    """No float literal, no float name and no division that could make one of money."""
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float))
        assert not (isinstance(node, ast.Name) and node.id == "float")
        assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div))


@EVERY_SOURCE
def test_exporters_read_no_clock_and_no_file(source: Path) -> None:
    """Nothing is called that reads a clock, a file or chance, or runs text as code."""
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            assert name not in FORBIDDEN_CALLS


FORMATS = ("xledger", "dynamics")


@pytest.mark.parametrize("module", FORMATS)
def test_formats_do_not_know_each_other(module: str) -> None:
    """A format imports no other format, so one can be removed without the other."""
    text = (Path(exporters.__file__).parent / f"{module}.py").read_text("utf-8")

    assert not [other for other in FORMATS if other != module and f"exporters.{other}" in text]
