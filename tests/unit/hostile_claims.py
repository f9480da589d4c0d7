"""Claims as they come on the worst of days, for files that must stand them."""

from exporters.claim import Member
from tests.unit.claim_factory import Document, claim, claim_line, member, members, one_line_claim

HOSTILE = '=cmd|"/c calc"!A1;b\r\nc\td\x00e\x85f\u2029🚕 æøåÆØÅ'


def many_lines(number: int, count: int) -> Document:
    """Make a claim whose voucher has so many lines."""
    lines = [claim_line(place, amount="1.00") for place in range(1, count)]
    return claim(number, lines=lines, total=f"{count - 1}.00")


def hostile_members() -> list[Member]:
    """Make the members of a run: entries, a credit, a large sum, a reversal."""
    entries = members(
        claim(1, dimensions={"department": "oslo", "project": "p2"}),
        claim(2, purpose=HOSTILE * 20, claimant={"name": HOSTILE * 9, "number": "7"}),
        one_line_claim(3, description="🚕" * 120, total="999999999999.99"),
        one_line_claim(4, description=HOSTILE, total="-0.01"),
        claim(5, claim_number="hlf-2026-5"),
        claim(6, lines=[claim_line(), claim_line(2, amount="-30.00")], total="500.00"),
        claim(7, dimensions={}),
    )
    return [*entries, member(claim(8), 8, kind="reversal")]
