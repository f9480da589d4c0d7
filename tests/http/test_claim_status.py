"""GET /claim_status on the real stack: where claims stand, in words, and who must act."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.http.app_user import AppUser
from tests.organisation import Organisation, begin

NewUser = Callable[..., AppUser]


def ask(user: AppUser, *claim_ids: UUID | str, language: str = "en") -> httpx.Response:
    """Ask for claims, in the order given."""
    return user.door.get(
        "/claim_status",
        params=[("claim_id", str(claim_id)) for claim_id in claim_ids],
        headers={**user.login, "Accept-Language": language},
    )


def claims_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """What was told, claim by claim."""
    assert answer.status_code == 200, answer.text
    claims: list[dict[str, Any]] = answer.json()["claims"]
    return claims


def test_an_exported_claim_is_told_with_its_file(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """Run, voucher, file and hash, and a sentence in the caller's language."""
    claim_id = organisation.add_claim()
    run = coordinator.trigger(organisation).json()["run"]

    [english] = claims_of(ask(coordinator, claim_id))
    [norwegian] = claims_of(ask(coordinator, claim_id, language="nb"))

    assert english["state"] == "exported"
    assert english["file_sha256"] == run["file"]["sha256"]
    assert english["run"]["run_id"] == run["run_id"]
    assert english["message"] == "The claim was exported in run 1, as voucher 1."
    assert norwegian["message"] == "Kravet ble eksportert i kjøring 1, som bilag 1."
    assert (english["action"], english["changed_since_export"]) == (None, False)


def test_each_state_says_who_must_act(coordinator: AppUser, organisation: Organisation) -> None:
    """Left out by a rule, not approved, waiting: a sentence each, and the one who can do something."""
    left_out = organisation.add_claim([("helicopter", "10.00")])
    coordinator.trigger(organisation)
    draft, waiting = organisation.add_claim(status="draft"), organisation.add_claim()

    told = claims_of(ask(coordinator, left_out, draft, waiting))

    assert [(claim["state"], claim["message"]) for claim in told] == [
        ("left_out", "There is no account for the expense type."),
        ("not_approved", "The claim is not approved."),
        ("eligible", "The claim is ready and joins the next export."),
    ]
    assert told[0]["action"].startswith("An administrator must correct the posting rules.")
    assert told[1]["action"] == "Whoever approves claims must approve it."
    assert told[2]["action"] is None


def test_what_was_changed_after_the_export_is_the_accountants(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """A field that differs is named with both values; an approval taken back weighs more."""
    claim_id = organisation.add_claim()
    coordinator.trigger(organisation)
    organisation.execute(
        "update public.expense_claims set purpose = 'Rettet' where id = %s", claim_id
    )

    [changed] = claims_of(ask(coordinator, claim_id))
    organisation.execute(
        "update public.expense_claims set status = 'draft', approved_at = null where id = %s",
        claim_id,
    )
    [unapproved] = claims_of(ask(coordinator, claim_id))

    assert changed["changes"] == [
        {
            "field": "purpose",
            "line_number": None,
            "was": "Tillitsvalgtmøte i Tromsø",
            "is": "Rettet",
        }
    ]
    assert changed["action"].startswith("The claim was changed after the export.")
    assert unapproved["no_longer_approved"]
    assert unapproved["action"].startswith("The claim is no longer approved.")


def test_a_left_out_claim_that_was_mended_is_tried_again(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """Whoever mended it reads that nothing more is to be done. The reason is worded as in the run."""
    left_out = organisation.add_claim([("helicopter", "10.00")])
    [told] = coordinator.trigger(organisation).json()["left_out"]
    organisation.execute(
        "update public.expense_claim_lines set expense_type = 'toll' where claim_id = %s", left_out
    )

    [claim] = claims_of(ask(coordinator, left_out))

    assert (claim["state"], claim["changed_since_export"]) == ("left_out", True)
    assert claim["reason"] == {name: told[name] for name in ("code", "field", "note")}
    assert claim["action"].startswith("The claim was changed since and is tried again")


def test_a_held_claim_names_its_run(coordinator: AppUser, organisation: Organisation) -> None:
    """The claims of a run that was set aside wait for an administrator."""
    claim_id = organisation.add_claim()
    with organisation.as_user(coordinator.account.user_id) as connection:
        run_id = begin(connection, organisation)["run"]["run_id"]
    organisation.execute(
        "select export_engine.open_for_writing();"
        f" select export_engine.park_run(r) from public.export_runs as r where r.id = '{run_id}'"
    )

    [claim] = claims_of(ask(coordinator, claim_id))

    assert (claim["state"], claim["message"]) == ("held", "Run 1 is set aside and holds the claim.")
    assert claim["action"] == "An administrator must look at the run."


def test_foreign_and_unknown_claims_look_alike(
    coordinator: AppUser, new_user: NewUser, organisation: Organisation
) -> None:
    """For strangers and plain members every claim is one that does not exist."""
    claim_id, unknown = organisation.add_claim(), uuid4()
    coordinator.trigger(organisation)
    [missing] = claims_of(ask(coordinator, unknown))

    for user in (new_user(), new_user("member", organisation)):
        for told in claims_of(ask(user, claim_id, unknown)):
            assert {**told, "claim_id": ""} == {**missing, "claim_id": ""}
    assert missing["state"] == "unknown"


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("", "invalid_request", "claim_id"),
        ("claim_id=", "invalid_request", "claim_id"),
        ("claim_id=12", "invalid_request", "claim_id"),
        (f"claim_id={UUID(int=1)}&claim_id=x", "invalid_request", "claim_id"),
        (f"claim_id={UUID(int=1)}&run_id={UUID(int=2)}", "invalid_request", "run_id"),
        (
            "&".join(f"claim_id={UUID(int=number)}" for number in range(201)),
            "claim_ids_out_of_range",
            "claim_id",
        ),
    ],
    ids=["none", "empty", "no uuid", "second", "unknown field", "too many"],
)
def test_a_wrong_question_is_refused_by_name(
    coordinator: AppUser, query: str, code: str, field: str
) -> None:
    """None, too many, and what is no id: 400 naming the field."""
    answer = coordinator.door.get(f"/claim_status?{query}", headers=coordinator.login)

    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_two_hundred_claims_fit_into_one_question(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """The largest question goes through gateway, function and database."""
    claim_ids = organisation.add_claims(200)

    assert {claim["state"] for claim in claims_of(ask(coordinator, *claim_ids))} == {"eligible"}


@pytest.mark.parametrize("address", ["claim_status", "claim_runs"])
def test_no_login_no_claim(door: httpx.Client, address: str) -> None:
    """Without a login the answer is 401, whatever is asked for."""
    answer = door.get(f"/{address}", params={"claim_id": str(uuid4())})

    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
