"""The embedded dashboard: the database's owner behind a link, who edits configuration and not history."""

from collections.abc import Iterator

import httpx
import pytest

from stack.embedded_stack import EmbeddedStack
from tests.organisation import Organisation, begin, complete

OWNER = {"Prefer": "return=representation"}


@pytest.fixture
def dashboard(stack: EmbeddedStack) -> Iterator[httpx.Client]:
    """A browser that opened the printed link."""
    address = stack.supabase.dashboard_url
    with httpx.Client(
        base_url=address.split("/?")[0], follow_redirects=True, timeout=30
    ) as browser:
        page = browser.get(address)
        assert (page.status_code, "text/html" in page.headers["content-type"]) == (200, True)
        yield browser


def test_the_dashboard_opens_by_its_link_only(stack: EmbeddedStack) -> None:
    """Who does not have the link sees nothing, not even through the data API beside it."""
    address = stack.supabase.dashboard_url.split("/?")[0]

    for path in ("/", "/?token=guess", "/rest/v1/export_runs", "/_system/info"):
        assert httpx.get(address + path).status_code == 403


def test_the_owner_edits_targets_and_not_history(
    dashboard: httpx.Client, organisation: Organisation
) -> None:
    """As hosted, the dashboard works as the database's owner: configuration is editable, runs are not."""
    organisation.add_claim()
    user_id = organisation.add_member()
    with organisation.as_user(user_id) as connection:
        complete(organisation, begin(connection, organisation))
    mine = {"organization_id": f"eq.{organisation.id}"}

    target = dashboard.patch(
        "/rest/v1/export_targets", params=mine, json={"is_enabled": False}, headers=OWNER
    )
    run = dashboard.patch(
        "/rest/v1/export_runs", params=mine, json={"status": "failed"}, headers=OWNER
    )

    assert (target.status_code, target.json()[0]["is_enabled"]) == (200, False)
    assert (run.status_code, run.json()["details"]) == (403, "history_is_protected")
    assert dashboard.get("/rest/v1/export_runs", params=mine).json()[0]["status"] == "completed"
