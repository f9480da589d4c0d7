"""The API's addresses on top of the books: reads, writes, pages, versions and $batch."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from uuid import NAMESPACE_OID, uuid5

from tests.business_central.books import Books, Row
from tests.business_central.fault import Fault
from tests.business_central.journal_rules import LISTED_TYPES, MalformedValue, checked, encoded
from tests.business_central.odata_filter import Filter
from tests.business_central.refusal import Refusal, bad_request, not_found

_MOST_OPERATIONS: Final = 100
_JSON: Final = "application/json"
_ID: Final = r"\(([0-9a-f-]{36})\)"
_OPTIONS: Final = frozenset({"$filter", "$top", "$skiptoken"})
_MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    "companies": frozenset({"id", "name"}),
    "journals": frozenset({"id", "code", "displayName", "templateDisplayName"}),
    "journalLines": frozenset(
        {"id", "journalId", "documentNumber", "externalDocumentNumber", "accountNumber"}
    ),
    "generalLedgerEntries": frozenset({"documentNumber", "accountNumber", "postingDate"}),
    "dimensionSetLines": frozenset({"id", "code"}),
    "dimensions": frozenset({"id", "code"}),
    "dimensionValues": frozenset({"id", "code"}),
}


@dataclass(frozen=True)
class Call:
    """One request to the API, alone or within a batch. `path` is below the service's address."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any

    @classmethod
    def of(cls, method: str, url: str, headers: Mapping[str, str], body: object) -> "Call":
        """With lower-case header names."""
        address = urlsplit(url)
        query = dict(parse_qsl(address.query, keep_blank_values=True))
        lowered = {name.lower(): value for name, value in headers.items()}
        return cls(method, unquote(address.path).strip("/"), query, lowered, body)


@dataclass
class Service:
    """`undoes_batches` off: what was carried out before the failing operation stays.

    `undoes_after_malformed` off: only after a value of the wrong type, as was seen in the field.
    `hidden_by_id`: a line that the page does not list can still be reached by its identifier.
    """

    books: Books
    base: str = ""
    page_size: int = 20_000
    undoes_batches: bool = True
    undoes_after_malformed: bool = True
    hidden_by_id: bool = False
    listed_types: frozenset[str] = LISTED_TYPES
    _routes: list[tuple[str, re.Pattern[str], Callable[..., tuple[int, Any]]]] = field(
        default_factory=list
    )

    def __post_init__(self) -> None:
        company = rf"companies{_ID}/"
        lines, dimensions = rf"journals{_ID}/journalLines", rf"journalLines{_ID}/dimensionSetLines"
        for method, pattern, handler in (
            ("GET", "companies", self._list_companies),
            ("GET", company + "journals", self._list_journals),
            ("POST", company + "journals", self._add_journal),
            ("DELETE", company + rf"journals{_ID}", self._delete_journal),
            ("GET", company + lines, self._list_lines),
            ("POST", company + lines, self._add_line),
            ("GET", company + "journalLines", self._list_lines_anywhere),
            ("POST", company + "journalLines", self._add_line_anywhere),
            ("DELETE", company + rf"journalLines{_ID}", self._delete_line),
            ("GET", company + dimensions, self._list_dimensions),
            ("POST", company + dimensions, self._add_dimension),
            ("PATCH", company + dimensions + _ID, self._change_dimension),
            ("GET", company + "generalLedgerEntries", self._list_entries),
            ("GET", company + "dimensions", self._list_dimension_codes),
            ("GET", company + rf"dimensions{_ID}/dimensionValues", self._list_dimension_values),
        ):
            self._routes.append((method, re.compile(pattern), handler))

    def answer(self, call: Call) -> tuple[int, Any]:
        """Status and body of one request."""
        try:
            return self._routed(call)
        except Refusal as refusal:
            return refusal.status, refusal.body

    def _routed(self, call: Call) -> tuple[int, Any]:
        if set(call.query) - _OPTIONS:
            raise bad_request(f"Query options {sorted(call.query)} are not supported.")
        is_wrong_method = False
        for method, pattern, handler in self._routes:
            found = pattern.fullmatch(call.path)
            if found and method == call.method:
                identifiers = list(found.groups())
                if identifiers and identifiers.pop(0) != self.books.company_id:
                    raise Refusal(404, "Internal_CompanyNotFound", "There is no such company.")
                with self.books.undone_on_error():
                    return handler(call, *identifiers)
            is_wrong_method = is_wrong_method or found is not None
        if is_wrong_method:
            raise Refusal(405, "BadRequest_MethodNotAllowed", "The method is not allowed.")
        raise not_found("No HTTP resource was found that matches the request URI.")

    # $batch

    def batch(self, call: Call, fault: Fault | None = None) -> tuple[int, Any]:
        """Several requests; the outer status says nothing about the inner ones."""
        try:
            requests = self._batch_requests(call)
        except Refusal as refusal:
            return refusal.status, refusal.body
        if fault and fault.kind == "inner_nothing":
            return 200, {"responses": []}
        is_snapshot = call.headers.get("isolation", "").lower() == "snapshot"
        goes_on = "odata.continue-on-error" in call.headers.get("prefer", "").lower()
        responses: list[dict[str, Any]] = []
        kept = Refusal(0, "", "")
        try:
            with self.books.undone_on_error():
                for number, request in enumerate(requests):
                    responses.append(self._inner(number, request, fault))
                    if responses[-1]["status"] >= 400 and not goes_on:
                        break
                if is_snapshot and self._undoes(responses):
                    raise kept
        except Refusal as refusal:
            if refusal is not kept:
                raise
        return 200, {"responses": _misnamed(responses, fault)}

    def _batch_requests(self, call: Call) -> list[Mapping[str, Any]]:
        if not call.headers.get("content-type", "").startswith(_JSON):
            raise Refusal(415, "BadRequest", "The batch must be JSON.")
        if call.headers.get("accept", "") != _JSON:
            # It would answer in multipart.
            raise Refusal(406, "BadRequest", "Only JSON is answered here.")
        requests = call.body.get("requests") if isinstance(call.body, Mapping) else None
        if not isinstance(requests, list) or set(call.body) != {"requests"}:
            raise bad_request("The batch has no requests.")
        if len(requests) > _MOST_OPERATIONS:
            raise Refusal(400, "Unknown", f"There are too many parts, {len(requests)}.")
        return requests

    def _inner(
        self, number: int, request: Mapping[str, Any], fault: Fault | None
    ) -> dict[str, Any]:
        if fault and fault.kind == "inner_status" and fault.operation == number:
            body = Refusal(fault.status, fault.code, "Something went wrong inside.").body
            return {"id": request.get("id"), "status": fault.status, "headers": {}, "body": body}
        headers = {str(k).lower(): str(v) for k, v in request.get("headers", {}).items()}
        if request.get("body") is not None and headers.get("content-type") != _JSON:
            status, body = Refusal(415, "BadRequest", "An operation must say its type.").status, {}
        else:
            call = Call.of(
                str(request["method"]), str(request["url"]), headers, request.get("body")
            )
            status, body = self.answer(call)
        return {"id": request.get("id"), "status": status, "headers": {}, "body": body}

    def _undoes(self, responses: list[dict[str, Any]]) -> bool:
        failed = [response for response in responses if response["status"] >= 400]
        if not failed:
            return False
        is_malformed = failed[0]["body"].get("error", {}).get("code") == "BadRequest"
        return self.undoes_batches and (self.undoes_after_malformed or not is_malformed)

    # lists

    def _page(self, call: Call, entity: str, rows: Iterable[Row]) -> tuple[int, Any]:
        condition = call.query.get("$filter")
        found = list(rows)
        if condition is not None:
            matches = Filter(condition, _MEMBERS[entity]).matches
            found = [row for row in found if matches(row)]
        start = int(call.query.get("$skiptoken", 0))
        size = min(self.page_size, int(call.query.get("$top", self.page_size)))
        page: dict[str, Any] = {"value": [shown(row) for row in found[start : start + size]]}
        if start + size < len(found) and "$top" not in call.query:
            options = {**call.query, "$skiptoken": str(start + size)}
            told = "&".join(f"{name}={quote(value, safe='')}" for name, value in options.items())
            page["@odata.nextLink"] = f"{self.base}/{quote(call.path)}?{told}"
        return 200, page

    def _list_companies(self, call: Call) -> tuple[int, Any]:
        row = {"id": self.books.company_id, "name": self.books.company_name}
        return self._page(call, "companies", [row])

    def _list_journals(self, call: Call) -> tuple[int, Any]:
        # Without a condition on the template only the default one's are shown.
        template = "templateDisplayName" in call.query.get("$filter", "")
        rows = [
            row
            for row in self.books.journals.values()
            if template or row["templateDisplayName"] == min(self.books.templates)
        ]
        return self._page(call, "journals", rows)

    def _list_lines(self, call: Call, journal_id: str) -> tuple[int, Any]:
        if journal_id not in self.books.journals:
            raise not_found()
        rows = self.books.lines_in(journal_id)
        return self._page(call, "journalLines", (row for row in rows if self._is_listed(row)))

    def _list_lines_anywhere(self, call: Call) -> tuple[int, Any]:
        if "journalId eq" not in call.query.get("$filter", ""):
            raise Refusal(400, "Application_DialogException", "A journal must be specified.")
        rows = [row for row in self.books.lines.values() if self._is_listed(row)]
        return self._page(call, "journalLines", rows)

    def _list_entries(self, call: Call) -> tuple[int, Any]:
        return self._page(call, "generalLedgerEntries", self.books.entries)

    def _list_dimensions(self, call: Call, line_id: str) -> tuple[int, Any]:
        self._reachable(line_id)
        rows = self.books.dimension_sets[line_id].values()
        return self._page(call, "dimensionSetLines", rows)

    def _list_dimension_codes(self, call: Call) -> tuple[int, Any]:
        rows = [{"id": _id_of(code), "code": code} for code in self.books.dimensions]
        return self._page(call, "dimensions", rows)

    def _list_dimension_values(self, call: Call, dimension_id: str) -> tuple[int, Any]:
        for code, values in self.books.dimensions.items():
            if _id_of(code) == dimension_id:
                rows = [{"id": _id_of(f"{code} {value}"), "code": value} for value in values]
                return self._page(call, "dimensionValues", rows)
        raise not_found()

    # changes

    def _add_journal(self, call: Call) -> tuple[int, Any]:
        return 201, shown(self.books.add_journal(checked("journals", _body(call))))

    def _delete_journal(self, call: Call, journal_id: str) -> tuple[int, Any]:
        row = self.books.journals.get(journal_id)
        _check_version(call, row)
        self.books.delete_journal(journal_id)
        return 204, None

    def _add_line(self, call: Call, journal_id: str) -> tuple[int, Any]:
        body = checked("journalLines", _body(call))
        return 201, shown(self.books.add_line(journal_id, body))

    def _add_line_anywhere(self, call: Call) -> tuple[int, Any]:
        body = checked("journalLines", _body(call))
        if "journalId" not in body:
            raise Refusal(400, "Application_DialogException", "journalId must be specified.")
        return 201, shown(self.books.add_line(body["journalId"], body))

    def _delete_line(self, call: Call, line_id: str) -> tuple[int, Any]:
        _check_version(call, self._reachable(line_id))
        self.books.delete_line(line_id)
        return 204, None

    def _add_dimension(self, call: Call, line_id: str) -> tuple[int, Any]:
        # A created line's dimensions can be set, whether or not the page would list it.
        body = checked("dimensionSetLines", _body(call))
        return 201, shown(self.books.add_dimension(line_id, body))

    def _change_dimension(self, call: Call, line_id: str, dimension_id: str) -> tuple[int, Any]:
        held = self.books.dimension_sets.get(line_id, {})
        _check_version(call, held.get(dimension_id))
        body = checked("dimensionSetLines", _body(call))
        return 200, shown(self.books.change_dimension(line_id, dimension_id, body))

    def _is_listed(self, row: Row) -> bool:
        return row["accountType"] in self.listed_types

    def _reachable(self, line_id: str) -> Row:
        row = self.books.lines.get(line_id)
        if row is None or not (self.hidden_by_id or self._is_listed(row)):
            raise not_found()
        return row


def shown(row: Row) -> Row:
    """An entity as a reply writes it."""
    return {member: _shown(member, value) for member, value in row.items()}


def _shown(member: str, value: object) -> object:
    if member in {"accountType", "balanceAccountType"}:
        return encoded(str(value))
    return float(value) if isinstance(value, Decimal) else value


def _id_of(name: str) -> str:
    return str(uuid5(NAMESPACE_OID, name))


def _body(call: Call) -> object:
    if call.headers.get("content-type", "").partition(";")[0] != _JSON:
        raise Refusal(415, "BadRequest", "The body must be JSON.")
    return call.body


def _check_version(call: Call, row: Row | None) -> None:
    if row is None:
        raise not_found()
    version = call.headers.get("if-match")
    if version is None:
        raise Refusal(400, "BadRequest_InvalidToken", "If-Match must be specified.")
    if version not in {"*", row["@odata.etag"]}:
        raise Refusal(409, "Request_EntityChanged", "Another user has changed the record.")


def _misnamed(responses: list[dict[str, Any]], fault: Fault | None) -> list[dict[str, Any]]:
    if fault is None or not responses:
        return responses
    one = responses[min(fault.operation, len(responses) - 1)]
    if fault.kind == "inner_silence":
        return [response for response in responses if response is not one]
    if fault.kind == "inner_twice":
        return [*responses, one]
    if fault.kind == "inner_stranger":
        return [*responses, {**one, "id": "somebody-else"}]
    return responses


def parsed(text: str) -> Any:
    """Read a body with exact numbers; raises for what is no JSON."""
    try:
        return json.loads(text, parse_float=Decimal) if text else None
    except ValueError:
        raise MalformedValue(400, "BadRequest", "The body is no JSON.") from None
