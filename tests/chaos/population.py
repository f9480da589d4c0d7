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
    """`strict` organisations refuse a whole run because of one claim that cannot be exported.

    `pushing` ones send their vouchers over an API.
    """

    organisations: Sequence[Organisation]
    strict: Sequence[Organisation]
    pushing: Sequence[Organisation]
    people: Sequence[Person]

    @classmethod
    def settle(cls, stack: EmbeddedStack, kinds: Sequence[str]) -> "Population":
        """Make one organisation for each kind: a target, then `strict` and `push` where it is."""
        organisations, strict, pushing, people = [], [], [], []
        for number, kind in enumerate(kinds, start=1):
            target, *manners = kind.split(" ")
            organisation = Organisation.create(stack.database, target, f"{kind} {number}")
            organisations.append(organisation)
            if "push" in manners:
                pushing.append(organisation)
            if "strict" in manners:
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
        return cls(organisations, strict, pushing, people)
