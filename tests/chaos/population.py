"""The organisations of a campaign, and the coordinators with their logins."""

from collections.abc import Sequence
from dataclasses import dataclass

from stack.accounts import create_account
from stack.embedded_stack import EmbeddedStack
from tests.chaos.phone import Person
from tests.organisation import Organisation

_COORDINATORS = 2


@dataclass(frozen=True)
class Population:
    """`strict` organisations refuse a whole run because of one claim that cannot be exported."""

    organisations: Sequence[Organisation]
    strict: Sequence[Organisation]
    people: Sequence[Person]

    @classmethod
    def settle(cls, stack: EmbeddedStack, kinds: Sequence[str]) -> "Population":
        """Make one organisation for each kind: a target, and `strict` where it is."""
        organisations, strict, people = [], [], []
        for number, kind in enumerate(kinds, start=1):
            target, _, manner = kind.partition(" ")
            organisation = Organisation.create(stack.database, target, f"{kind} {number}")
            organisations.append(organisation)
            if manner == "strict":
                strict.append(organisation)
                organisation.execute(
                    "update public.export_targets set on_problem = 'refuse_run'"
                    " where organization_id = %s",
                    organisation.id,
                )
            for coordinator in range(_COORDINATORS):
                account = create_account(stack)
                organisation.enrol(account.user_id, "coordinator", f"Kari {coordinator + 1}")
                people.append(Person(organisation, account))
        return cls(organisations, strict, people)
