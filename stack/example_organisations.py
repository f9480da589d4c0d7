"""Two organisations to look at: Blindeforbundet on Xledger and HLF on Dynamics.

People, codes and amounts are made up. Claims are dated back from today, so that the example never
grows old.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg

from stack.accounts import create_user
from stack.embedded_stack import EmbeddedStack


@dataclass(frozen=True)
class Person:
    """Somebody who can log in."""

    name: str
    email: str
    role: str


@dataclass(frozen=True)
class Line:
    """A claim line; the amount is NOK, the quantity kilometres."""

    expense_type: str
    description: str
    amount: str
    quantity: str | None = None
    dimensions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """A claim that was approved, or not, so many days ago."""

    number: str
    claimant: str
    claimant_number: str | None
    purpose: str
    days_ago: int
    lines: tuple[Line, ...]
    status: str = "approved"
    dimensions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Example:
    """An organisation with everything that belongs to it."""

    name: str
    folder: str
    target: str
    format: str
    settings: Mapping[str, Any]
    accounts: Mapping[str, str]
    payable_account: str
    payable_subledger: str
    people: tuple[Person, ...]
    claims: tuple[Claim, ...]

    @property
    def coordinators(self) -> list[Person]:
        """Those who may export."""
        return [person for person in self.people if person.role == "coordinator"]


BLINDEFORBUNDET = Example(
    name="Blindeforbundet",
    folder="blindeforbundet",
    target="xledger",
    format="xledger_gl02b",
    settings={"entity_code": "10010", "voucher_type": "GL"},
    accounts={
        "mileage": "7100",
        "toll": "7140",
        "parking": "7140",
        "train": "7140",
        "receipt": "6860",
    },
    payable_account="2990",
    payable_subledger="claimant",
    people=(
        Person("Kåre Åsen", "kare@blindeforbundet.example", "coordinator"),
        Person("Solveig Bråten", "solveig@blindeforbundet.example", "coordinator"),
        Person("Øystein Sæther", "oystein@blindeforbundet.example", "accountant"),
        Person("Gunhild Ås", "gunhild@blindeforbundet.example", "admin"),
        Person("Åse Ødegård", "ase@blindeforbundet.example", "member"),
    ),
    claims=(
        Claim(
            "B-1001",
            "Åse Ødegård",
            "10023",
            "Likepersonsamling på Hurdal",
            40,
            (
                Line("mileage", "Tromsø-Lakselv, egen bil", "1590.00", "300"),
                Line("toll", "Bompenger E6", "112.50"),
            ),
            dimensions={"department": "410"},
        ),
        Claim(
            "B-1002",
            "Bjørn Kvåle",
            "10031",
            "Årsmøte i Møre og Romsdal",
            38,
            (
                Line("train", "Tog Åndalsnes-Oslo, tur/retur", "1298.00"),
                Line("parking", "Parkering på stasjonen", "240.00"),
            ),
            dimensions={"department": "420"},
        ),
        Claim(
            "B-1003",
            "Ragnhild Sørbø",
            "10044",
            "Kurs i punktskrift",
            31,
            (
                Line("receipt", "Kursmateriell, kvittering 1", "489.90"),
                Line("receipt", "Bevertning; kaffe og «lefse»", "315.00"),
                Line("mileage", "Sørbøvågen-Førde", "413.40", "78"),
            ),
            dimensions={"department": "410", "project": "P12"},
        ),
        Claim(
            "B-1004",
            "Tormod Næss",
            "10052",
            "Førerhundtrening",
            24,
            (
                Line("mileage", "Røros-Trondheim", "822.56", "155.2"),
                Line("toll", "Bomstasjon Ranheim", "44.00"),
            ),
        ),
        Claim(
            "B-1005",
            "Ingebjørg Å. Håland",
            "10067",
            "Landsmøte, reise med ledsager",
            17,
            (
                Line("train", "Nattog Bodø-Trondheim", "1749.00"),
                Line("hotel", "Overnatting Bodø", "1690.00"),
            ),
        ),
        Claim(
            "B-1006",
            "Per Øvrebø",
            None,
            "Styremøte i fylkeslaget",
            12,
            (Line("parking", "Parkering Torget", "96.00"),),
        ),
        Claim(
            "B-1007",
            "Synnøve Mæhlum",
            "10071",
            "Besøkstjeneste",
            6,
            (
                Line("mileage", "Hjemmebesøk på Nesøya", "201.40", "38"),
                Line("toll", "Bomring", "38.00"),
            ),
        ),
        Claim(
            "B-1008",
            "Åse Ødegård",
            "10023",
            "Studiesirkel",
            3,
            (Line("train", "Tog", "250.00"),),
            status="submitted",
        ),
        Claim(
            "B-1009",
            "Bjørn Kvåle",
            "10031",
            "Utkast",
            2,
            (Line("toll", "Bompenger", "50.00"),),
            status="draft",
        ),
        Claim(
            "B-1010",
            "Tormod Næss",
            "10052",
            "Privat reise",
            2,
            (Line("receipt", "Kvittering", "999.00"),),
            status="rejected",
        ),
    ),
)

HLF = Example(
    name="HLF",
    folder="hlf",
    target="dynamics",
    format="dynamics_bc_csv",
    settings={},
    accounts={
        "mileage": "7100",
        "toll": "7140",
        "parking": "7140",
        "train": "7140",
        "receipt": "6860",
    },
    payable_account="2990",
    payable_subledger="none",
    people=(
        Person("Bjørg Østby", "bjorg@hlf.example", "coordinator"),
        Person("Pål Håkonsen", "pal@hlf.example", "coordinator"),
        Person("Kjærsti Bø", "kjersti@hlf.example", "accountant"),
        Person("Sølvi Hårstad", "solvi@hlf.example", "admin"),
    ),
    claims=(
        Claim(
            "H-501",
            "Gjertrud Lønning",
            "501",
            "Hørselskurs i Ålesund",
            35,
            (
                Line("mileage", "Volda-Ålesund", "434.60", "82"),
                Line("receipt", "Ferge Festøya-Solavågen", "138.00"),
            ),
            dimensions={"department": "HORSEL"},
        ),
        Claim(
            "H-502",
            "Åsmund Tråsdahl",
            "502",
            "Likepersonarbeid",
            28,
            (
                Line("train", "Tog Bergen-Voss", "418.00"),
                Line("parking", "Parkering Bystasjonen", "120.00"),
            ),
        ),
        Claim(
            "H-503",
            "Mæt Kjøsnes",
            "503",
            "Tinnituskonferanse",
            19,
            (
                Line("receipt", "Konferanseavgift", "2450.00"),
                Line("mileage", "Lærdal-Fagernes", "582.47", "109.9"),
                Line("toll", "Bompenger Valdres", "67.20"),
            ),
        ),
        Claim(
            "H-504",
            "Øyvind Skår",
            "504",
            "Teknisk hjelp i lokallaget",
            9,
            (Line("receipt", "Batterier til høreapparat", "349.00"),),
        ),
        Claim(
            "H-505",
            "Gjertrud Lønning",
            "501",
            "Ikke godkjent ennå",
            1,
            (Line("toll", "Bompenger", "31.00"),),
            status="submitted",
        ),
    ),
)

EXAMPLES = (BLINDEFORBUNDET, HLF)
_DAYS_TO_APPROVAL = 5


def add_example_organisations(stack: EmbeddedStack) -> dict[str, UUID]:
    """Add what is not there yet; return the organisations' ids by name."""
    return {example.name: _add(stack, example) for example in EXAMPLES}


def _add(stack: EmbeddedStack, example: Example) -> UUID:
    with stack.database.connect() as owner:
        found = owner.execute(
            "select id from public.organizations where name = %s", [example.name]
        ).fetchone()
    if found is not None:
        known: UUID = found[0]
        return known
    user_ids = {person.email: create_user(stack, person.email) for person in example.people}
    with stack.database.connect(autocommit=False) as owner:
        organization_id = _add_organisation(owner, example)
        for person in example.people:
            owner.execute(
                "insert into public.organization_members"
                " (organization_id, user_id, role, display_name) values (%s, %s, %s, %s)",
                [organization_id, user_ids[person.email], person.role, person.name],
            )
        for claim in example.claims:
            _add_claim(owner, organization_id, claim)
    return organization_id


def _add_organisation(owner: psycopg.Connection, example: Example) -> UUID:
    organization_id = uuid4()
    owner.execute(
        "insert into public.organizations (id, name) values (%s, %s)",
        [organization_id, example.name],
    )
    owner.execute(
        "insert into public.export_targets (organization_id, target, format, settings)"
        " values (%s, %s, %s, %s)",
        [organization_id, example.target, example.format, json.dumps(example.settings)],
    )
    for expense_type, account in example.accounts.items():
        _add_rule(owner, organization_id, example, ("expense", expense_type, account, "none"))
    payable = ("payable", None, example.payable_account, example.payable_subledger)
    _add_rule(owner, organization_id, example, payable)
    return organization_id


def _add_rule(
    owner: psycopg.Connection,
    organization_id: UUID,
    example: Example,
    rule: tuple[str, str | None, str, str],
) -> None:
    owner.execute(
        "insert into public.export_posting_rules"
        " (organization_id, target, side, expense_type, account_code, subledger)"
        " values (%s, %s, %s, %s, %s, %s)",
        [organization_id, example.target, *rule],
    )


def _add_claim(owner: psycopg.Connection, organization_id: UUID, claim: Claim) -> None:
    claim_id = uuid4()
    owner.execute(
        "insert into public.expense_claims (id, organization_id, claim_number, claimant_name,"
        " claimant_number, purpose, dimensions, status, approved_at)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s,"
        " case when %s = 'approved' then now() - make_interval(days => %s) end)",
        [
            claim_id,
            organization_id,
            claim.number,
            claim.claimant,
            claim.claimant_number,
            claim.purpose,
            json.dumps(claim.dimensions),
            claim.status,
            claim.status,
            claim.days_ago,
        ],
    )
    for number, line in enumerate(claim.lines, start=1):
        _add_line(owner, claim_id, number, line, claim.days_ago + _DAYS_TO_APPROVAL)


def _add_line(
    owner: psycopg.Connection, claim_id: UUID, number: int, line: Line, days_ago: int
) -> None:
    owner.execute(
        "insert into public.expense_claim_lines (claim_id, line_number, expense_type, description,"
        " expense_date, amount, quantity, unit, dimensions)"
        " values (%s, %s, %s, %s, current_date - %s, %s, %s, %s, %s)",
        [
            claim_id,
            number,
            line.expense_type,
            line.description,
            days_ago,
            line.amount,
            line.quantity,
            "km" if line.quantity else None,
            json.dumps(line.dimensions),
        ],
    )
