"""GET /export_run on the real stack: one run, and who may see it."""

from collections.abc import Callable
from uuid import uuid4

import httpx

from tests.http.app_user import AppUser, sha256_of
from tests.organisation import Organisation, begin

NewUser = Callable[..., AppUser]


def test_a_run_tells_its_history(coordinator: AppUser, organisation: Organisation) -> None:
    """The events name what happened and who did it, in order."""
    organisation.add_claim()
    run_id = coordinator.trigger(organisation).json()["run"]["run_id"]

    answer = coordinator.run(run_id)

    assert answer.status_code == 200
    events = answer.json()["events"]
    assert [event["event"] for event in events][-1] == "completed"
    assert {event["actor"] for event in events} == {"Kåre Åsen"}
    assert [event["occurred_at"] for event in events] == sorted(e["occurred_at"] for e in events)


def test_left_out_claims_are_explained_in_the_readers_language(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """Whoever reads the run later reads why a claim was left out, and who must act."""
    organisation.add_claim()
    organisation.add_claim([("helicopter", "10.00")])
    run_id = coordinator.trigger(organisation).json()["run"]["run_id"]

    [english] = coordinator.run(run_id, "en").json()["left_out"]
    [norwegian] = coordinator.run(run_id, "nb").json()["left_out"]

    assert english["message"] == "There is no account for the expense type."
    assert norwegian["message"] == "Utgiftstypen har ingen konto."
    assert "administrator" in english["action"]
    assert english["code"] == norwegian["code"] == "no_account_for_expense_type"


def test_the_accountant_downloads_under_a_readable_name(
    coordinator: AppUser, new_user: NewUser, organisation: Organisation
) -> None:
    """The signed link serves the file as an attachment with the run's file name, for a while."""
    organisation.add_claim()
    run = coordinator.trigger(organisation).json()["run"]
    accountant = new_user("accountant", organisation)

    download = accountant.run(run["run_id"]).json()["download"]
    file = httpx.get(download["url"])

    assert 0 < download["expires_in"] <= 3600
    assert run["file"]["name"] in file.headers["content-disposition"]
    assert file.headers["content-type"].startswith("text/csv")


def test_a_download_made_later_is_the_same_file(
    coordinator: AppUser, new_user: NewUser, organisation: Organisation
) -> None:
    """Whoever downloads again, after the claim and the configuration changed, gets the bytes of the hash."""
    claim_id = organisation.add_claim()
    run = coordinator.trigger(organisation).json()["run"]
    first = coordinator.download(run["run_id"]).content
    organisation.execute("update public.expense_claims set purpose = 'x' where id = %s", claim_id)
    organisation.execute(
        "update public.export_posting_rules set account_code = '1000' where organization_id = %s",
        organisation.id,
    )

    again = new_user("accountant", organisation).download(run["run_id"]).content

    assert sha256_of(again) == run["file"]["sha256"]
    assert (again, len(again)) == (first, run["file"]["size"])


def test_left_out_claims_are_counted_by_cause(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """The most frequent cause first, whatever line of a claim it stands in, and who must act."""
    organisation.add_claim()
    organisation.add_claim([("helicopter", "10.00")])
    organisation.add_claim([("toll", "10.00"), ("helicopter", "10.00")])
    organisation.add_claim([("toll", "0.00"), ("toll", "5.00")])
    run_id = coordinator.trigger(organisation).json()["run"]["run_id"]

    causes = coordinator.run(run_id).json()["left_out_causes"]

    assert [(cause["code"], cause["field"], cause["count"]) for cause in causes] == [
        ("no_account_for_expense_type", "lines[].expense_type", 2),
        ("zero_amount_line", "lines[].amount", 1),
    ]
    assert causes[0]["message"] == "There is no account for the expense type."
    assert causes[0]["action"].startswith("An administrator must correct the posting rules.")
    assert causes[1]["action"].startswith("Whoever submitted the claim")


def test_the_frozen_configuration_is_for_accountants_and_admins(
    coordinator: AppUser, new_user: NewUser, organisation: Organisation
) -> None:
    """They read the settings, rules and layout as they were, whatever they are now; coordinators do not."""
    organisation.add_claim()
    run_id = coordinator.trigger(organisation).json()["run"]["run_id"]
    organisation.execute(
        "update public.export_posting_rules set account_code = '1000' where organization_id = %s",
        organisation.id,
    )

    for role in ("accountant", "admin"):
        configuration = new_user(role, organisation).run(run_id).json()["configuration"]
        rules = {
            rule["expense_type"]: rule["account_code"] for rule in configuration["posting_rules"]
        }
        assert rules["mileage"] == "7100"
        assert configuration["settings"]["entity_code"] == "10010"
        assert configuration["used_layout"]["columns"]
    assert coordinator.run(run_id).json()["configuration"] is None


def test_an_unfinished_run_has_nothing_to_download(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """While a run is being made there is no file that could be mistaken for it."""
    organisation.add_claim()
    with organisation.as_user(coordinator.account.user_id) as connection:
        run_id = begin(connection, organisation)["run"]["run_id"]

    answer = coordinator.run(run_id).json()

    assert (answer["run"]["status"], answer["download"]) == ("processing", None)


def test_foreign_and_unknown_runs_look_alike(
    coordinator: AppUser, new_user: NewUser, organisation: Organisation
) -> None:
    """For strangers and plain members a run is answered as one that does not exist."""
    organisation.add_claim()
    run_id = coordinator.trigger(organisation).json()["run"]["run_id"]
    stranger, member = new_user(), new_user("member", organisation)

    answers = [stranger.run(run_id), member.run(run_id), stranger.run(uuid4())]

    assert {answer.status_code for answer in answers} == {404}
    assert {answer.json()["code"] for answer in answers} == {"run_not_found"}
    assert len({answer.content for answer in answers}) == 1


def test_no_login_no_run(door: httpx.Client) -> None:
    """Without a login the answer is 401, whatever is asked for."""
    answer = door.get("/export_run", params={"run_id": str(uuid4())})

    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
