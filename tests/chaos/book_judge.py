"""Whether each voucher that was to go over an API is in the accounting system exactly once, and nothing else is."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from uuid import UUID

from tests.chaos.books import LEDGER, Books, Lines
from tests.chaos.stored_file import StoredFile
from tests.chaos.verdict import Figure
from tests.chaos.world import Run, World

Finding = tuple[Figure, str]


def book_findings(world: World) -> Iterator[Finding]:
    """For each organisation that sends its vouchers; what belongs there is what its files say."""
    for organization_id, books in world.books.items():
        runs = [
            run
            for run in world.runs
            if run.organization_id == organization_id and run.status == "completed"
        ]
        yield from _of_organisation(runs, world, books)
        yield from _of_containers(runs, world)


def _of_organisation(runs: list[Run], world: World, books: Books) -> Iterator[Finding]:
    meant: dict[str, tuple[Run, Lines]] = {}
    for run in runs:
        if (file := world.files.get(run.run_id)) is not None:
            for voucher, lines in _vouchers(file).items():
                if voucher in meant:
                    yield (
                        "doubled",
                        f"voucher {voucher} is in {_of(meant[voucher][0])} and {_of(run)}",
                    )
                meant[voucher] = (run, lines)
    for voucher, (run, lines) in meant.items():
        yield from _of_voucher(voucher, run, lines, books)
    for voucher in books.documents.keys() - meant.keys():
        places = ", ".join(books.documents[voucher])
        yield "doubled", f"voucher {voucher} is in {places}, and its claims are free or elsewhere"
    if books.late:
        yield "stuck", f"{books.late} requests are still under way"


def _of_voucher(voucher: str, run: Run, meant: Lines, books: Books) -> Iterator[Finding]:
    places = books.documents.get(voucher, {})
    found = sum(places.values(), Counter())
    where = ", ".join(places)
    if not places:
        yield "lost", f"voucher {voucher} of {_of(run)} is nowhere in the accounting system"
    elif found != meant and found >= meant:
        yield "doubled", f"voucher {voucher} of {_of(run)} is more than once in {where}"
    elif found != meant:
        yield "mismatched", f"voucher {voucher} of {_of(run)} is {dict(found)} in {where}"
    if _sum(found) != 0:
        yield "mismatched", f"voucher {voucher} of {_of(run)} sums to {_sum(found)} in {where}"
    # Elsewhere it would be removed, or posted, by somebody who knows nothing of this run.
    for place in places.keys() - {LEDGER, container_of(run)}:
        yield "stuck", f"voucher {voucher} of {_of(run)} lies in {place}"


def _of_containers(runs: list[Run], world: World) -> Iterator[Finding]:
    tokens = {run.run_id: run.fencing_token for run in runs}
    for container in world.containers:
        if container.run_id not in tokens:
            continue
        is_last = container.fencing_token == tokens[container.run_id]
        if container.is_cleared == is_last:
            said = "cleared" if container.is_cleared else "left"
            yield "mismatched", f"{container.container} of the run {container.run_id} is {said}"


def container_of(run: Run) -> str:
    """Where the attempt wrote that completed the run."""
    return f"EX{run.fencing_token:08d}"


def _vouchers(file: StoredFile) -> dict[str, Lines]:
    vouchers: dict[str, Lines] = {}
    for line in file.lines:
        vouchers.setdefault(line.voucher, Counter())[line.account, line.amount] += 1
    return vouchers


def _sum(lines: Lines) -> Decimal:
    return sum((amount * count for (_, amount), count in lines.items()), Decimal(0))


def _of(run: Run) -> str:
    return f"run {run.run_number} ({run.run_id})"


def doubts(world: World) -> dict[UUID, int]:
    """How often each run was in doubt."""
    return Counter(event.run_id for event in world.events if event.event == "in_doubt")
