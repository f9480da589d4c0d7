from collections.abc import Callable

import httpx
import pytest

from stack.embedded_stack import EmbeddedStack
from stack.functions_server import FunctionsServer


def test_the_functions_answer_next_to_the_stack(stack: EmbeddedStack) -> None:
    """The functions that the app calls are behind one address and refuse a caller without login."""
    answer = httpx.post(f"{stack.functions.url}/trigger_export", json={})
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


@pytest.mark.parametrize("target", ["api", "trigger_export"])
def test_each_entry_point_starts_as_it_is_deployed(
    deployed_functions: Callable[[str], FunctionsServer], target: str
) -> None:
    """From a clean copy, with the runtime packages only, an entry point starts and answers."""
    server = deployed_functions(target)
    path = "trigger_export" if target == "api" else ""
    answer = httpx.post(f"{server.url}/{path}", json={})
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
