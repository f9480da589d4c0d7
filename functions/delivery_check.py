"""What is wrong with a delivery over an API, as far as the configuration alone can tell."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict

from exporters.registry import has_records
from functions.delivery_registry import delivery_type
from functions.error_catalogue import entry_of
from functions.errors import DeliveryRefused, SetUpProblem
from functions.voucher_delivery import VoucherDelivery

_INVALID: Final = "configuration_invalid"
# As the exporters' settings have it.
_MOST_VOUCHER_LINES: Final = 500


class _Rule(BaseModel):
    tax_account_code: str | None = None


class _Grouping(BaseModel):
    voucher_per: str = "claim"
    most_voucher_lines: int = _MOST_VOUCHER_LINES


class _Configuration(BaseModel):
    model_config = ConfigDict(extra="ignore")

    target: str
    format: str
    delivery: str
    connection: dict[str, object]
    settings: _Grouping
    posting_rules: Sequence[_Rule] = ()


def delivery_problems(document: Mapping[str, object]) -> list[SetUpProblem]:
    """Nothing for an organisation that exports to files. Asks no network and reads no secret.

    The exporter has found no fault with the rest of the configuration.
    """
    if "delivery" not in document:
        return []
    configuration = _Configuration.model_validate(document)
    try:
        delivery = delivery_type(configuration.delivery)
        delivery.check_settings(configuration.connection)
    except DeliveryRefused as refusal:
        return [_refused(refusal)]
    return list(_mismatches(configuration, delivery))


def _refused(refusal: DeliveryRefused) -> SetUpProblem:
    field = "delivery" if refusal.code == "delivery_unknown" else f"connection.{refusal.field}"
    return SetUpProblem(field, refusal.code, entry_of(refusal.code).detail.en)


def _mismatches(
    configuration: _Configuration, delivery: type[VoucherDelivery]
) -> Iterator[SetUpProblem]:
    if delivery.target != configuration.target:
        message = f"{delivery.name} delivers to {delivery.target}, not to {configuration.target}."
        yield SetUpProblem("delivery", _INVALID, message)
    if not has_records(configuration.format):
        message = f"The format {configuration.format} is for files only; choose one for the API."
        yield SetUpProblem("format", _INVALID, message)
    most, grouping = delivery.most_voucher_lines, configuration.settings
    if most and grouping.voucher_per != "claim" and grouping.most_voucher_lines > most:
        message = f"A voucher sent over the API has at most {most} lines."
        yield SetUpProblem("settings.most_voucher_lines", _INVALID, message)
    if any(rule.tax_account_code for rule in configuration.posting_rules):
        message = (
            "A tax that is split off cannot be sent over the API, because its line has no number"
            " of its own. Use tax codes, or export to a file."
        )
        yield SetUpProblem("posting_rules", _INVALID, message)
