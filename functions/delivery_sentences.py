"""Why a voucher did not reach the accounting system for certain, and who must act: by code."""

from typing import Final

from functions.language import Sentence
from functions.voucher_delivery import DeliveryCode

_ADMIN: Final = Sentence(
    nb="En administrator må rette oppsettet eller kontoreglene. Kravet blir med i neste eksport.",
    en="An administrator must correct the set-up or the posting rules. The claim joins the next "
    "export.",
)
_ACCOUNTANT: Final = Sentence(
    nb="Regnskapsføreren må se på feltet i regnskapssystemet, med korrelasjons-ID-en.",
    en="The accountant must look at the field in the accounting system, with the correlation id.",
)
_NOBODY: Final = Sentence(
    nb="Ingen trenger å gjøre noe. Det blir forsøkt igjen.",
    en="Nobody needs to act. It is tried again.",
)
_NEXT_EXPORT: Final = Sentence(
    nb="Ingen trenger å gjøre noe. Kravet blir med i neste eksport.",
    en="Nobody needs to act. The claim joins the next export.",
)
_SETTLED_ALONE: Final = Sentence(
    nb="Ingen trenger å gjøre noe. Neste forsøk rydder og finner det ut.",
    en="Nobody needs to act. The next attempt cleans up and finds out.",
)
_COMPARE: Final = Sentence(
    nb="Regnskapsføreren må sammenligne bilaget med det som står i regnskapssystemet.",
    en="The accountant must compare the voucher with what stands in the accounting system.",
)

# What happened, and what to do and who. A third party's delivery may have codes of its own: then
# its message, which goes along, must do.
DELIVERY_PROBLEMS: Final[dict[str, tuple[Sentence, Sentence]]] = {
    DeliveryCode.VOUCHER_TOO_LARGE: (
        Sentence(
            nb="Bilaget har flere linjer enn regnskapssystemet tar imot på én gang.",
            en="The voucher has more lines than the accounting system takes at once.",
        ),
        Sentence(
            nb="En administrator må samle færre krav per bilag, eller eksportere til fil.",
            en="An administrator must put fewer claims into a voucher, or export to a file.",
        ),
    ),
    DeliveryCode.RECORD_INVALID: (
        Sentence(
            nb="En verdi kan ikke sendes til regnskapssystemet.",
            en="A value cannot be sent to the accounting system.",
        ),
        _ADMIN,
    ),
    DeliveryCode.CURRENCY_NOT_DELIVERED: (
        Sentence(
            nb="Forbindelsen tar bare imot regnskapets egen valuta.",
            en="The connection takes the ledger's own currency only.",
        ),
        Sentence(
            nb="Kravet må eksporteres til fil, eller godkjennes på nytt i regnskapets valuta.",
            en="The claim must be exported to a file, or approved anew in the ledger's currency.",
        ),
    ),
    DeliveryCode.NOT_SENT: (
        Sentence(
            nb="Bilaget ble ikke sendt, fordi et tidligere stanset forsøket.",
            en="The voucher was not sent, because an earlier one stopped the attempt.",
        ),
        _NOBODY,
    ),
    DeliveryCode.VALUE_UNKNOWN: (
        Sentence(
            nb="Regnskapssystemet kjenner ikke kontoen eller koden.",
            en="The accounting system does not know the account or the code.",
        ),
        _ADMIN,
    ),
    DeliveryCode.VALUE_REFUSED: (
        Sentence(
            nb="Regnskapssystemet godtar ikke en verdi.",
            en="The accounting system does not accept a value.",
        ),
        _ACCOUNTANT,
    ),
    DeliveryCode.DIMENSION_REFUSED: (
        Sentence(
            nb="Regnskapssystemet godtar ikke en dimensjon, så hele bilaget er tatt ut igjen.",
            en="The accounting system does not accept a dimension, so the voucher was taken out.",
        ),
        _ACCOUNTANT,
    ),
    DeliveryCode.TARGET_REFUSED: (
        Sentence(
            nb="Regnskapssystemet avviste bilaget.",
            en="The accounting system refused the voucher.",
        ),
        _ACCOUNTANT,
    ),
    DeliveryCode.NOT_PERMITTED: (
        Sentence(
            nb="Programmet mangler rettigheter i regnskapssystemet.",
            en="The application lacks rights in the accounting system.",
        ),
        Sentence(
            nb="Den som forvalter regnskapssystemet, må gi programmet rettighetene.",
            en="Whoever administers the accounting system must give the application its rights.",
        ),
    ),
    DeliveryCode.CHANGED_MEANWHILE: (
        Sentence(
            nb="Noen endret det samme i regnskapssystemet mens vi skrev.",
            en="Somebody changed the same thing in the accounting system while we wrote.",
        ),
        _NEXT_EXPORT,
    ),
    DeliveryCode.TARGET_BUSY: (
        Sentence(
            nb="Regnskapssystemet svarte ikke, eller ba oss vente.",
            en="The accounting system did not answer, or asked us to wait.",
        ),
        _NOBODY,
    ),
    DeliveryCode.TARGET_FAILED: (
        Sentence(
            nb="Det oppsto en feil i regnskapssystemet.",
            en="An error occurred in the accounting system.",
        ),
        _NOBODY,
    ),
    DeliveryCode.REPLY_LOST: (
        Sentence(
            nb="Svaret fra regnskapssystemet kom aldri fram, så det er uvisst om bilaget ble ført.",
            en="The accounting system's answer never arrived, so it is not known whether the "
            "voucher was entered.",
        ),
        _SETTLED_ALONE,
    ),
    DeliveryCode.REPLY_INCOMPLETE: (
        Sentence(
            nb="Regnskapssystemet svarte ikke for alle linjene i bilaget.",
            en="The accounting system did not answer for all lines of the voucher.",
        ),
        _SETTLED_ALONE,
    ),
    DeliveryCode.LINES_LEFT: (
        Sentence(
            nb="Linjer av bilaget kan ligge igjen i kladden.",
            en="Lines of the voucher may have been left in the journal.",
        ),
        _SETTLED_ALONE,
    ),
    DeliveryCode.LINES_DIFFER: (
        Sentence(
            nb="Kladden viser ikke de linjene som ble sendt.",
            en="The journal does not show the lines that were sent.",
        ),
        _COMPARE,
    ),
    DeliveryCode.LEDGER_DIFFERS: (
        Sentence(
            nb="Bilagsnummeret er bokført med andre beløp.",
            en="The document number is in the ledger with other amounts.",
        ),
        _COMPARE,
    ),
    DeliveryCode.SETTLED_BY_HAND: (
        Sentence(
            nb="En administrator sa at bilaget ikke er i regnskapssystemet.",
            en="An administrator said that the voucher is not in the accounting system.",
        ),
        _NEXT_EXPORT,
    ),
}
