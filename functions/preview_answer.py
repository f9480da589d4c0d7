"""A preview as a caller reads it: amounts are strings, and every cause says what to do."""

from dataclasses import asdict
from typing import Final

from functions.error_catalogue import entry_of
from functions.export_preview import Preview
from functions.export_run import Breakdown, BreakdownGroup, LeftOutCause
from functions.language import Language, Sentence
from functions.left_out_answer import causes_json, left_out_json
from functions.preview_rendering import Cause
from functions.problem_sentences import why
from functions.run_answer import run_json
from functions.run_comparison import AccountShift, RunComparison
from functions.run_difference import Compared, RunDifference

_OUTCOMES: Final = {
    "would_export": Sentence(
        nb="{claim_count} krav ville blitt eksportert, og {left_out_count} utelatt.",
        en="{claim_count} claims would be exported, and {left_out_count} left out.",
    ),
    "would_be_refused": Sentence(
        nb="Eksporten ville blitt avvist som helhet, fordi {left_out_count} krav ikke kan brukes.",
        en="The whole export would be refused, because {left_out_count} claims cannot be used.",
    ),
    "all_claims_left_out": Sentence(
        nb="Ingen fil: alle {left_out_count} krav ville blitt utelatt.",
        en="No file: all {left_out_count} claims would be left out.",
    ),
    "nothing_to_export": Sentence(
        nb="Det er ingenting å eksportere i perioden.",
        en="There is nothing to export in this period.",
    ),
}
_CUT: Final = Sentence(
    nb="Bare de første {seen} kravene er sett på; det er flere.",
    en="Only the first {seen} claims were looked at; there are more.",
)
_NOT_REPRODUCED: Final = Sentence(
    nb=("Dagens kode lager ikke kjøringens egen fil på nytt, så en endring kan ha en annen årsak."),
    en=("Today's code does not make the run's own file again, so a change may have another cause."),
)


def preview_json(preview: Preview, language: Language) -> dict[str, object]:
    """The whole answer. What stands in `would_be` is provisional: nothing of it is taken."""
    rendering, beginning = preview.rendering, preview.beginning
    summary = rendering.summary()
    return {
        **_outcome(preview, language),
        "would_be": beginning.run.model_dump(mode="json"),
        "is_candidate": preview.is_candidate,
        "is_cut": preview.is_cut,
        "seen_count": rendering.seen,
        "claim_count": summary.claim_count,
        "left_out_count": rendering.left_out_count,
        "voucher_count": summary.voucher_count,
        "line_count": summary.line_count,
        "totals": {currency: str(amount) for currency, amount in summary.totals.items()},
        "first_lines": rendering.first_lines,
        "left_out_causes": [_cause(cause, language) for cause in rendering.causes()],
        "other_causes_count": rendering.other_causes_count,
        "notices": [asdict(notice) for notice in rendering.notices()],
        "breakdown": _breakdown(preview).model_dump(mode="json"),
        "hold": _hold(preview, language),
        "run_under_way": run_json(beginning.run_under_way) if beginning.run_under_way else None,
        "difference": _difference(preview.difference) if preview.difference else None,
        "compared_runs": [_comparison(one, language) for one in preview.comparisons],
    }


def _outcome(preview: Preview, language: Language) -> dict[str, object]:
    rendering, claim_count = preview.rendering, preview.rendering.summary().claim_count
    if rendering.seen == 0 and not preview.is_cut:
        outcome = "nothing_to_export"
    elif rendering.refuses_run and rendering.left_out_count:
        outcome = "would_be_refused"
    elif claim_count == 0:
        outcome = "all_claims_left_out"
    else:
        outcome = "would_export"
    sentences = [
        _OUTCOMES[outcome].said(
            language, claim_count=claim_count, left_out_count=rendering.left_out_count
        )
    ]
    if preview.is_cut:
        sentences.append(_CUT.said(language, seen=rendering.seen))
    return {"outcome": outcome, "message": " ".join(sentences)}


def _cause(cause: Cause, language: Language) -> dict[str, object]:
    """The sentences of an export's answer, and the exporter's own about the first claim."""
    told = LeftOutCause(code=cause.key.code, field=cause.key.field, count=cause.count)
    return {
        **causes_json([told], language)[0],
        "expense_type": cause.key.expense_type,
        "claim_numbers": cause.claim_numbers,
        "note": cause.note,
    }


def _breakdown(preview: Preview) -> Breakdown:
    breakdown = preview.rendering.breakdown()
    groups = tuple(BreakdownGroup.model_validate(one._asdict()) for one in breakdown.groups())
    return Breakdown(groups=groups, cut=breakdown.is_cut)


def _hold(preview: Preview, language: Language) -> dict[str, object] | None:
    """A hold stops an export and not a preview, which is how what it waits for is mended."""
    hold, entry = preview.beginning.hold, entry_of("organization_held")
    if hold is None:
        return None
    return {
        "code": "organization_held",
        "message": entry.detail.said(language),
        "action": entry.action.said(language),
        "reason": hold.reason,
    }


def _difference(told: RunDifference) -> dict[str, object]:
    return {
        "last_run": run_json(told.last_run),
        "run_count": told.run_count,
        "claim_count": _compared(told.claim_count),
        "totals": {currency: _compared(one) for currency, one in told.totals.items()},
        "new_accounts": told.new_accounts,
        "new_dimension_values": told.new_dimension_values,
    }


def _compared(one: Compared) -> dict[str, object]:
    return {
        "now": str(one.now),
        "last": None if one.last is None else str(one.last),
        "median": None if one.median is None else str(one.median),
        "is_unusual": one.is_unusual,
    }


def _comparison(told: RunComparison, language: Language) -> dict[str, object]:
    is_doubtful = told.is_reproduced is False
    return {
        "run": run_json(told.run),
        "is_reproduced": told.is_reproduced,
        "message": _NOT_REPRODUCED.said(language) if is_doubtful else None,
        "is_cut": told.is_cut,
        "seen_count": told.seen,
        "changed_count": told.changed_count,
        "changed_line_count": told.changed_line_count,
        "changes": [
            {
                "claim_number": change.claim_number,
                "voucher_number": change.voucher_number,
                "lines": [{"before": before, "after": after} for before, after in change.lines],
            }
            for change in told.changes
        ],
        "header": told.header and {"before": told.header[0], "after": told.header[1]},
        "left_out_count": told.left_out_count,
        "left_out": left_out_json(told.left_out, language),
        "joining_count": told.joining_count,
        "accounts": [_shift(one) for one in told.shifts],
        "errors": [
            {"field": one.field, "message": why(one.code).said(language), "note": one.message}
            for one in told.problems
        ],
    }


def _shift(one: AccountShift) -> dict[str, object]:
    amounts = {
        name: str(value)
        for name, value in one._asdict().items()
        if name not in {"account_code", "currency"}
    }
    return {"account_code": one.account_code, "currency": one.currency, **amounts}
