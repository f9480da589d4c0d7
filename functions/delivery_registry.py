"""Which delivery leads to which target: the built-in ones and those that packages add."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Final

from functions.business_central.delivery import BusinessCentralDelivery
from functions.errors import DeliveryRefused
from functions.voucher_delivery import DeliveryContext, VoucherDelivery

ENTRY_POINT_GROUP: Final = "voucher_deliveries"

BUILT_IN: Final[Mapping[str, type[VoucherDelivery]]] = {
    delivery.name: delivery for delivery in (BusinessCentralDelivery,)
}


def deliveries() -> tuple[str, ...]:
    """List every delivery's name, in alphabetical order."""
    added = {entry_point.name for entry_point in entry_points(group=ENTRY_POINT_GROUP)}
    return tuple(sorted({*BUILT_IN, *added}))


def delivery_type(name: str) -> type[VoucherDelivery]:
    """Find a delivery by its name.

    A package adds one with an entry point in the group `voucher_deliveries`: the name is the
    delivery's, the object a subclass of `VoucherDelivery`. A built-in one cannot be replaced.

    Raises:
        DeliveryRefused: there is no such delivery, or the entry point is not one.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    for entry_point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        found = entry_point.load()
        if isinstance(found, type) and issubclass(found, VoucherDelivery):
            return found
    raise DeliveryRefused("delivery_unknown", field="delivery")


def delivery_for(
    name: str, settings: Mapping[str, object], context: DeliveryContext
) -> VoucherDelivery:
    """Make one attempt's delivery; no network and no secret yet.

    Raises:
        DeliveryRefused: no such delivery, or naming the setting that cannot be used.
    """
    return delivery_type(name)(settings, context)
