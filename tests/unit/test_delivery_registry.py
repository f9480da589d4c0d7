"""Deliveries come with the product or with packages, and none can take another's place."""

from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import EntryPoint, EntryPoints
from types import TracebackType

import pytest

from functions.business_central.delivery import BusinessCentralDelivery
from functions.business_central.records import delivery_voucher
from functions.delivery_registry import (
    ENTRY_POINT_GROUP,
    deliveries,
    delivery_for,
    delivery_type,
)
from functions.errors import DeliveryRefused
from functions.secret_reference import SecretStore
from functions.voucher_delivery import (
    DeliveryContext,
    DeliveryVoucher,
    Outcome,
    VoucherDelivery,
    VoucherPart,
    VoucherResult,
)
from tests.business_central.sending import ORGANISATION, voucher


class PaperDelivery(VoucherDelivery):
    """A third party's target: somebody writes every voucher down."""

    name = "paper"
    target = "paper"

    @classmethod
    def check_settings(cls, settings: Mapping[str, object]) -> None:
        """Somebody must write."""
        if "scribe" not in settings:
            raise DeliveryRefused("delivery_setting_invalid", field="scribe")

    def __init__(self, settings: Mapping[str, object], context: DeliveryContext) -> None:
        del context
        self.check_settings(settings)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the pen down."""

    def voucher(self, parts: Sequence[VoucherPart]) -> DeliveryVoucher:
        """As for Business Central."""
        return delivery_voucher(parts)

    async def check(self) -> None:
        """Paper is patient."""

    async def clear(self, container: str, document_numbers: Collection[str]) -> None:
        """Tear the page out."""

    async def find(self, vouchers: Sequence[DeliveryVoucher]) -> list[VoucherResult]:
        """Nothing was written before."""
        del vouchers
        return []

    async def open(self, container: str) -> None:
        """Turn the page."""

    async def send(self, vouchers: Sequence[DeliveryVoucher]) -> list[VoucherResult]:
        """Write."""
        return [VoucherResult(one.number, Outcome.ACCEPTED) for one in vouchers]

    async def verify(self, vouchers: Sequence[DeliveryVoucher]) -> list[VoucherResult]:
        """Read it again."""
        return await self.send(vouchers)


@pytest.fixture
def added_delivery(monkeypatch: pytest.MonkeyPatch) -> str:
    """Add a delivery as an installed package would, a rival of ours, and something else."""
    objects = {"paper": PaperDelivery, "business_central": PaperDelivery, "broken": int}
    points = EntryPoints(EntryPoint(name, "x:y", ENTRY_POINT_GROUP) for name in objects)
    monkeypatch.setattr("functions.delivery_registry.entry_points", points.select)
    monkeypatch.setattr(EntryPoint, "load", lambda point: objects[point.name])
    return "paper"


@pytest.fixture
def context() -> DeliveryContext:
    """Of an organisation without secrets."""
    return DeliveryContext(ORGANISATION, SecretStore(environment={}))


async def test_a_package_adds_a_delivery(added_delivery: str, context: DeliveryContext) -> None:
    """It is listed, made with its own settings, and answers for every voucher."""
    assert added_delivery in deliveries()
    async with delivery_for(added_delivery, {"scribe": "Ola"}, context) as delivery:
        (result,) = await delivery.send([voucher(3)])

    assert (result.voucher_number, result.outcome) == (3, Outcome.ACCEPTED)


@pytest.mark.usefixtures("added_delivery")
def test_a_package_cannot_replace_a_delivery_of_ours() -> None:
    """Vouchers for Business Central go nowhere else."""
    assert delivery_type("business_central") is BusinessCentralDelivery


@pytest.mark.usefixtures("added_delivery")
@pytest.mark.parametrize("name", ["broken", "missing"])
def test_what_is_no_delivery_is_refused(name: str, context: DeliveryContext) -> None:
    """With the setting that names it."""
    with pytest.raises(DeliveryRefused, match="delivery_unknown") as refused:
        delivery_for(name, {}, context)

    assert refused.value.field == "delivery"


def test_settings_are_refused_by_name_and_never_shown(context: DeliveryContext) -> None:
    """The first setting at fault; a value may be a secret that somebody put in the wrong place."""
    settings = {
        "tenant_id": "hlf.example",
        "client_id": "x",
        "client_secret_ref": "env:whatever",
        "client_secret": "top-secret",
        "environment": "Sandbox",
        "environment_kind": "sandbox",
        "company": "HLF",
        "journal_template": "GENERELL",
    }
    with pytest.raises(DeliveryRefused, match="delivery_setting_invalid") as refused:
        delivery_for("business_central", settings, context)

    assert refused.value.field == "client_secret"
    assert "top-secret" not in str(vars(refused.value))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("api_url", "http://api.businesscentral.dynamics.com"),
        ("api_url", "https://api.businesscentral.dynamics.com.evil.example"),
        ("api_url", "https://api.businesscentral.dynamics.com:8443"),
        ("api_url", "https://api.businesscentral.dynamics.com/elsewhere"),
        ("login_url", "https://evil.example"),
        ("login_url", "https://login.microsoftonline.com@evil.example"),
        ("login_url", "http://localhost:1"),
        ("login_url", "http://127.0.0.1.evil.example"),
        ("web_url", "https://evil.example"),
        ("tenant_id", "../other"),
        ("environment", "Sandbox/x"),
        ("environment_kind", "test"),
        ("journal_template", "ELEVENCHARS"),
        ("max_in_flight", 6),
        ("operations_per_batch", 101),
    ],
)
def test_secrets_and_tokens_go_to_the_service_only(
    context: DeliveryContext, setting: str, value: object
) -> None:
    """A row that somebody edits cannot send them elsewhere, nor beyond the service's limits."""
    settings = {
        "tenant_id": "hlf.example",
        "client_id": "x",
        "client_secret_ref": "env:whatever",
        "environment": "Sandbox",
        "environment_kind": "sandbox",
        "company": "HLF",
        "journal_template": "GENERELL",
    }
    delivery_for("business_central", settings, context)

    with pytest.raises(DeliveryRefused) as refused:
        delivery_for("business_central", {**settings, setting: value}, context)

    assert refused.value.field == setting
