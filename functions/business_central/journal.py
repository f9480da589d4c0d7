"""One attempt's container in Business Central: a journal of its own, which nobody else uses."""

import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from functions.business_central.connection import BusinessCentralConnection, Reply
from functions.business_central.settings import BusinessCentralSettings
from functions.business_central.wire import conditions, literal, query
from functions.errors import DeliveryRefused, DeliveryUnavailable

_CODE: Final = re.compile(r"[A-Z0-9][A-Z0-9-]{0,9}")
_MADE_BY_US: Final = re.compile(rf"Export {_CODE.pattern}")
_ANY_VERSION: Final = {"If-Match": "*"}
_GONE: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.OK, HTTPStatus.NOT_FOUND})


@dataclass(frozen=True)
class Company:
    """The company's part of every address."""

    connection: BusinessCentralConnection
    settings: BusinessCentralSettings
    company_id: str

    @property
    def path(self) -> str:
        """Below the service's address."""
        return f"companies({self.company_id})"

    async def journal(self, code: str) -> Mapping[str, Any] | None:
        """The journal with this code in the template."""
        condition = f"{self._of_template} and code eq {literal(checked_code(code))}"
        async for found in self.connection.listed(
            f"{self.path}/journals?{query(filter=condition)}"
        ):
            return found
        return None

    async def journals_made_as(self, code: str) -> list[Mapping[str, Any]]:
        """Those that we made under this code, whatever they are called by now."""
        condition = f"{self._of_template} and displayName eq {literal(_display_name(code))}"
        path = f"{self.path}/journals?{query(filter=condition)}"
        return [found async for found in self.connection.listed(path)]

    async def has_template(self) -> bool:
        """Whether any journal of the template exists; templates themselves cannot be asked for."""
        condition = query(filter=self._of_template, top=1)
        async for _ in self.connection.listed(f"{self.path}/journals?{condition}"):
            return True
        return False

    async def create_journal(self, code: str) -> Reply:
        """May be repeated: a second one with the code is refused."""
        body = {
            "code": checked_code(code),
            "displayName": _display_name(code),
            "templateDisplayName": self.settings.journal_template,
        }
        return await self.connection.write(
            "POST", f"{self.path}/journals", body, is_repeatable=True
        )

    async def entries(self, document_numbers: Sequence[str]) -> AsyncIterator[Mapping[str, Any]]:
        """Ledger entries of the documents."""
        for condition in conditions("documentNumber", document_numbers):
            path = f"{self.path}/generalLedgerEntries?{query(filter=condition)}"
            async for entry in self.connection.listed(path):
                yield entry

    @property
    def _of_template(self) -> str:
        return f"templateDisplayName eq {literal(self.settings.journal_template)}"


@dataclass(frozen=True)
class Journal:
    """A journal by its identifier, so that one of the same code made later is another."""

    company: Company
    journal_id: str

    @property
    def path(self) -> str:
        """Below the service's address."""
        return f"{self.company.path}/journals({self.journal_id})"

    async def lines(self) -> AsyncIterator[Mapping[str, Any]]:
        """All lines that the API lists."""
        async for line in self.company.connection.listed(f"{self.path}/journalLines"):
            yield line

    async def has_lines(self) -> bool:
        """Whether the API lists any."""
        condition = query(top=1)
        async for _ in self.company.connection.listed(f"{self.path}/journalLines?{condition}"):
            return True
        return False

    async def lines_of(
        self, document_numbers: Collection[str]
    ) -> dict[str, list[Mapping[str, Any]]]:
        """The listed lines of each of the documents, by number."""
        found: dict[str, list[Mapping[str, Any]]] = {
            number.upper(): [] for number in document_numbers
        }
        for condition in conditions("documentNumber", tuple(found)):
            path = f"{self.path}/journalLines?{query(filter=condition)}"
            async for line in self.company.connection.listed(path):
                found.setdefault(str(line.get("documentNumber", "")).upper(), []).append(line)
        return found

    async def delete_line(self, line_id: str) -> Reply:
        """Repeatable; one that is not there is answered with 404."""
        return await self.company.connection.write(
            "DELETE",
            f"{self.company.path}/journalLines({line_id})",
            headers=_ANY_VERSION,
            is_repeatable=True,
        )

    async def remove(self) -> None:
        """Removes it with everything in it, the lines too that the API does not list.

        Raises:
            DeliveryRefused, DeliveryUnavailable
        """
        reply = await self._delete()
        if reply.status not in _GONE:
            # An installation may want it empty first.
            for line in [line async for line in self.lines()]:
                await self.delete_line(str(line["id"]))
            reply = await self._delete()
        if reply.status not in _GONE and reply.fault is not None:
            raise reply.fault.refusal("journal")

    async def _delete(self) -> Reply:
        return await self.company.connection.write(
            "DELETE", self.path, headers=_ANY_VERSION, is_repeatable=True
        )


async def made_journal(company: Company, code: str) -> Mapping[str, Any]:
    """Find the journal, or make it.

    Raises:
        DeliveryRefused, DeliveryUnavailable
    """
    found = await company.journal(code)
    if found is not None:
        return found
    reply = await company.create_journal(code)
    made = reply.body if isinstance(reply.body, Mapping) else {}
    if reply.status == HTTPStatus.CREATED and made.get("id"):
        return made
    # It may be there already when a reply was lost on the way.
    found = await company.journal(code)
    if found is not None:
        return found
    if reply.fault is not None:
        raise reply.fault.refusal("journal_template")
    raise DeliveryUnavailable("delivery_unavailable", cause="no journal in the answer")


def is_ours(journal: Mapping[str, Any]) -> bool:
    """By its description, which survives posting and renaming."""
    return bool(_MADE_BY_US.fullmatch(str(journal.get("displayName", ""))))


def was_made_as(journal: Mapping[str, Any], code: str) -> bool:
    """Whether this is the name that we gave it."""
    return bool(journal.get("displayName") == _display_name(code))


def _display_name(code: str) -> str:
    return f"Export {code}"


def checked_code(code: str) -> str:
    """Raise DeliveryRefused for a container that no journal can be named after."""
    if not _CODE.fullmatch(code):
        raise DeliveryRefused("delivery_container_invalid", field="container")
    return code
