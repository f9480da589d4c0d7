"""The law of the house: imports go one way, each dependency has one door, every room has a name."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PACKAGES = ("exporters", "functions", "cli", "stack", "demo")

# What each package may import of ours. exporters is pure; functions is the product on top of it;
# cli is the product for a terminal; stack runs the product without importing it; demo looks at it
# from outside.
MAY_IMPORT = {
    "exporters": {"exporters"},
    "functions": {"functions", "exporters"},
    "cli": {"cli", "functions", "exporters"},
    "stack": {"stack"},
    "demo": {"demo", "stack"},
}

# Floors of functions/: a module imports from lower floors only.
FLOORS = [
    {"settings", "language", "log", "meanwhile", "hashed_file", "export_run"},
    {"sheet_words", "workbook"},
    {"journal_line_page", "left_out_page", "whole_voucher_page"},
    {"verification_sheet"},
    {"errors", "export_history", "claim_status", "confirmation", "reconciliation", "run_context"},
    {"secret_reference", "preview_request"},
    {"voucher_delivery"},
    {"delivery_sentences", "business_central.settings", "business_central.wire"},
    {
        "found_exports",
        "caller",
        "error_catalogue",
        "problem_sentences",
        "request_body",
        "confirmation_list",
        "changed_claims",
        "export_requests",
        "preview_budget",
        "preview_rendering",
        "run_difference",
        "run_comparison",
        "supabase_connection",
        "business_central.token",
        "business_central.fault",
        "business_central.lines",
        "business_central.records",
    },
    {
        "json_body",
        "export_confirmations",
        "export_guard",
        "export_holds",
        "claimant_erasure",
        "export_backfill",
        "export_run_repository",
        "export_storage",
        "preview_source",
        "run_answer",
        "left_out_answer",
        "claim_answer",
        "document_answer",
        "delivery_book",
        "delivery_vouchers",
        "business_central.connection",
    },
    {"business_central.journal", "business_central.batch"},
    {
        "business_central.dimensions",
        "business_central.dimension_values",
        "business_central.removal",
    },
    {"business_central.sending"},
    {"business_central.delivery"},
    {"delivery_registry"},
    {"delivery_check"},
    {
        "run_rendering",
        "run_delivery",
        "document_rendering",
        "configuration_check",
        "problem",
        "export_reconciliation",
    },
    {"export_engine", "export_documents", "export_preview"},
    {"outcome_answer", "export_sweep", "preview_answer"},
    {"services"},
    {
        "trigger_export",
        "preview_export",
        "confirm_export",
        "void_export",
        "show_export_run",
        "show_verification_sheet",
        "list_export_runs",
        "show_claim_status",
        "list_claim_runs",
        "list_changed_claims",
        "find_exports",
        "sweep_exports",
    },
    {"api"},
    {"main"},
]

# The one door of each outside dependency in the product.
DOORS = {
    "postgrest": {"functions.supabase_connection"},
    "storage3": {"functions.supabase_connection", "functions.export_storage"},
    "supabase": set(),
    "functions_framework": {"functions.main"},
    "pydantic_settings": {"functions.settings"},
    "os": {"functions.secret_reference"},
    "psycopg": set(),
    "httpx": {
        "functions.supabase_connection",
        "functions.export_storage",
        "functions.business_central.connection",
    },
    "xlsxwriter": {"functions.workbook"},
    "stamina": {"functions.supabase_connection", "functions.business_central.connection"},
}


def modules(package: str) -> dict[str, ast.Module]:
    return {
        ".".join(path.relative_to(CHECKOUT).with_suffix("").parts): ast.parse(
            path.read_text(encoding="utf-8")
        )
        for path in sorted((CHECKOUT / package).rglob("*.py"))
    }


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_in_one_direction(package: str) -> None:
    """Exporters import nothing of ours, functions only exporters, and nobody imports demo or tests."""
    ours = {*PACKAGES, "tests"}
    found = {
        (module, name.split(".")[0])
        for module, tree in modules(package).items()
        for name in imports(tree)
        if name.split(".")[0] in ours
    }

    assert {pair for pair in found if pair[1] not in MAY_IMPORT[package]} == set()


def test_functions_import_from_lower_floors_only() -> None:
    """Each module of functions has a floor and reaches down, never up or sideways."""
    floor_of = {
        f"functions.{name}": height for height, names in enumerate(FLOORS) for name in names
    }
    trees = {
        module: tree
        for module, tree in modules("functions").items()
        if not module.endswith(".__init__")
    }

    assert set(trees) == set(floor_of), "every module is on one floor"
    assert [
        (module, name)
        for module, tree in trees.items()
        for name in imports(tree)
        if name.startswith("functions.") and floor_of[name] >= floor_of[module]
    ] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_there_is_no_import_cycle(package: str) -> None:
    """The modules of a package can be read one after the other."""
    trees = modules(package)
    graph = {
        module: {name for name in imports(tree) if name in trees} for module, tree in trees.items()
    }

    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("dependency", DOORS)
def test_each_outside_dependency_has_one_door(dependency: str) -> None:
    """Only the named modules of the product touch the data API, storage, the framework or the environment."""
    users = {
        module
        for package in ("exporters", "functions")
        for module, tree in modules(package).items()
        if any(name.split(".")[0] == dependency for name in imports(tree))
    }

    assert users <= DOORS[dependency]


def test_formats_do_not_know_each_other() -> None:
    """A second target is one file, one layout and one registry line."""
    trees = modules("exporters")
    formats = {"exporters.xledger", "exporters.dynamics"}

    for module, tree in trees.items():
        known = formats & set(imports(tree)) - {module}
        assert not known or module == "exporters.registry", (module, known)


def test_entry_points_are_plain_functions_of_main() -> None:
    """functions-framework loads main.py by file name; a class in it would exist twice."""
    tree = modules("functions")["functions.main"]

    assert [node.name for node in tree.body if isinstance(node, ast.ClassDef)] == []
    assert {node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef)} >= {
        "trigger_export",
        "preview_export",
        "export_run",
        "export_history",
        "claim_status",
        "claim_runs",
        "find_export",
        "sweep",
        "api",
    }


def test_every_room_has_a_name() -> None:
    """No utils, helpers or common, and no package in supabase/, which would hide the client library."""
    nameless = {"utils.py", "util.py", "helpers.py", "helper.py", "common.py", "misc.py"}
    ours = [path for package in (*PACKAGES, "tests") for path in (CHECKOUT / package).rglob("*.py")]

    assert [path for path in ours if path.name in nameless] == []
    assert list((CHECKOUT / "supabase").rglob("__init__.py")) == []


def test_functions_stay_short() -> None:
    """A function fits on a screen: none has more than 45 lines, and most have about ten."""
    lengths = {
        f"{module}.{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for package in PACKAGES
        for module, tree in modules(package).items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert {name: length for name, length in lengths.items() if length > 45} == {}
    assert sorted(lengths.values())[len(lengths) // 2] <= 12
