"""Dimensions of lines that exist: set, or corrected where the account's default came first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from functions.business_central.batch import EACH_FOR_ITSELF, Operation, run
from functions.business_central.connection import Reply
from functions.business_central.fault import ALREADY_EXISTS, RemoteFault
from functions.business_central.journal import Company
from functions.business_central.settings import MOST_OPERATIONS

_TURNS: Final = 3


@dataclass(frozen=True, slots=True)
class LineDimension:
    """A value that a line is to have; `place` is the record's, from 1."""

    document_number: str
    place: int
    line_id: str
    code: str
    value: str

    @property
    def body(self) -> dict[str, str]:
        """As Business Central names it."""
        return {"code": self.code, "valueCode": self.value}


@dataclass(frozen=True, slots=True)
class DimensionFault:
    """Which dimension was refused, and in which words."""

    dimension: LineDimension
    fault: RemoteFault


async def set_dimensions(
    company: Company, dimensions: Sequence[LineDimension]
) -> dict[str, DimensionFault]:
    """Give the lines their dimensions; the first fault of each document, by its number.

    Setting one again does no harm, so all of it is repeated while the service is away.

    Raises:
        DeliveryRefused, DeliveryUnavailable
    """
    faults: dict[str, DimensionFault] = {}
    for start in range(0, len(dimensions), MOST_OPERATIONS):
        some = dimensions[start : start + MOST_OPERATIONS]
        for dimension in await _not_yet_set(company, some):
            if dimension.document_number in faults:
                continue
            fault = await _set(company, dimension)
            if fault is not None:
                faults[dimension.document_number] = DimensionFault(dimension, fault)
    return faults


async def _not_yet_set(
    company: Company, dimensions: Sequence[LineDimension]
) -> list[LineDimension]:
    operations = [
        Operation(str(number), "POST", _path(company, dimension), dimension.body)
        for number, dimension in enumerate(dimensions)
    ]
    reply = await run(company.connection, operations, EACH_FOR_ITSELF, is_repeatable=True)
    return [
        dimension
        for operation, dimension in zip(operations, dimensions, strict=True)
        if operation.id not in reply.entities
    ]


async def _set(company: Company, dimension: LineDimension) -> RemoteFault | None:
    reply = await company.connection.write(
        "POST", _path(company, dimension), dimension.body, is_repeatable=True
    )
    if reply.fault is None or not _is_there_already(reply.fault):
        return reply.fault
    for _ in range(_TURNS):
        reply = await _corrected(company, dimension)
        # Somebody changed the line between our reading and our writing: read again.
        if reply.status not in {HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED}:
            break
    return reply.fault


def _is_there_already(fault: RemoteFault) -> bool:
    return fault.remote_code == ALREADY_EXISTS or fault.status == HTTPStatus.CONFLICT


async def _corrected(company: Company, dimension: LineDimension) -> Reply:
    there = await _there(company, dimension)
    if there is None:
        return await company.connection.write(
            "POST", _path(company, dimension), dimension.body, is_repeatable=True
        )
    if str(there.get("valueCode", "")).upper() == dimension.value.upper():
        return Reply(HTTPStatus.OK, there)
    return await company.connection.write(
        "PATCH",
        f"{_path(company, dimension)}({there['id']})",
        {"valueCode": dimension.value},
        headers={"If-Match": str(there.get("@odata.etag", "*"))},
        is_repeatable=True,
    )


async def _there(company: Company, dimension: LineDimension) -> Mapping[str, Any] | None:
    async for found in company.connection.listed(_path(company, dimension)):
        if str(found.get("code", "")).upper() == dimension.code.upper():
            return found
    return None


def _path(company: Company, dimension: LineDimension) -> str:
    return f"{company.path}/journalLines({dimension.line_id})/dimensionSetLines"
