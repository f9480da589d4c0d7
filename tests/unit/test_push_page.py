"""The page about the push keeps its word: its connection can be used, its statements exist."""

import json
import re
from pathlib import Path
from uuid import UUID

from functions.business_central.settings import MOST_OPERATIONS, BusinessCentralSettings
from functions.secret_reference import MOUNTED_SECRETS, SecretStore, environment_name
from functions.voucher_delivery import Outcome

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs" / "push.md").read_text("utf-8")
SCHEMA = (CHECKOUT / "supabase" / "schema.sql").read_text("utf-8")
ORGANISATION = UUID("6f2f2a52-7d55-4ac1-9f6b-0f1f7a0b6c11")


def blocks(language: str) -> list[str]:
    return [str(found) for found in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)]


def test_the_connection_of_the_page_can_be_used() -> None:
    [block] = blocks("json")

    connection = BusinessCentralSettings.of(json.loads(block))

    secrets = SecretStore(environment={environment_name(ORGANISATION): "s"})
    found = secrets.secret(connection.client_secret_ref, ORGANISATION, "client_secret_ref")
    assert found.get_secret_value() == "s"
    assert f"`{MOUNTED_SECRETS}/" in PAGE
    assert f"at most {MOST_OPERATIONS} lines in a request" in PAGE


def test_the_statements_of_the_page_name_what_the_function_takes() -> None:
    [signature] = re.findall(
        r"CREATE FUNCTION public\.settle_export_delivery\((.*?)\) RETURNS", SCHEMA
    )
    taken = re.findall(r"(p_\w+) ", signature)

    statements = blocks("sql")

    assert len(statements) == 2
    for statement in statements:
        assert statement.startswith("select public.settle_export_delivery(")
        assert re.findall(r"(p_\w+) =>", statement) == taken
        for vouchers in re.findall(r"'(\[.*\])'", statement):
            assert {one["state"] for one in json.loads(vouchers)} == {"already_there", "failed"}


def _states_table() -> str:
    return PAGE.partition("`export_deliveries.state`")[2].partition("\n## ")[0]


def test_every_state_of_a_voucher_is_explained() -> None:
    explained = re.findall(r"^\| (\w+) \|", _states_table(), re.MULTILINE)

    assert set(explained) == {"intended", *Outcome}
