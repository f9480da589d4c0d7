"""The functions as Cloud Run gets them: a clean copy, locked packages, the buildpack's start."""

from collections.abc import Callable

import httpx
import pytest

from stack.functions_server import FunctionsServer
from tests.http.app_user import PATIENCE_SECONDS, AppUser, sha256_of
from tests.organisation import Organisation

Deployed = Callable[[str], FunctionsServer]


def test_the_router_serves_every_function(
    coordinator: AppUser, organisation: Organisation, deployed_functions: Deployed
) -> None:
    """With only the runtime packages, `api` exports, shows, lists and links the file."""
    organisation.add_claim()
    with httpx.Client(base_url=deployed_functions("api").url, timeout=PATIENCE_SECONDS) as deployed:
        user = coordinator.at(deployed)
        run = user.trigger(organisation).json()["run"]
        content = user.download(run["run_id"]).content
        history = user.history(organisation).json()

    assert run["file"]["sha256"] == sha256_of(content)
    assert [listed["run_id"] for listed in history["runs"]] == [run["run_id"]]


@pytest.mark.parametrize(
    "target", ["trigger_export", "export_run", "export_history", "find_export"]
)
def test_each_function_is_an_entry_point_of_its_own(
    deployed_functions: Deployed, target: str
) -> None:
    """Deployed alone, a function answers at the root of its own address, and asks for a login."""
    method = "POST" if target == "trigger_export" else "GET"

    answer = httpx.request(method, deployed_functions(target).url, timeout=PATIENCE_SECONDS)

    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
