"""Who may reach what through the doors of the app: stored files and functions, over HTTP on the whole stack."""

from collections.abc import Iterator

import httpx
import pytest

from functions.api import ENDPOINTS
from stack.embedded_stack import EmbeddedStack
from tests.access.doors import Town, wrong_answers, wrong_files
from tests.access.matrix import load
from tests.http.app_user import PATIENCE_SECONDS

MATRIX = load()


@pytest.fixture
def town(stack: EmbeddedStack) -> Iterator[Town]:
    """Two organisations on the stack."""
    with httpx.Client(base_url=stack.functions.url, timeout=PATIENCE_SECONDS) as door:
        yield Town.settle(stack, door)


def test_stored_files_are_as_the_matrix_says(town: Town) -> None:
    """Every verb on every kind of file, as every role, of her own organisation and of the other."""
    [(bucket, rows)] = MATRIX["storage"].items()

    assert town.own.organisation.execute("select id from storage.buckets") == [(bucket,)]
    assert list(wrong_files(town, rows)) == []


def test_functions_are_as_the_matrix_says(town: Town) -> None:
    """Every function of the app, as every role, about her own organisation and about the other."""
    # Whoever may export goes on with the run that a dead worker left.
    town.own.organisation.expire_lease()

    assert set(MATRIX["endpoints"]) == set(ENDPOINTS)
    assert list(wrong_answers(town, MATRIX["endpoints"])) == []
