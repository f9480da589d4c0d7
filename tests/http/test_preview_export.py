"""POST /preview_export on the real stack: what it promises is what the export then does."""

import json
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from exporters.layout import Layout
from exporters.registry import BUILT_IN
from stack.embedded_stack import EmbeddedStack
from tests.http.app_user import AppUser
from tests.http.everything_kept import everything_kept
from tests.http.functions_door import functions_door
from tests.organisation import OCTOBER, Organisation, begin

NewUser = Callable[..., AppUser]
Body = dict[str, Any]

# Every built-in one: a test below counts them.
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "xledger_gl02b": ("xledger", {"entity_code": "10010", "voucher_type": "GL"}),
    "xledger_gl02": ("xledger", {"voucher_type": "GL", "xgl_code": "77"}),
    "xledger_json": (
        "xledger",
        {"entity_code": "10010", "voucher_type": "GL", "job_level_db_sub_id": 1},
    ),
    "dynamics_bc_csv": ("dynamics", {"document_number_prefix": "HLF"}),
    "dynamics_bc_json": ("dynamics", {"document_number_prefix": "HLF"}),
    "dynamics_fo_csv": ("dynamics", {"journal_name": "UTLEGG"}),
}


def preview(
    user: AppUser, organisation: Organisation, language: str = "en", **asked: object
) -> httpx.Response:
    """Ask for a preview of October."""
    body = {
        "organization_id": str(organisation.id),
        "period_from": OCTOBER[0],
        "period_to": OCTOBER[1],
        **asked,
    }
    headers = {**user.login, "Accept-Language": language}
    return user.door.post("/preview_export", json=body, headers=headers)


def told(user: AppUser, organisation: Organisation, language: str = "en", **asked: object) -> Body:
    """The answer of a preview that is allowed."""
    answer = preview(user, organisation, language, **asked)
    assert answer.status_code == 200, answer.text
    body: Body = answer.json()
    return body


def shipped(name: str) -> Body:
    """A shipped layout, to be changed."""
    return Layout.shipped(name).model_dump(mode="json")


def strange_claims(organisation: Organisation, seed: int) -> None:
    """Claims of every kind, good ones and others, by chance but the same ones for a seed."""
    chance = random.Random(seed)  # noqa: S311 - claims, not keys
    types = ["mileage", "toll", "parking", "train", "receipt", "mileage", "helicopter", "balloon"]
    for _ in range(chance.randint(25, 40)):
        lines = [
            (chance.choice(types), f"{chance.choice([-1, 1, 1, 1]) * chance.randint(0, 90_000)}.5")
            for _ in range(chance.choice([1, 1, 2, 3, 7]))
        ]
        name = chance.choice(["Åse Ødegård", "Bjørn; Kvåle", 'Ragn"hild', "Łucja Świątek", "日本"])
        organisation.add_claim(
            lines, claimant=name, currency=chance.choice(["NOK", "NOK", "NOK", "NOK", "EUR"])
        )


def causes_of(claims: list[Body]) -> set[tuple[str, str]]:
    return {(claim["claim_number"], claim["code"]) for claim in claims}


@pytest.mark.parametrize(
    ("seed", "more"),
    [
        (1, {}),
        (2, {"voucher_per": "claimant", "posting_date": "export"}),
        (3, {"voucher_per": "run", "posting_date": "export", "most_voucher_lines": 9}),
    ],
)
@pytest.mark.parametrize("format_name", FORMATS)
def test_a_preview_is_the_export_that_follows(
    stack: EmbeddedStack, new_user: NewUser, format_name: str, seed: int, more: Body
) -> None:
    """The same first lines, totals, counts, breakdown, notices, and left-out claims, in every format."""
    target, settings = FORMATS[format_name]
    organisation = Organisation.create(stack.database, target)
    organisation.execute(
        "update public.export_targets set format = %s, settings = %s where organization_id = %s",
        format_name,
        json.dumps(settings | more),
        organisation.id,
    )
    strange_claims(organisation, seed)
    user = new_user("coordinator", organisation)

    seen = told(user, organisation)
    exported = user.trigger(organisation).json()

    run = exported["run"]
    details = user.run(run["run_id"]).json()
    names = ("claim_count", "left_out_count", "voucher_count", "line_count", "totals")
    assert {name: seen[name] for name in names} == {name: run[name] for name in names}
    assert seen["breakdown"] == details["breakdown"]
    assert seen["would_be"]["run_number"] == run["run_number"]
    assert seen["claim_count"] > 5
    assert sum(cause["count"] for cause in seen["left_out_causes"]) == run["left_out_count"] > 2
    named = {
        (number, cause["code"])
        for cause in seen["left_out_causes"]
        for number in cause["claim_numbers"]
    }
    assert named <= causes_of(exported["left_out"])
    completed = [event for event in details["events"] if event["event"] == "completed"]
    assert seen["notices"] == (completed[0]["detail"] or {}).get("notices", [])
    content = user.download(run["run_id"]).content.decode()
    if format_name.endswith("_json"):
        place = 0
        for line in seen["first_lines"]:
            place = content.index(line, place) + len(line)
    else:
        assert seen["first_lines"] == content.splitlines()[:20]
    assert len(seen["first_lines"]) == 20


def test_no_format_is_forgotten() -> None:
    assert set(FORMATS) == set(BUILT_IN)


def test_a_preview_changes_nothing(coordinator: AppUser, organisation: Organisation) -> None:
    """No row of any table is written or even locked, no number is taken, and no file is stored."""
    organisation.add_claims(3)
    coordinator.trigger(organisation)
    organisation.add_claims(3)
    before, rows = everything_kept(organisation), every_row(organisation)

    told(coordinator, organisation)

    assert every_row(organisation) == rows
    assert everything_kept(organisation) == before


def every_row(organisation: Organisation) -> Body:
    """Which transactions made and locked the rows of every table of ours, whoever they belong to."""
    tables = organisation.execute(
        "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind = 'r' and n.nspname in ('public', 'export_engine', 'storage') order by 1"
    )
    return {
        table: organisation.execute(
            f"select xmin::text, xmax::text, ctid::text from {table} order by ctid"
        )
        for (table,) in tables
    }


def test_a_preview_of_nothing_says_so(coordinator: AppUser, organisation: Organisation) -> None:
    """No claim, no line, and a sentence."""
    seen = told(coordinator, organisation)

    assert (seen["outcome"], seen["claim_count"]) == ("nothing_to_export", 0)
    assert (seen["first_lines"], seen["totals"], seen["difference"]) == ([], {}, None)
    assert seen["message"] == "There is nothing to export in this period."


def test_causes_say_how_many_claims_each_blocks_and_what_to_do(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """Grouped by code, kind of field and expense type, what blocks most first, with a few numbers."""
    organisation.add_claim()
    for _ in range(7):
        organisation.add_claim([("mileage", "10.00"), ("helicopter", "10.00")])
    organisation.add_claim([("balloon", "10.00")])
    organisation.add_claim(currency="EUR")

    seen = told(coordinator, organisation, language="nb")

    causes = [
        (one["count"], one["code"], one["field"], one["expense_type"])
        for one in seen["left_out_causes"]
    ]
    assert causes == [
        (7, "no_account_for_expense_type", "lines[].expense_type", "helicopter"),
        (1, "currency_not_supported", "currency", None),
        (1, "no_account_for_expense_type", "lines[].expense_type", "balloon"),
    ]
    helicopter = seen["left_out_causes"][0]
    assert len(helicopter["claim_numbers"]) == 5
    assert helicopter["message"] == "Utgiftstypen har ingen konto."
    assert helicopter["action"].startswith("En administrator må rette kontoreglene.")
    assert "helicopter" in helicopter["note"]
    assert seen["message"] == "1 krav ville blitt eksportert, og 9 utelatt."


@pytest.mark.parametrize(
    ("lines", "policy", "outcome"),
    [
        ([("helicopter", "1.00")], "leave_out", "all_claims_left_out"),
        ([("helicopter", "1.00")], "refuse_run", "would_be_refused"),
        ([("mileage", "1.00")], "refuse_run", "would_export"),
    ],
)
def test_a_preview_foretells_a_refusal(
    coordinator: AppUser,
    organisation: Organisation,
    lines: list[tuple[str, str]],
    policy: str,
    outcome: str,
) -> None:
    """Where the export would make no file, the preview says so and does not fail."""
    organisation.add_claim(lines)
    organisation.execute(
        "update public.export_targets set on_problem = %s where organization_id = %s",
        policy,
        organisation.id,
    )

    seen = told(coordinator, organisation)
    exported = coordinator.trigger(organisation)

    assert seen["outcome"] == outcome
    codes = {"would_be_refused": "claims_refused", "would_export": None}
    assert exported.json().get("code") == codes.get(outcome, outcome)


def test_only_the_period_and_what_is_free_is_previewed(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """A claim of another day, one that is not approved and one that was exported are not in it."""
    organisation.add_claim()
    coordinator.trigger(organisation)
    organisation.add_claim([("mileage", "7.00")])
    organisation.add_claim(status="submitted")

    assert told(coordinator, organisation)["totals"] == {"NOK": "7.00"}
    day = told(coordinator, organisation, period_from="2026-10-05", period_to="2026-10-05")
    assert day["claim_count"] == 1
    other = told(coordinator, organisation, period_from="2026-10-06", period_to="2026-10-31")
    assert other["outcome"] == "nothing_to_export"
    assert told(coordinator, organisation, period_from=None)["claim_count"] == 1


def test_claims_on_hold_are_taken_as_an_export_by_hand_takes_them(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """A hold keeps automatic triggers away; the preview is of what a person would start."""
    claim_id = organisation.add_claim()
    organisation.execute("select public.hold_claims(%s, 'Se over', 'Gunhild')", [claim_id])

    assert told(coordinator, organisation)["claim_count"] == 1
    assert coordinator.trigger(organisation).json()["run"]["claim_count"] == 1


def test_an_organisation_on_hold_is_previewed_and_told_so(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """What an export would answer stands beside what it would make without the hold."""
    organisation.add_claim()
    assert told(coordinator, organisation)["hold"] is None
    organisation.execute(
        "select public.hold_exports(%s, 'Filene telles', 'Gunhild')", organisation.id
    )

    seen = told(coordinator, organisation)

    refused = coordinator.trigger(organisation).json()
    assert (seen["hold"]["code"], seen["hold"]["reason"]) == ("organization_held", "Filene telles")
    assert seen["hold"]["message"] == refused["detail"]
    assert seen["claim_count"] == 1


def test_a_run_under_way_is_named(coordinator: AppUser, organisation: Organisation) -> None:
    """Its claims are not in the preview, and whoever would export now would wait for it."""
    organisation.add_claim()
    with organisation.as_user(coordinator.account.user_id) as user:
        run = begin(user, organisation)["run"]
    organisation.add_claim([("toll", "3.00")])

    seen = told(coordinator, organisation)

    assert seen["run_under_way"]["run_id"] == run["run_id"]
    assert seen["totals"] == {"NOK": "3.00"}
    assert seen["would_be"]["run_number"] == run["run_number"] + 1
    assert seen["would_be"]["first_voucher_number"] == 2


def test_previews_of_many_pages_run_beside_an_export(
    coordinator: AppUser, new_user: NewUser, organisation: Organisation
) -> None:
    """Two previews and an export of 10,001 claims at once: nobody waits for or disturbs anybody."""
    organisation.add_claims(10_001)
    whole = told(coordinator, organisation)
    others = [new_user("accountant", organisation) for _ in range(2)]

    with ThreadPoolExecutor(3) as pool:
        exported = pool.submit(coordinator.trigger, organisation)
        seen = list(pool.map(lambda user: told(user, organisation), others))

    run = exported.result().json()["run"]
    assert whole["claim_count"] == whole["seen_count"] == run["claim_count"] == 10_001
    assert (whole["is_cut"], whole["totals"]) == (False, run["totals"])
    for one in seen:
        assert 0 <= one["claim_count"] <= 10_001
        assert one["totals"] == (
            {"NOK": f"{one['claim_count']}00.00"} if one["claim_count"] else {}
        )
    assert told(coordinator, organisation)["outcome"] == "nothing_to_export"


@pytest.mark.parametrize(
    "limits", [{"export_preview_claims": 2500}, {"export_preview_seconds": 1e-9}]
)
def test_what_is_cut_is_told(
    stack: EmbeddedStack, coordinator: AppUser, organisation: Organisation, limits: Body
) -> None:
    """Beyond the claims or the time of one preview the answer says how far it came."""
    organisation.add_claims(2501)

    with functions_door(stack.functions_environment, stack.url, **limits) as door:
        seen = told(coordinator.at(door), organisation)

    assert seen["is_cut"]
    assert seen["claim_count"] == seen["seen_count"] == limits.get("export_preview_claims", 0)
    assert f"Only the first {seen['seen_count']} claims" in seen["message"]
    assert seen["outcome"] != "nothing_to_export"


def test_a_missing_setting_is_named(coordinator: AppUser, organisation: Organisation) -> None:
    """The preview finds what an export would, in the same words."""
    organisation.add_claim()
    organisation.execute(
        "update public.export_targets set settings = settings - 'entity_code' where organization_id = %s",
        organisation.id,
    )

    answer = preview(coordinator, organisation)

    assert (answer.status_code, answer.json()["code"]) == (422, "configuration_invalid")
    assert [error["field"] for error in answer.json()["errors"]] == ["settings.entity_code"]
    assert answer.json() == coordinator.trigger(organisation).json()


def test_the_difference_to_the_last_run_is_told(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """New accounts and dimension codes, and a total far from the usual one."""
    for _ in range(2):
        organisation.add_claim([("mileage", "100.00")])
        coordinator.trigger(organisation)
    organisation.add_claim([("toll", "310.00")])
    [last] = organisation.execute(
        'update public.expense_claims set dimensions = \'{"department": "410"}\''
        " where organization_id = %s and id not in (select claim_id from public.export_run_claims)"
        " returning claim_number",
        organisation.id,
    )

    told_of = told(coordinator, organisation)["difference"]

    assert last is not None
    assert (told_of["last_run"]["run_number"], told_of["run_count"]) == (2, 2)
    assert told_of["new_accounts"] == ["7140"]
    assert told_of["new_dimension_values"] == {"department": ["410"]}
    assert told_of["totals"] == {
        "NOK": {"now": "310.00", "last": "100.00", "median": "100.00", "is_unusual": True}
    }
    assert told_of["claim_count"]["is_unusual"] is False


# A candidate


@pytest.fixture
def accountant(new_user: NewUser, organisation: Organisation) -> AppUser:
    """An accountant of the organisation."""
    return new_user("accountant", organisation, name="Øystein")


def test_a_candidate_replaces_what_is_saved_for_this_answer_only(
    accountant: AppUser, organisation: Organisation
) -> None:
    """Layout, settings and rules are tried together; the saved ones stay."""
    organisation.add_claim([("helicopter", "10.00")])
    rules = [
        {"side": "expense", "expense_type": "helicopter", "account_code": "7190"},
        {"side": "payable", "account_code": "2930"},
    ]
    layout = shipped("xledger_gl02b")
    layout["dialect"]["delimiter"] = "|"
    before = every_row(organisation)

    seen = told(
        accountant,
        organisation,
        candidate={
            "settings": {"entity_code": "20020", "voucher_type": "GL"},
            "layout": layout,
            "posting_rules": rules,
        },
    )

    assert (seen["is_candidate"], seen["outcome"]) == (True, "would_export")
    assert [group["account_code"] for group in seen["breakdown"]["groups"]] == ["2930", "7190"]
    assert "20020" in seen["first_lines"][-1].split("|")
    assert every_row(organisation) == before
    assert told(accountant, organisation)["outcome"] == "all_claims_left_out"


def test_a_candidate_may_share_vouchers(accountant: AppUser, organisation: Organisation) -> None:
    """One number on all lines, by a setting that is not saved; also where a rule splits tax off."""
    for _ in range(4):
        organisation.add_claim([("mileage", "100.00")])
    settings = {
        "entity_code": "10010",
        "voucher_type": "GL",
        "voucher_per": "run",
        "posting_date": "export",
    }
    rules = [
        {"side": "expense", "account_code": "7100", "tax_percent": 25, "tax_account_code": "2710"},
        {"side": "payable", "account_code": "2990"},
    ]

    def voucher_count(**candidate: object) -> int:
        count: int = told(accountant, organisation, candidate=candidate)["voucher_count"]
        return count

    assert voucher_count(settings=settings) == 1
    few = {**settings, "most_voucher_lines": 4}
    assert voucher_count(settings=few) == 2
    assert voucher_count(settings=few, posting_rules=rules) == 4
    assert voucher_count(layout=None) == 4


@pytest.mark.parametrize(
    ("candidate", "field"),
    [
        ({"layout": {"name": "x"}}, "layout.version"),
        ({"layout": {}}, "layout.name"),
        ({"settings": {}}, "settings.entity_code"),
        ({"settings": {"entity_code": 7, "voucher_type": "GL"}}, "settings.entity_code"),
        ({"posting_rules": [{"side": "payable"}]}, "posting_rules.0.account_code"),
        (
            {"posting_rules": [{"side": "payable", "account_code": "1", "acount": "2"}]},
            "posting_rules.0.acount",
        ),
    ],
)
def test_a_bad_candidate_is_named_by_field(
    accountant: AppUser, organisation: Organisation, candidate: Body, field: str
) -> None:
    """422 with every problem, its sentence and the exporter's note; never a 500."""
    answer = preview(accountant, organisation, candidate=candidate)

    assert (answer.status_code, answer.json()["code"]) == (422, "configuration_invalid")
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert all(error["message"] and error["note"] for error in answer.json()["errors"])


def test_a_bad_column_is_named_with_the_reason(
    accountant: AppUser, organisation: Organisation
) -> None:
    """Which column, and what it cannot show."""
    layout = shipped("xledger_gl02b")
    layout["columns"][3]["source"] = {"kind": "path", "path": "line.acount"}

    answer = preview(accountant, organisation, candidate={"layout": layout})

    [error, *_] = answer.json()["errors"]
    assert answer.status_code == 422
    assert layout["columns"][3]["name"] in error["field"]
    assert "line.acount" in error["note"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"candidate": []}, "candidate"),
        ({"candidate": None}, "candidate"),
        ({"candidate": {"format": "xledger_json"}}, "candidate.format"),
        ({"candidate": {"layout": "gl02"}}, "candidate.layout"),
        ({"candidate": {"settings": None}}, "candidate.settings"),
        ({"candidate": {"posting_rules": ["a"]}}, "candidate.posting_rules"),
        ({"candidate": {"posting_rules": [{}] * 5001}}, "candidate.posting_rules"),
        ({"compare_runs": 4}, "compare_runs"),
        ({"compare_runs": "1"}, "compare_runs"),
        ({"compare_run_id": "x"}, "compare_run_id"),
        ({"period_to": "2026-13-01"}, "period_to"),
        ({"nothing": 1}, "nothing"),
    ],
)
def test_a_malformed_request_is_named_by_field(
    accountant: AppUser, organisation: Organisation, asked: Body, field: str
) -> None:
    """What cannot be read is 400 with the place."""
    answer = preview(accountant, organisation, **asked)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("depth", [20, 150, 450])
def test_nesting_without_end_is_refused(
    accountant: AppUser, organisation: Organisation, depth: int
) -> None:
    """A layout of sources within sources is a bad request or a bad set-up, and no defect."""
    source: Body = {"kind": "path", "path": "line.text"}
    for _ in range(depth):
        source = {"kind": "concatenate", "separator": "", "parts": [source]}
    layout = shipped("xledger_gl02b")
    layout["columns"][-1]["source"] = source

    answer = preview(accountant, organisation, candidate={"layout": layout})

    assert answer.status_code in {400, 422}, answer.text


@pytest.mark.parametrize(
    ("period", "code"),
    [
        (("2026-10-31", "2026-10-01"), "period_reversed"),
        (("2025-10-01", "2026-10-01"), "period_too_long"),
        (("1226-10-01", "1226-10-31"), "period_out_of_range"),
    ],
)
def test_an_impossible_period_is_refused(
    coordinator: AppUser, organisation: Organisation, period: tuple[str, str], code: str
) -> None:
    """As an export of it would be."""
    answer = preview(coordinator, organisation, period_from=period[0], period_to=period[1])

    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_a_body_beyond_the_limit_is_413(accountant: AppUser, organisation: Organisation) -> None:
    """A candidate may be as large as what the database takes, and no larger."""
    fits = preview(accountant, organisation, candidate={"settings": {"x": "y" * 500_000}})
    too_large = preview(accountant, organisation, candidate={"settings": {"x": "y" * 700_000}})

    assert (fits.status_code, fits.json()["code"]) == (422, "configuration_invalid")
    assert (too_large.status_code, too_large.json()["code"]) == (413, "body_too_large")


# Earlier runs


def test_earlier_runs_are_made_again_with_a_candidate(
    coordinator: AppUser, accountant: AppUser, organisation: Organisation
) -> None:
    """Which lines would change, which claims would be left out, and what moves between accounts."""
    organisation.add_claim([("mileage", "100.00"), ("toll", "30.00")])
    left_out = organisation.add_claim([("receipt", "50.00")])
    run = coordinator.trigger(organisation).json()["run"]
    content = coordinator.download(run["run_id"]).content
    rules = [
        {"side": "expense", "expense_type": "mileage", "account_code": "7100"},
        {"side": "expense", "expense_type": "toll", "account_code": "7199"},
        {"side": "payable", "account_code": "2990"},
    ]
    before = every_row(organisation)

    [compared] = told(accountant, organisation, candidate={"posting_rules": rules}, compare_runs=3)[
        "compared_runs"
    ]

    assert (compared["is_reproduced"], compared["message"], compared["errors"]) == (True, None, [])
    assert (compared["changed_count"], compared["changed_line_count"]) == (1, 1)
    [change] = compared["changes"]
    [pair] = change["lines"]
    assert pair["before"] in content.decode().splitlines()
    assert pair["after"] == pair["before"].replace("7140", "7199")
    assert compared["left_out_count"] == 1
    assert compared["left_out"][0]["claim_id"] == str(left_out)
    assert compared["left_out"][0]["code"] == "no_account_for_expense_type"
    assert {one["account_code"]: one["debit_after"] for one in compared["accounts"]} == {
        "2990": "0.00",
        "6860": "0.00",
        "7140": "0.00",
        "7199": "30.00",
    }
    assert compared["header"] is None
    assert every_row(organisation) == before
    assert coordinator.download(run["run_id"]).content == content


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("voucher_per", ["claim", "run"])
def test_each_claim_is_compared_with_itself_in_every_format(
    stack: EmbeddedStack, new_user: NewUser, format_name: str, voucher_per: str
) -> None:
    """A claim that is left out, or a voucher that is written late, moves nobody else's lines."""
    target, settings = FORMATS[format_name]
    organisation = Organisation.create(stack.database, target)
    shared = {"voucher_per": voucher_per, "posting_date": "export"}
    organisation.execute(
        "update public.export_targets set format = %s, settings = %s where organization_id = %s",
        format_name,
        json.dumps(settings | shared),
        organisation.id,
    )
    for types in (["mileage"], ["toll", "mileage"], ["receipt"], ["toll"], ["mileage", "mileage"]):
        organisation.add_claim([(one, "10.00") for one in types])
    user = new_user("admin", organisation)
    run = user.trigger(organisation).json()["run"]
    content = user.download(run["run_id"]).content.decode()
    rules = [
        {"side": "expense", "expense_type": "mileage", "account_code": "7100"},
        {"side": "expense", "expense_type": "toll", "account_code": "7199"},
        {"side": "payable", "account_code": "2990"},
    ]

    [compared] = told(
        user, organisation, candidate={"posting_rules": rules}, compare_run_id=run["run_id"]
    )["compared_runs"]

    assert compared["is_reproduced"] is True
    assert (compared["left_out_count"], compared["header"]) == (1, None)
    pairs = [pair for change in compared["changes"] for pair in change["lines"]]
    changed = [pair for pair in pairs if "7199" in (pair["after"] or "")]
    assert len(changed) == 2
    for pair in changed:
        assert pair["before"] in content
        assert "7140" in pair["before"]
    for change in compared["changes"]:
        for pair in change["lines"]:
            assert change["claim_number"] in pair["before"]
            assert change["claim_number"] in pair["after"]
    # Elsewhere lines have numbers, which move up when a claim is left out.
    if voucher_per == "claim" and format_name != "dynamics_fo_csv":
        assert pairs == changed
        assert all(pair["after"] == pair["before"].replace("7140", "7199") for pair in changed)


def test_a_header_that_would_change_is_told_once(
    coordinator: AppUser, accountant: AppUser, organisation: Organisation
) -> None:
    """The names of the columns are no lines of a claim."""
    organisation.add_claim()
    run = coordinator.trigger(organisation).json()["run"]
    settings = {"entity_code": "10010", "voucher_type": "GL", "header": "text", "header_text": "H"}

    [compared] = told(
        accountant,
        organisation,
        candidate={"settings": settings},
        compare_run_id=run["run_id"],
    )["compared_runs"]

    assert compared["header"]["after"] == ["H"]
    assert (compared["changed_count"], compared["is_reproduced"]) == (0, True)


def test_a_run_that_is_not_made_again_alike_is_said_so(
    coordinator: AppUser, accountant: AppUser, organisation: Organisation
) -> None:
    """After an erasure the bytes are others: what changed need not be the candidate's doing."""
    organisation.add_claim()
    run = coordinator.trigger(organisation).json()["run"]
    with organisation.database.connect("supabase_admin") as superuser:
        superuser.execute("set session_replication_role = replica")
        superuser.execute(
            "update public.export_run_claims set document = jsonb_set(document, '{claimant,name}', '\"X\"')"
            " where run_id = %s",
            [run["run_id"]],
        )

    [compared] = told(accountant, organisation, compare_run_id=run["run_id"])["compared_runs"]

    assert compared["is_reproduced"] is False
    assert "does not make the run's own file again" in compared["message"]


def test_a_refused_voucher_is_still_in_the_file(
    coordinator: AppUser, accountant: AppUser, organisation: Organisation
) -> None:
    """Its claim is free again, and the run is made again with all that it was made of."""
    for _ in range(3):
        organisation.add_claim()
    run = coordinator.trigger(organisation).json()["run"]
    refused = accountant.door.post(
        "/confirm_export",
        json={
            "run_id": run["run_id"],
            "outcome": "refused",
            "vouchers": [{"voucher_number": 2, "note": "Konto sperret"}],
        },
        headers=accountant.login,
    )
    assert refused.status_code == 200

    seen = told(accountant, organisation, compare_run_id=run["run_id"])

    [compared] = seen["compared_runs"]
    assert (compared["is_reproduced"], compared["seen_count"]) == (True, 3)
    assert (seen["claim_count"], seen["would_be"]["first_voucher_number"]) == (1, 4)


def test_a_layout_that_was_shipped_with_an_older_version_is_used_again(
    coordinator: AppUser, accountant: AppUser, organisation: Organisation
) -> None:
    """A run of another renderer is compared by the layout on it, not by the one shipped now."""
    organisation.add_claim()
    run = coordinator.trigger(organisation).json()["run"]
    with organisation.database.connect("supabase_admin") as superuser:
        superuser.execute("set session_replication_role = replica")
        superuser.execute(
            "update public.export_runs set renderer_version = '0',"
            " layout = jsonb_set(layout, '{dialect,delimiter}', '\"|\"') where id = %s",
            [run["run_id"]],
        )
    settings = {"entity_code": "20020", "voucher_type": "GL"}

    [compared] = told(
        accountant, organisation, candidate={"settings": settings}, compare_run_id=run["run_id"]
    )["compared_runs"]

    assert compared["is_reproduced"] is False
    [pair, *_] = compared["changes"][0]["lines"]
    assert pair["after"] == pair["before"].replace("10010", "20020")
    assert "|" in pair["before"]


def test_only_completed_runs_of_the_target_are_made_again(
    coordinator: AppUser, accountant: AppUser, new_user: NewUser, organisation: Organisation
) -> None:
    """A run under way is 409; another organisation's is as one that is not there."""
    organisation.add_claim()
    with organisation.as_user(coordinator.account.user_id) as user:
        under_way = begin(user, organisation)["run"]
    other = Organisation.create(organisation.database)
    other.check_configuration()
    other.add_claim()
    foreign = new_user("coordinator", other).trigger(other).json()["run"]

    answers = {
        run["run_id"]: preview(accountant, organisation, compare_run_id=run["run_id"])
        for run in (under_way, foreign)
    }

    told_codes = {run_id: (one.status_code, one.json()["code"]) for run_id, one in answers.items()}
    assert told_codes == {
        under_way["run_id"]: (409, "run_not_comparable"),
        foreign["run_id"]: (404, "run_not_found"),
    }


# Who may


@pytest.mark.parametrize("role", ["coordinator", "accountant", "admin"])
def test_staff_may_preview(new_user: NewUser, organisation: Organisation, role: str) -> None:
    """Everybody who reads runs."""
    assert preview(new_user(role, organisation), organisation).status_code == 200


def test_a_coordinator_tries_no_candidate_and_compares_no_run(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """She exports as things are; frozen configurations are accountants' and admins'."""
    organisation.add_claim()
    run = coordinator.trigger(organisation).json()["run"]

    for asked in (
        {"candidate": {"layout": None}},
        {"compare_run_id": run["run_id"]},
        {"compare_runs": 1},
    ):
        answer = preview(coordinator, organisation, **asked)
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed"), asked


def test_members_strangers_and_nobody_preview_nothing(
    new_user: NewUser, organisation: Organisation, door: httpx.Client
) -> None:
    """403 for a claimant and for another organisation's admin, 401 without a token."""
    other = Organisation.create(organisation.database)
    for user in (new_user("member", organisation), new_user("admin", other)):
        answer = preview(user, organisation)
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    body = {"organization_id": str(organisation.id), "period_to": OCTOBER[1]}
    assert door.post("/preview_export", json=body).status_code == 401
    assert door.get("/preview_export").status_code == 405
