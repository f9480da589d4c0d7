"""The ladder of the HTTP tests: an organisation, its people, and the doors they come through."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from stack.accounts import create_account
from stack.embedded_stack import EmbeddedStack
from tests.http.app_user import PATIENCE_SECONDS, AppUser
from tests.http.fault_proxy import FaultProxy
from tests.http.functions_door import functions_door
from tests.organisation import Organisation

NewUser = Callable[..., AppUser]


@pytest.fixture
def organisation(stack: EmbeddedStack) -> Organisation:
    """An organisation with Xledger and posting rules, checked, without people and claims."""
    organisation = Organisation.create(stack.database)
    organisation.check_configuration()
    return organisation


@pytest.fixture
def door(stack: EmbeddedStack) -> Iterator[httpx.Client]:
    """The functions server of the stack."""
    with httpx.Client(base_url=stack.functions.url, timeout=PATIENCE_SECONDS) as client:
        yield client


@pytest.fixture
def new_user(stack: EmbeddedStack, door: httpx.Client) -> NewUser:
    """Sign somebody up, and make her a member of the organisations given, in a role."""

    def sign_up(
        role: str | None = None, *organisations: Organisation, name: str = "Kari"
    ) -> AppUser:
        account = create_account(stack)
        for organisation in organisations:
            organisation.enrol(account.user_id, role or "member", name)
        return AppUser(account, door)

    return sign_up


@pytest.fixture
def coordinator(new_user: NewUser, organisation: Organisation) -> AppUser:
    """A coordinator of the organisation, at the stack's functions."""
    return new_user("coordinator", organisation, name="Kåre Åsen")


@pytest.fixture
def proxy(stack: EmbeddedStack) -> Iterator[FaultProxy]:
    """A way to Supabase that can be made to fail."""
    with FaultProxy(stack.url) as proxy:
        yield proxy


@pytest.fixture
def proxied_door(stack: EmbeddedStack, proxy: FaultProxy) -> Iterator[httpx.Client]:
    """Functions that reach Supabase through the proxy."""
    # Faults are ridden out for a moment only: tests whose fault lasts need not wait long.
    with functions_door(stack.functions_environment, proxy.url, export_retry_seconds=1) as client:
        yield client


@pytest.fixture
def proxied_coordinator(coordinator: AppUser, proxied_door: httpx.Client) -> AppUser:
    """The coordinator at the functions behind the proxy."""
    return coordinator.at(proxied_door)
