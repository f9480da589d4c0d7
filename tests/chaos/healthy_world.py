"""A small world in which everything is as it must be, to be spoilt one thing at a time."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid5

from tests.chaos.audit import purpose_of
from tests.chaos.fenced_call import FencedCall
from tests.chaos.stored_file import StoredFile
from tests.chaos.world import Acknowledgement, Claim, Document, Event, Member, Run, Version, World

_BEGINNING = datetime(2026, 10, 5, 12, tzinfo=UTC)
ORGANISATION = UUID(int=1)
AMOUNT = Decimal("350.50")


def at(second: float) -> datetime:
    """A moment of the world's only hour."""
    return _BEGINNING + timedelta(seconds=second)


def identity(name: str) -> UUID:
    """The id of a claim or a run."""
    return uuid5(ORGANISATION, name)


def healthy_world() -> World:
    """Two runs completed, the second after a takeover, one failed; one claim rightly left out."""
    world = World(
        claims=[
            *(_claim(name) for name in ("K1", "K2", "K3")),
            _claim("BAD")._replace(has_rules=False),
            _claim("DRAFT")._replace(status="submitted"),
        ],
        versions=[
            *(Version(identity(name), 1, "approved", AMOUNT, at(-10), at(-10)) for name in _NAMES),
            # Edited after it was exported, and un-approved: neither concerns the run.
            Version(identity("K1"), 2, "submitted", AMOUNT + 1, None, at(500)),
        ],
        members=[
            _member("one", 1, "K1", 1),
            _left_out(_member("one", 2, "BAD", 2)),
            _released(_member("failed", 1, "K3", 3)),
            _member("two", 1, "K2", 4),
            _member("two", 2, "K3", 5),
        ],
        runs=[
            _completed("one", 1, "xledger_gl02b", [("K1", 1)]),
            _failed("failed", 2),
            _completed("two", 3, "dynamics_bc_csv", [("K2", 4), ("K3", 5)]),
        ],
    )
    world.runs = [
        world.runs[0]._replace(reserved_count=2, left_out_count=1, attempt=1, fencing_token=1),
        world.runs[1]._replace(reserved_count=1, attempt=1, fencing_token=2),
        world.runs[2]._replace(reserved_count=2, attempt=2, fencing_token=4),
    ]
    world.events = _events(world)
    world.files = {
        identity("one"): StoredFile.read(_xledger([("K1", 1)]), "xledger_gl02b"),
        identity("two"): StoredFile.read(_dynamics([("K2", 4), ("K3", 5)]), "dynamics_bc_csv"),
    }
    world.documents = [_sheet("one", "d" * 64)]
    world.objects = [
        *(run.file_path for run in world.runs if run.file_path),
        *(document.path for document in world.documents),
    ]
    world.acknowledgements = [
        Acknowledgement(run.run_id, run.file_sha256) for run in world.runs if run.file_sha256
    ]
    world.fenced_calls = [
        _call("one", 1, 4.0, 200),
        _call("two", 3, 21.0, None),
        _call("two", 4, 30.0, 200),
    ]
    return world


def _sheet(run: str, sha256: str) -> Document:
    path = f"{ORGANISATION}/{identity(run)}/{sha256}.xlsx"
    return Document(identity(run), "verification_sheet_nb", path, sha256, sha256)


_NAMES = ("K1", "K2", "K3", "BAD")


def _claim(name: str) -> Claim:
    status = "submitted" if name == "K1" else "approved"
    return Claim(identity(name), ORGANISATION, name, status, has_rules=True)


def _member(run: str, position: int, name: str, voucher: int) -> Member:
    start = {"one": 1, "failed": 11, "two": 21}[run]
    return Member(
        run_id=identity(run),
        position=position,
        organization_id=ORGANISATION,
        claim_id=identity(name),
        kind="entry",
        voucher_number=voucher,
        outcome="included",
        reason_code=None,
        reserved_at=at(start),
        released_at=None,
        amount=AMOUNT,
        currency="NOK",
        claim_number=name,
        purpose=purpose_of(1, AMOUNT),
        total=AMOUNT,
        line_texts=["v1 Tromsø-Alta", "v1 Tromsø-Alta"],
        line_amounts=[AMOUNT - 50, Decimal("50.00")],
    )


def _left_out(member: Member) -> Member:
    return member._replace(
        outcome="left_out", reason_code="no_account_for_expense_type", released_at=at(3)
    )


def _released(member: Member) -> Member:
    return member._replace(outcome="released", released_at=at(13))


def _completed(name: str, number: int, file_format: str, claims: list[tuple[str, int]]) -> Run:
    content = (_xledger if file_format.startswith("xledger") else _dynamics)(claims)
    sha256 = hashlib.sha256(content).hexdigest()
    start = {"one": 0, "two": 20}[name]
    return _begun(name, number, start, file_format)._replace(
        status="completed",
        claim_count=len(claims),
        voucher_count=len(claims),
        line_count=3 * len(claims),
        totals={"NOK": str(AMOUNT * len(claims))},
        file_path=f"{ORGANISATION}/{identity(name)}/{sha256}.csv",
        file_sha256=sha256,
        file_size=len(content),
        sealed_at=at(start + 1),
        completed_at=at(start + (5 if name == "one" else 12)),
    )


def _failed(name: str, number: int) -> Run:
    return _begun(name, number, 10, "xledger_gl02b")._replace(
        status="failed", sealed_at=at(11), releasing_at=at(12), failed_at=at(13)
    )


def _begun(name: str, number: int, start: float, file_format: str) -> Run:
    values: dict[str, object] = dict.fromkeys(Run._fields)
    values |= {
        "run_id": identity(name),
        "organization_id": ORGANISATION,
        "run_number": number,
        "format": file_format,
        "approved_before": at(start),
        "left_out_count": 0,
        "created_at": at(start),
        "processing_at": at(start),
    }
    return Run(**values)  # type: ignore[arg-type] # of all sorts


def _events(world: World) -> list[Event]:
    sha256 = {run.run_id: run.file_sha256 for run in world.runs}
    told: list[tuple[str, str, float, dict[str, object]]] = [
        ("one", "created", 0.0, {}),
        ("one", "started", 0.0, {"fencing_token": 1}),
        ("one", "page_reserved", 1.0, {"claims": 2}),
        ("one", "sealed", 1.0, {}),
        ("one", "claims_left_out", 3.0, {"claims": 1}),
        ("one", "completed", 5.0, {"sha256": sha256[identity("one")]}),
        ("failed", "created", 10.0, {}),
        ("failed", "started", 10.0, {"fencing_token": 2}),
        ("failed", "page_reserved", 11.0, {"claims": 1}),
        ("failed", "sealed", 11.0, {}),
        ("failed", "releasing", 12.0, {}),
        ("failed", "failed", 13.0, {}),
        ("two", "created", 20.0, {}),
        ("two", "started", 20.0, {"fencing_token": 3}),
        ("two", "page_reserved", 21.0, {"claims": 2}),
        ("two", "sealed", 21.0, {}),
        ("two", "taken_over", 25.0, {"fencing_token": 4}),
        ("two", "completed", 32.0, {"sha256": sha256[identity("two")]}),
    ]
    return [
        Event(number, identity(run), ORGANISATION, event, at(second), detail)
        for number, (run, event, second, detail) in enumerate(told, start=1)
    ]


def _call(run: str, token: int, second: float, status: int | None) -> FencedCall:
    return FencedCall("complete_export_run", identity(run), token, at(second), status)


def late(call: FencedCall, second: float, status: int) -> FencedCall:
    """The same packet, delivered at another moment, with this answer."""
    return replace(call, forwarded_at=at(second), status=status, is_late=True)


def _xledger(claims: list[tuple[str, int]]) -> bytes:
    rows = []
    for name, voucher in claims:
        for account, amount, text in _lines(name):
            row = [""] * 61
            row[4], row[8], row[23], row[28], row[32] = str(voucher), account, name, text, amount
            rows.append(";".join(row))
    return "\r\n".join(rows).encode()


def _dynamics(claims: list[tuple[str, int]]) -> bytes:
    rows = ["AccountNo;PostingDate;DocumentNo;ExternalDocumentNo;Description;Amount"]
    for name, voucher in claims:
        rows += [
            f"{account};2026-10-05;{voucher};{name}-{number};{text};{amount}"
            for number, (account, amount, text) in enumerate(_lines(name))
        ]
    return "\r\n".join([*rows, ""]).encode()


def _lines(name: str) -> list[tuple[str, str, str]]:
    return [
        ("2990", f"{-AMOUNT}", f"{name} Åse Ødegård"),
        ("7100", f"{AMOUNT - 50}", f"{name} v1 Tromsø-Alta"),
        ("7140", "50.00", f"{name} v1 Tromsø-Alta"),
    ]


def content_of(*claims: tuple[str, int]) -> bytes:
    """A Dynamics file of these claims and voucher numbers."""
    return _dynamics(list(claims))
