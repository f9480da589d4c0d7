"""POST /trigger_export on the real stack: every outcome, and who may have it."""

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import uuid4

import httpx
import jwt
import pytest

from stack.embedded_stack import EmbeddedStack
from tests.http.app_user import AppUser, sha256_of
from tests.http.fault_proxy import FaultProxy
from tests.organisation import APPROVED_AT, Organisation, begin

NewUser = Callable[..., AppUser]
NOVEMBER = ("2026-11-01", "2026-11-30")
MORE_THAN_A_PAGE = 2001


def test_the_file_behind_the_signed_link_has_the_hash_on_the_run(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """A triggered export ends in a file with the hash, size and path that the run names."""
    organisation.add_claim()
    organisation.add_claim()

    answer = coordinator.trigger(organisation)

    assert answer.status_code == 201
    run = answer.json()["run"]
    content = coordinator.download(run["run_id"]).content
    assert (run["file"]["sha256"], run["file"]["size"]) == (sha256_of(content), len(content))
    assert run["file"]["path"] == f"{organisation.id}/{run['run_id']}/{sha256_of(content)}.csv"
    assert answer.headers["location"] == run["href"] == f"/export_run?run_id={run['run_id']}"


def test_totals_and_counts_are_those_of_the_claims(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """The answer tells how many claims and how much money per currency the file holds, as text."""
    organisation.add_claim([("mileage", "350.10")])
    organisation.add_claim([("toll", "0.90"), ("parking", "49.00")])

    answer = coordinator.trigger(organisation).json()

    assert answer["outcome"] == "completed"
    assert answer["run"]["totals"] == {"NOK": "400.00"}
    assert (answer["run"]["claim_count"], answer["run"]["line_count"]) == (2, 5)


def test_the_same_key_replays_the_same_run(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """A retry with the same key answers 200 with the first run, also after new claims came."""
    organisation.add_claim()
    first = coordinator.trigger(organisation, "key-1")
    organisation.add_claim()

    second = coordinator.trigger(organisation, "key-1")

    assert (second.status_code, second.json()["outcome"]) == (200, "replayed")
    assert second.json()["run"] == first.json()["run"]


def test_a_replay_repeats_why_claims_were_left_out(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """A caller who lost the first answer reads the left-out claims in the second."""
    organisation.add_claim()
    organisation.add_claim([("helicopter", "10.00")])
    first = coordinator.trigger(organisation, "key-1").json()

    second = coordinator.trigger(organisation, "key-1").json()

    assert second["left_out"] == first["left_out"] != []


def test_a_second_coordinator_is_shown_the_finished_run(
    coordinator: AppUser, new_user: NewUser, organisation: Organisation
) -> None:
    """Whoever comes later finds nothing to export, and the run that took it all."""
    organisation.add_claim()
    run = coordinator.trigger(organisation).json()["run"]
    colleague = new_user("coordinator", organisation)

    answer = colleague.trigger(organisation)

    assert (answer.status_code, answer.json()["outcome"]) == (200, "nothing_to_export")
    assert answer.json()["run"]["run_id"] == run["run_id"]
    assert colleague.download(run["run_id"]).is_success


def test_a_period_without_claims_is_no_failure(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """Without claims and without an earlier run the answer is 200 and names no run."""
    answer = coordinator.trigger(organisation)

    assert (answer.status_code, answer.json()["outcome"]) == (200, "nothing_to_export")
    assert answer.json()["run"] is None


def test_a_run_under_way_is_joined(
    coordinator: AppUser, new_user: NewUser, organisation: Organisation
) -> None:
    """A second coordinator with the same scope gets 202, the run, and who started it."""
    organisation.add_claim()
    colleague = new_user("coordinator", organisation, name="Åse Ødegård")
    with organisation.as_user(colleague.account.user_id) as connection:
        begun = begin(connection, organisation)

    answer = coordinator.trigger(organisation)

    assert (answer.status_code, answer.json()["outcome"]) == (202, "joined")
    assert answer.json()["run"]["run_id"] == begun["run"]["run_id"]
    assert "Åse Ødegård" in answer.json()["message"]
    assert int(answer.headers["retry-after"]) == answer.json()["retry_after"] > 0


def test_another_period_has_to_wait(
    coordinator: AppUser, new_user: NewUser, organisation: Organisation
) -> None:
    """While the organisation exports one period, another is answered 409 with Retry-After."""
    organisation.add_claim()
    colleague = new_user("coordinator", organisation)
    with organisation.as_user(colleague.account.user_id) as connection:
        begun = begin(connection, organisation)

    answer = coordinator.trigger(organisation, period=NOVEMBER)

    assert (answer.status_code, answer.json()["code"]) == (409, "busy")
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["run_id"] == begun["run"]["run_id"]


def test_ten_coordinators_at_once_export_each_claim_once(
    new_user: NewUser, organisation: Organisation
) -> None:
    """Of ten simultaneous requests one exports, and no claim is in two runs."""
    claims = organisation.add_claims(20)
    users = [new_user("coordinator", organisation) for _ in range(10)]

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda user: user.trigger(organisation), users))

    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[201] == 1
    assert set(statuses) <= {200, 201, 202, 409}
    assert {len(runs) for runs in organisation.live_memberships().values()} == {1}
    assert set(organisation.live_memberships()) == set(claims)


def test_two_organisations_do_not_meet(new_user: NewUser, stack: EmbeddedStack) -> None:
    """Interleaved exports of two organisations each hold their own claims only."""
    organisations = [Organisation.create(stack.database) for _ in range(2)]
    users = [new_user("coordinator", organisation) for organisation in organisations]
    claims = [set(organisation.add_claims(5)) for organisation in organisations]

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(AppUser.trigger, users, organisations))

    assert [answer.status_code for answer in answers] == [201, 201]
    assert [set(organisation.live_memberships()) for organisation in organisations] == claims
    assert users[0].run(answers[1].json()["run"]["run_id"]).status_code == 404


def test_a_key_names_one_request(coordinator: AppUser, organisation: Organisation) -> None:
    """A key that was used for another period is refused and exports nothing."""
    organisation.add_claim()
    coordinator.trigger(organisation, "key-1")
    organisation.add_claim(approved_at=APPROVED_AT + timedelta(days=30))

    answer = coordinator.trigger(organisation, "key-1", NOVEMBER)

    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"


def test_a_claim_without_an_account_is_left_out_with_the_reason(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """A claim of an unconfigured type is left out with code, field and claim; the rest goes on."""
    good = organisation.add_claim()
    bad = organisation.add_claim([("mileage", "1.00"), ("helicopter", "10.00")])

    answer = coordinator.trigger(organisation).json()

    [left_out] = answer["left_out"]
    assert left_out["claim_id"] == str(bad)
    assert left_out["code"] == "no_account_for_expense_type"
    assert left_out["field"] == "lines[2].expense_type"
    assert left_out["message"] == "There is no account for the expense type."
    assert answer["run"]["left_out_count"] == 1
    assert set(organisation.live_memberships()) == {good}


def test_a_left_out_claim_joins_the_next_export(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """When the rules are corrected, the claim that was left out is exported, and nothing else."""
    organisation.add_claim()
    bad = organisation.add_claim([("helicopter", "10.00")])
    coordinator.trigger(organisation)
    add_rule(organisation, "helicopter")

    answer = coordinator.trigger(organisation)

    assert (answer.status_code, answer.json()["run"]["claim_count"]) == (201, 1)
    assert bad in organisation.live_memberships()


def test_no_file_is_made_of_nothing(coordinator: AppUser, organisation: Organisation) -> None:
    """When every claim is left out the run fails with 422, and the key may be used again."""
    organisation.add_claim([("helicopter", "10.00")])

    answer = coordinator.trigger(organisation, "key-1")

    assert (answer.status_code, answer.json()["code"]) == (422, "all_claims_left_out")
    assert [claim["code"] for claim in answer.json()["left_out"]] == ["no_account_for_expense_type"]
    run = coordinator.run(answer.json()["run_id"]).json()
    assert (run["run"]["status"], run["download"]) == ("failed", None)
    assert organisation.live_memberships() == {}
    add_rule(organisation, "helicopter")
    assert coordinator.trigger(organisation, "key-1").status_code == 201


def test_second_tap_tells_what_still_cannot_be_exported(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """After a success with a claim left out, a new tap is 200, names that run and the claim, and makes no run."""
    organisation.add_claim()
    organisation.add_claim([("helicopter", "10.00")])
    first = coordinator.trigger(organisation).json()

    answer = coordinator.trigger(organisation)

    assert (answer.status_code, answer.json()["outcome"]) == (200, "nothing_to_export")
    assert answer.json()["run"]["run_id"] == first["run"]["run_id"]
    assert answer.json()["left_out"] == first["left_out"]
    assert answer.json()["message"].endswith(
        "Claims that still cannot be exported: 1. The reason is given beside each."
    )
    assert len(coordinator.history(organisation).json()["runs"]) == 1


def test_altered_texts_are_counted_with_the_completion(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """A text that had to be altered for the file is exported, and the run's history says how many were."""
    claim_id = organisation.add_claim()
    organisation.execute(
        "update public.expense_claim_lines set description = 'kaffe; lefse' where claim_id = %s",
        claim_id,
    )
    run_id = coordinator.trigger(organisation).json()["run"]["run_id"]

    [completed] = [e for e in coordinator.run(run_id).json()["events"] if e["event"] == "completed"]

    [notice] = completed["detail"]["notices"]
    assert (notice["code"], notice["count"]) == ("character_replaced", 2)


def test_an_organisation_may_want_all_or_nothing(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """Under the policy refuse_run one unusable claim stops the run, and all claims are free."""
    organisation.execute(
        "update public.export_targets set on_problem = 'refuse_run' where organization_id = %s",
        organisation.id,
    )
    organisation.add_claim()
    organisation.add_claim([("helicopter", "10.00")])

    answer = coordinator.trigger(organisation)

    assert (answer.status_code, answer.json()["code"]) == (422, "claims_refused")
    assert len(answer.json()["left_out"]) == 1
    assert organisation.live_memberships() == {}


def test_a_wrong_set_up_names_the_setting_and_reserves_nothing(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """However it was saved: 422 before any claim is reserved, and as soon as it is mended, a file."""
    organisation.execute(
        "update public.export_targets set settings = settings - 'entity_code' where organization_id = %s",
        organisation.id,
    )
    organisation.add_claim()

    for _ in range(2):
        answer = coordinator.trigger(organisation)
        assert (answer.status_code, answer.json()["code"]) == (422, "configuration_invalid")
        assert [error["field"] for error in answer.json()["errors"]] == ["settings.entity_code"]
        assert "run_id" not in answer.json()
    assert coordinator.history(organisation).json()["runs"] == []
    shown = organisation.execute(
        "select field from public.export_configuration_problems where organization_id = %s",
        organisation.id,
    )
    assert shown == [("settings.entity_code",)]

    organisation.execute(
        'update public.export_targets set settings = settings || \'{"entity_code": "7"}\''
        " where organization_id = %s",
        organisation.id,
    )
    assert coordinator.trigger(organisation).json()["run"]["run_number"] == 1


def test_a_layout_saved_in_the_dashboard_is_refused_by_its_column(
    coordinator: AppUser, organisation: Organisation
) -> None:
    organisation.execute(
        "update public.export_targets set layout = %s where organization_id = %s",
        json.dumps(
            {"name": "own", "version": 1, "dialect": {}, "columns": [{"name": "A", "widht": 5}]}
        ),
        organisation.id,
    )
    organisation.add_claim()

    answer = coordinator.trigger(organisation)

    assert (answer.status_code, answer.json()["code"]) == (422, "configuration_invalid")
    assert "layout.columns[1] (A).widht" in {error["field"] for error in answer.json()["errors"]}


def test_a_configuration_that_changed_costs_two_round_trips_once(
    proxied_coordinator: AppUser, proxy: FaultProxy, organisation: Organisation
) -> None:
    organisation.execute(
        "update public.export_targets set settings = settings || '{\"due_days\": 14}'"
        " where organization_id = %s",
        organisation.id,
    )
    organisation.add_claim()

    assert proxied_coordinator.trigger(organisation).status_code == 201
    assert proxy.seen[:3] == [
        "POST /rest/v1/rpc/begin_export",
        "POST /rest/v1/rpc/record_configuration_check",
        "POST /rest/v1/rpc/begin_export",
    ]
    organisation.add_claim()
    before = len(proxy.seen)
    assert proxied_coordinator.trigger(organisation).status_code == 201
    assert len(proxy.seen) - before == 3


def test_more_claims_than_a_page_are_one_file(
    proxied_coordinator: AppUser, proxy: FaultProxy, organisation: Organisation
) -> None:
    """A run of two pages holds every claim, and what the first page left out is left out."""
    bad = organisation.add_claim(
        [("helicopter", "10.00")], approved_at=APPROVED_AT - timedelta(days=1)
    )
    organisation.add_claims(MORE_THAN_A_PAGE)

    answer = proxied_coordinator.trigger(organisation)

    assert answer.status_code == 201
    run = answer.json()["run"]
    assert (run["claim_count"], run["left_out_count"]) == (MORE_THAN_A_PAGE, 1)
    assert [claim["claim_id"] for claim in answer.json()["left_out"]] == [str(bad)]
    assert proxy.count("reserve_export_page") == proxy.count("leave_out_export_claims") == 1


def test_a_small_export_is_three_round_trips(
    proxied_coordinator: AppUser, proxy: FaultProxy, organisation: Organisation
) -> None:
    """Begin, upload, complete: nothing else crosses the network, left-out claims or not."""
    organisation.add_claims(100)
    organisation.add_claim([("helicopter", "10.00")])

    answer = proxied_coordinator.trigger(organisation)

    path = answer.json()["run"]["file"]["path"]
    assert proxy.seen == [
        "POST /rest/v1/rpc/begin_export",
        f"POST /storage/v1/object/exports/{path}",
        "POST /rest/v1/rpc/complete_export_run",
    ]


@pytest.mark.parametrize(
    ("language", "sentence", "tag"),
    [
        ("nb-NO,nb;q=0.9,en;q=0.5", "Det er ingen godkjente krav å eksportere i perioden.", "nb"),
        ("en-GB", "There are no approved claims to export in the period.", "en"),
        ("de", "Det er ingen godkjente krav å eksportere i perioden.", "nb"),
    ],
)
def test_answers_are_in_the_callers_language(
    coordinator: AppUser, organisation: Organisation, language: str, sentence: str, tag: str
) -> None:
    """Norwegian or English, as Accept-Language prefers; Norwegian for anybody else."""
    answer = coordinator.trigger(organisation, language=language)

    assert answer.json()["message"] == sentence
    assert answer.headers["content-language"] == tag


def test_the_other_target_is_chosen_by_name(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """An organisation with two accounting systems must say which; each has its own exports."""
    organisation.add_target("dynamics")
    organisation.add_claim()

    unclear = coordinator.trigger(organisation)
    dynamics = coordinator.trigger(organisation, target="dynamics")

    assert (unclear.status_code, unclear.json()["code"]) == (422, "target_required")
    assert (dynamics.status_code, dynamics.json()["run"]["target"]) == (201, "dynamics")


def test_no_login_is_401_without_asking_the_database(
    proxied_door: httpx.Client, proxy: FaultProxy, organisation: Organisation, stack: EmbeddedStack
) -> None:
    """A missing or malformed login is refused before anything is asked of Supabase."""
    logins = [
        {},
        {"Authorization": ""},
        {"Authorization": "Basic a2FyaTprYXJp"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer not-a-token"},
        {"Authorization": f"Bearer {stack.credentials.secret_key}"},
        {"Authorization": f"Bearer {stack.credentials.publishable_key}"},
        {"Authorization": "Bearer " + "a" * 9000 + ".b.c"},
    ]

    answers = [trigger_with(proxied_door, organisation, login) for login in logins]

    assert {answer.status_code for answer in answers} == {401}
    assert {answer.json()["code"] for answer in answers} == {"not_authenticated"}
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}
    assert proxy.seen == []


def test_expired_and_foreign_tokens_are_401(
    door: httpx.Client, coordinator: AppUser, organisation: Organisation, stack: EmbeddedStack
) -> None:
    """The database refuses a token that is over or signed by somebody else."""
    claims = jwt.decode(coordinator.account.access_token, options={"verify_signature": False})
    expired = {**claims, "exp": int((datetime.now().astimezone() - timedelta(hours=1)).timestamp())}
    tokens = [
        jwt.encode(expired, stack.credentials.jwt_secret, "HS256"),
        jwt.encode(claims, "another secret of at least thirty-two characters", "HS256"),
        coordinator.account.access_token[:-4] + "AAAA",
    ]

    answers = [
        trigger_with(door, organisation, {"Authorization": f"Bearer {token}"}) for token in tokens
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (401, "not_authenticated")
    ] * len(tokens)


def test_strangers_learn_nothing(new_user: NewUser, organisation: Organisation) -> None:
    """No role, a foreign and an unknown organisation get the very same 403."""
    organisation.add_claim()
    insiders = [new_user(role, organisation) for role in ("member", "accountant")]
    stranger = new_user()

    answers = [user.trigger(organisation) for user in (*insiders, stranger)]
    answers.append(stranger.trigger(uuid4()))

    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.content for answer in answers}) == 1
    assert organisation.live_memberships() == {}


def trigger_with(
    door: httpx.Client, organisation: Organisation, headers: dict[str, str]
) -> httpx.Response:
    """A well-formed request with these headers."""
    body = {"organization_id": str(organisation.id), "period_to": "2026-10-31"}
    return door.post("/trigger_export", json=body, headers={"Idempotency-Key": "k", **headers})


def add_rule(organisation: Organisation, expense_type: str) -> None:
    """Give an expense type an account."""
    organisation.execute(
        "insert into public.export_posting_rules"
        " (organization_id, target, side, expense_type, account_code)"
        " values (%s, 'xledger', 'expense', %s, '7150')",
        organisation.id,
        expense_type,
    )
