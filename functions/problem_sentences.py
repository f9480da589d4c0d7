"""Why the exporters leave a claim out or refuse a set-up, and who must act: by problem code."""

import re
from typing import Final

from functions.delivery_sentences import DELIVERY_PROBLEMS
from functions.language import Sentence

_CLAIMANT: Final = Sentence(
    nb="Den som sendte inn kravet, må rette det, og det må godkjennes på nytt.",
    en="Whoever submitted the claim must correct it, and it must be approved again.",
)
_ADMIN_RULES: Final = Sentence(
    nb="En administrator må rette kontoreglene. Kravet blir med i neste eksport.",
    en="An administrator must correct the posting rules. The claim joins the next export.",
)
_ADMIN_SET_UP: Final = Sentence(
    nb="En administrator må rette oppsettet for regnskapssystemet.",
    en="An administrator must correct the set-up of the accounting system.",
)
_ADMIN_PERSON: Final = Sentence(
    nb="En administrator må registrere nummeret på personen. Kravet blir med i neste eksport.",
    en="An administrator must register the person's number. The claim joins the next export.",
)
_ADMIN_PERSON_WRONG: Final = Sentence(
    nb="En administrator må rette nummeret på personen. Kravet blir med i neste eksport.",
    en="An administrator must correct the person's number. The claim joins the next export.",
)
_ADMIN_VALUE: Final = Sentence(
    nb="En administrator må rette verdien eller oppsettet. Kravet blir med i neste eksport.",
    en="An administrator must correct the value or the set-up. The claim joins the next export.",
)
_ACCOUNTANT: Final = Sentence(
    nb="Regnskapsføreren må avklare koden, og en administrator rette kontoreglene.",
    en="The accountant must settle the code, and an administrator correct the posting rules.",
)
_ACCOUNTANT_PERIOD: Final = Sentence(
    nb="Regnskapsføreren må åpne perioden, eller en administrator la kravet bokføres i neste.",
    en="The accountant must open the period, or an administrator let it be posted in the next.",
)
_SUPPORT: Final = Sentence(
    nb="Meld fra til dem som drifter løsningen, og oppgi kravet.",
    en="Tell those who run this service, with the claim.",
)

_PROBLEMS: Final[dict[str, tuple[Sentence, Sentence]]] = {
    "document_invalid": (
        Sentence(nb="Kravet kan ikke leses.", en="The claim cannot be read."),
        _SUPPORT,
    ),
    "national_identity_number": (
        Sentence(
            nb="En tekst inneholder et fødselsnummer eller D-nummer. Det skal ikke i regnskapet.",
            en="A text holds a national identity number, which does not belong in the books.",
        ),
        Sentence(
            nb="Den som sendte inn kravet, må fjerne nummeret, og det må godkjennes på nytt.",
            en="Whoever submitted the claim must remove the number, and it must be approved again.",
        ),
    ),
    "amount_not_exact": (
        Sentence(
            nb="Et beløp har brøkdeler av øre, eller er for stort.",
            en="An amount has fractions of a hundredth, or is too large.",
        ),
        _CLAIMANT,
    ),
    "no_lines": (
        Sentence(nb="Kravet har ingen utgifter.", en="The claim has no expenses."),
        _CLAIMANT,
    ),
    "zero_amount_line": (
        Sentence(nb="En utgift er på null kroner.", en="An expense amounts to zero."),
        _CLAIMANT,
    ),
    "total_mismatch": (
        Sentence(
            nb="Summen av utgiftene er ikke lik kravets total.",
            en="The expenses do not add up to the claim's total.",
        ),
        _CLAIMANT,
    ),
    "zero_total": (
        Sentence(nb="Kravet er på null kroner.", en="The claim amounts to zero."),
        _CLAIMANT,
    ),
    "currency_not_supported": (
        Sentence(
            nb="Regnskapssystemet tar ikke imot denne valutaen.",
            en="The accounting system does not take this currency.",
        ),
        _ADMIN_SET_UP,
    ),
    "no_account_for_expense_type": (
        Sentence(
            nb="Utgiftstypen har ingen konto.", en="There is no account for the expense type."
        ),
        _ADMIN_RULES,
    ),
    "no_payable_account": (
        Sentence(
            nb="Det er ikke satt opp noen motkonto for utbetalingen.",
            en="There is no account for what is owed to the claimant.",
        ),
        _ADMIN_RULES,
    ),
    "missing_claimant_number": (
        Sentence(
            nb="Personen mangler nummer i regnskapssystemet.",
            en="The person has no number in the accounting system.",
        ),
        _ADMIN_PERSON,
    ),
    "account_not_allowed": (
        Sentence(
            nb="Kontoen kan ikke brukes i regnskapssystemet.",
            en="The account cannot be used in the accounting system.",
        ),
        _ACCOUNTANT,
    ),
    "dimension_not_allowed": (
        Sentence(
            nb="En dimensjon kan ikke brukes på denne kontoen.",
            en="A dimension cannot be used with this account.",
        ),
        _ACCOUNTANT,
    ),
    "dimension_missing": (
        Sentence(
            nb="Kontoen krever en dimensjon som mangler.",
            en="The account requires a dimension that is missing.",
        ),
        _ACCOUNTANT,
    ),
    "tax_code_not_allowed": (
        Sentence(
            nb="Avgiftskoden kan ikke brukes på denne kontoen.",
            en="The tax code cannot be used with this account.",
        ),
        _ACCOUNTANT,
    ),
    "tax_code_missing": (
        Sentence(nb="Kontoen krever en avgiftskode.", en="The account requires a tax code."),
        _ACCOUNTANT,
    ),
    "subledger_missing": (
        Sentence(
            nb="Kontoen krever et reskontronummer.",
            en="The account requires a sub-ledger number.",
        ),
        _ACCOUNTANT,
    ),
    "subledger_not_allowed": (
        Sentence(
            nb="Kontoen tar ikke imot reskontronummer.",
            en="The account takes no sub-ledger number.",
        ),
        _ACCOUNTANT,
    ),
    "required_value_missing": (
        Sentence(
            nb="Filen krever en verdi som kravet ikke har.",
            en="The file requires a value that the claim does not have.",
        ),
        _CLAIMANT,
    ),
    "value_too_long": (
        Sentence(
            nb="En verdi er lengre enn filen har plass til.",
            en="A value is longer than the file has room for.",
        ),
        _CLAIMANT,
    ),
    "forbidden_character": (
        Sentence(
            nb="En tekst har et tegn som filen ikke kan inneholde.",
            en="A text has a character that the file cannot contain.",
        ),
        _CLAIMANT,
    ),
    "ambiguous_posting_rule": (
        Sentence(
            nb="Flere konteringsregler passer like godt.",
            en="Several posting rules apply alike.",
        ),
        _ADMIN_RULES,
    ),
    "period_closed": (
        Sentence(
            nb="Bilagsdatoen er i en periode som er avsluttet i regnskapet.",
            en="The posting date is in a period that is closed in the books.",
        ),
        _ACCOUNTANT_PERIOD,
    ),
    "not_in_table": (
        Sentence(
            nb="En verdi mangler i filoppsettets tabell.",
            en="A value is missing in the layout's table.",
        ),
        _ADMIN_SET_UP,
    ),
    "not_a_number": (
        Sentence(
            nb="En verdi skulle vært et helt tall.", en="A value should have been a whole number."
        ),
        _ADMIN_VALUE,
    ),
    "too_many_lines": (
        Sentence(
            nb="Kravet har flere utgifter enn regnskapssystemet tar imot i ett bilag.",
            en="The claim has more expenses than the accounting system takes in one voucher.",
        ),
        _CLAIMANT,
    ),
    "text_not_encodable": (
        Sentence(
            nb="En tekst har et tegn som regnskapssystemet ikke kjenner.",
            en="A text has a character that the accounting system does not know.",
        ),
        _CLAIMANT,
    ),
    "configuration_invalid": (
        Sentence(nb="Oppsettet er ikke gyldig.", en="The set-up is not valid."),
        _ADMIN_SET_UP,
    ),
    "unknown_format": (
        Sentence(nb="Filformatet er ukjent.", en="The file format is unknown."),
        _ADMIN_SET_UP,
    ),
    "target_mismatch": (
        Sentence(
            nb="Filformatet hører til et annet regnskapssystem.",
            en="The file format belongs to another accounting system.",
        ),
        _ADMIN_SET_UP,
    ),
    "setting_missing": (
        Sentence(nb="Innstillingen mangler.", en="The setting is missing."),
        _ADMIN_SET_UP,
    ),
    "setting_unknown": (
        Sentence(nb="Innstillingen er ukjent.", en="The setting is unknown."),
        _ADMIN_SET_UP,
    ),
    "setting_invalid": (
        Sentence(nb="Innstillingen har en ugyldig verdi.", en="The setting's value is not valid."),
        _ADMIN_SET_UP,
    ),
    "posting_rule_invalid": (
        Sentence(nb="En kontoregel er ikke gyldig.", en="A posting rule is not valid."),
        _ADMIN_RULES,
    ),
    "layout_invalid": (
        Sentence(nb="Kolonneoppsettet er ikke gyldig.", en="The column layout is not valid."),
        _ADMIN_SET_UP,
    ),
}

_OF_A_VALUE: Final = frozenset(
    {
        "required_value_missing",
        "value_too_long",
        "forbidden_character",
        "text_not_encodable",
        "national_identity_number",
    }
)
_CLAIMANTS_TEXT: Final = re.compile(r"purpose|claimant\.name|lines\[\d+\]\.(?:description|unit)")
_OF_A_RULE: Final = re.compile(r"(?:lines\[\d+\]\.)?(?:account_code|tax_code)")

# A third party's exporter may have codes of its own; its own sentence goes along as the note.
_UNKNOWN: Final = (
    Sentence(
        nb="Regnskapssystemets eksport godtar det ikke.",
        en="The accounting system's exporter does not accept it.",
    ),
    _ADMIN_SET_UP,
)


def why(code: str) -> Sentence:
    """What is wrong."""
    return _words(code)[0]


def who_must_act(code: str, field: str | None) -> Sentence:
    """What to do, and who: of what stands in the file, a claimant can correct the texts only."""
    if field is None or code not in _OF_A_VALUE or _CLAIMANTS_TEXT.fullmatch(field):
        return _words(code)[1]
    if field == "claimant.number":
        return _ADMIN_PERSON if code == "required_value_missing" else _ADMIN_PERSON_WRONG
    return _ADMIN_RULES if _OF_A_RULE.fullmatch(field) else _ADMIN_VALUE


def _words(code: str) -> tuple[Sentence, Sentence]:
    return _PROBLEMS.get(code) or DELIVERY_PROBLEMS.get(code, _UNKNOWN)


def known_codes() -> frozenset[str]:
    """The codes with a sentence of their own."""
    return frozenset(_PROBLEMS)
