"""Every error code: its HTTP status, what it says to whom, and what to do next.

The codes of the SQL functions are here too: the database decides, this page puts it in words.
"""

from dataclasses import dataclass

from functions.language import Sentence


@dataclass(frozen=True)
class Entry:
    """`field` names the part of the request that the code is always about."""

    status: int
    detail: Sentence
    action: Sentence
    field: str | None = None


_ASK_ADMIN = Sentence(
    nb="Be en administrator i organisasjonen om hjelp.",
    en="Ask an administrator of the organisation for help.",
)
_ASK_SUPPORT = Sentence(
    nb="Meld fra til dem som drifter løsningen, og oppgi kjøringen og tidspunktet.",
    en="Tell those who run this service, with the run and the time.",
)
_CORRECT = Sentence(
    nb="Rett forespørselen og send den på nytt.", en="Correct the request and send it again."
)
_REPEAT = Sentence(
    nb="Vent litt og prøv igjen med samme Idempotency-Key. Ingenting blir eksportert to ganger.",
    en="Wait a moment and try again with the same Idempotency-Key. Nothing is exported twice.",
)
_REOPEN = Sentence(
    nb="Åpne kjøringen på nytt for å se hvordan den står nå.",
    en="Open the run again to see where it stands now.",
)

_SET_UP_CONNECTION = Sentence(
    nb="En administrator må rette oppsettet av forbindelsen til regnskapssystemet.",
    en="An administrator must correct the set-up of the connection to the accounting system.",
)

CATALOGUE: dict[str, Entry] = {
    # Who asks
    "not_authenticated": Entry(
        401,
        Sentence(
            nb="Du er ikke logget inn, eller innloggingen er utløpt.",
            en="You are not logged in, or the login has expired.",
        ),
        Sentence(nb="Logg inn på nytt.", en="Log in again."),
    ),
    "not_allowed": Entry(
        403,
        Sentence(nb="Du har ikke tilgang til dette.", en="You do not have access to this."),
        _ASK_ADMIN,
    ),
    "role_revoked": Entry(
        403,
        Sentence(
            nb="Den som startet eksporten, har ikke lenger tilgang.",
            en="Whoever started the export no longer has access.",
        ),
        Sentence(
            nb="Neste eksport i organisasjonen gjør kjøringen ferdig.",
            en="The organisation's next export finishes the run.",
        ),
    ),
    # The request
    "malformed_json": Entry(
        400,
        Sentence(
            nb="Innholdet er ikke ett gyldig JSON-objekt.",
            en="The body is not one valid JSON object.",
        ),
        Sentence(
            nb="Send ett JSON-objekt i UTF-8, uten gjentatte felt.",
            en="Send one JSON object in UTF-8, without repeated fields.",
        ),
        "body",
    ),
    "request_interrupted": Entry(
        400,
        Sentence(
            nb="Forbindelsen ble brutt før hele forespørselen var kommet.",
            en="The connection ended before the whole request had arrived.",
        ),
        _REPEAT,
    ),
    "invalid_request": Entry(
        400,
        Sentence(
            nb="Forespørselen har feil i ett eller flere felt.",
            en="One or more fields of the request are wrong.",
        ),
        _CORRECT,
    ),
    "body_too_large": Entry(
        413,
        Sentence(nb="Forespørselen er for stor.", en="The request is too large."),
        _CORRECT,
        "body",
    ),
    "unsupported_media_type": Entry(
        415,
        Sentence(nb="Innholdstypen støttes ikke.", en="The content type is not supported."),
        Sentence(
            nb="Send Content-Type: application/json.", en="Send Content-Type: application/json."
        ),
        "Content-Type",
    ),
    "endpoint_not_found": Entry(
        404,
        Sentence(nb="Adressen finnes ikke.", en="There is nothing at this address."),
        Sentence(
            nb="Se etter skrivefeil i adressen.", en="Check the address for a typing mistake."
        ),
    ),
    "method_not_allowed": Entry(
        405,
        Sentence(
            nb="Adressen tar ikke imot denne metoden.", en="This address does not take that method."
        ),
        Sentence(nb="Bruk metoden i Allow-feltet.", en="Use the method named in the Allow header."),
    ),
    "idempotency_key_missing": Entry(
        400,
        Sentence(nb="Idempotency-Key mangler.", en="The Idempotency-Key is missing."),
        Sentence(
            nb="Lag en tilfeldig nøkkel per eksport, og bruk den samme når du prøver igjen.",
            en="Make one random key per export, and send the same one when you try again.",
        ),
        "Idempotency-Key",
    ),
    "invalid_idempotency_key": Entry(
        400,
        Sentence(
            nb="Idempotency-Key må være 1 til 200 synlige ASCII-tegn.",
            en="The Idempotency-Key must be 1 to 200 visible ASCII characters.",
        ),
        _CORRECT,
        "Idempotency-Key",
    ),
    "idempotency_key_reused": Entry(
        422,
        Sentence(
            nb="Denne Idempotency-Key tilhører en annen forespørsel.",
            en="This Idempotency-Key belongs to another request.",
        ),
        Sentence(nb="Bruk en ny nøkkel for en ny eksport.", en="Use a new key for a new export."),
        "Idempotency-Key",
    ),
    "period_missing": Entry(
        400,
        Sentence(nb="Perioden mangler sluttdato.", en="The period has no last day."),
        _CORRECT,
        "period_to",
    ),
    "period_reversed": Entry(
        400,
        Sentence(nb="Perioden slutter før den begynner.", en="The period ends before it begins."),
        _CORRECT,
        "period_from",
    ),
    "period_too_long": Entry(
        400,
        Sentence(nb="Perioden er lengre enn ett år.", en="The period is longer than a year."),
        Sentence(nb="Velg en kortere periode.", en="Choose a shorter period."),
        "period_from",
    ),
    "period_out_of_range": Entry(
        400,
        Sentence(
            nb="Perioden ligger utenfor årene 2000 til 2199.",
            en="The period lies outside the years 2000 to 2199.",
        ),
        _CORRECT,
        "period_to",
    ),
    "limit_out_of_range": Entry(
        400,
        Sentence(
            nb="limit må være fra 1 til 200.",
            en="limit must be from 1 to 200.",
        ),
        _CORRECT,
        "limit",
    ),
    "invalid_cursor": Entry(
        400,
        Sentence(
            nb="Dette stedet i listen finnes ikke for denne organisasjonen og dette utvalget.",
            en="This place in the list does not exist for this organisation and these filters.",
        ),
        Sentence(
            nb="Begynn på nytt uten cursor, og behold utvalget mens du blar.",
            en="Begin again without a cursor, and keep the filters from page to page.",
        ),
        "cursor",
    ),
    "cursor_with_offset": Entry(
        400,
        Sentence(
            nb="En side begynner ved cursor eller ved offset, ikke begge.",
            en="A page begins after a cursor or at an offset, not both.",
        ),
        _CORRECT,
        "offset",
    ),
    "invalid_filter": Entry(
        400,
        Sentence(
            nb="Ingen kjøring kan ha denne statusen eller utløseren.",
            en="No run can have this status or trigger.",
        ),
        _CORRECT,
    ),
    "claim_ids_out_of_range": Entry(
        400,
        Sentence(
            nb="Spør om minst ett og høyst 200 krav om gangen.",
            en="Ask for at least one and at most 200 claims at a time.",
        ),
        _CORRECT,
        "claim_id",
    ),
    "invalid_search": Entry(
        400,
        Sentence(
            nb="Søketeksten må ha 1 til 200 tegn.",
            en="The text to search for must have 1 to 200 characters.",
        ),
        Sentence(
            nb="Søk på bilags-, krav- eller kjøringsnummer, filnavn eller starten av filens hash.",
            en="Search for a voucher, claim or run number, a file name or the start of its hash.",
        ),
        "q",
    ),
    "reason_required": Entry(
        400,
        Sentence(nb="Du må oppgi en begrunnelse.", en="A reason is required."),
        _CORRECT,
        "reason",
    ),
    "actor_required": Entry(
        400,
        Sentence(nb="Du må oppgi hvem du er.", en="Who does this is required."),
        _CORRECT,
        "actor",
    ),
    "invocation_missing": Entry(
        400,
        Sentence(nb="Kallet mangler et tilfeldig nummer.", en="The call lacks its random number."),
        _ASK_SUPPORT,
    ),
    "renderer_version_too_long": Entry(
        400,
        Sentence(
            nb="Versjonen av filskriveren er for lang.",
            en="The version of the renderer is too long.",
        ),
        _ASK_SUPPORT,
    ),
    "unknown_trigger": Entry(
        400,
        Sentence(
            nb="Det er ukjent hva som startet eksporten.",
            en="What started the export is unknown.",
        ),
        _ASK_SUPPORT,
    ),
    "unknown_asker": Entry(
        400,
        Sentence(
            nb="Det er ukjent hva som ba om avstemmingen.",
            en="What asked for the reconciliation is unknown.",
        ),
        _ASK_SUPPORT,
    ),
    "reconciliation_not_found": Entry(
        404,
        Sentence(nb="Avstemmingen finnes ikke.", en="There is no such reconciliation."),
        Sentence(nb="Start en ny avstemming.", en="Begin a new one."),
    ),
    "invalid_number_gap": Entry(
        400,
        Sentence(
            nb="Dette er ikke et hull i en nummerserie.",
            en="This is no gap in a series of numbers.",
        ),
        Sentence(
            nb="Bruk numrene fra avstemmingen.", en="Take the numbers from the reconciliation."
        ),
    ),
    "unknown_origin": Entry(
        400,
        Sentence(nb="Kjøringens opphav er ukjent.", en="The origin of the run is unknown."),
        _CORRECT,
    ),
    # The target and its configuration
    "unknown_target": Entry(
        422,
        Sentence(
            nb="Organisasjonen har ikke satt opp dette regnskapssystemet.",
            en="The organisation has not set up this accounting system.",
        ),
        _ASK_ADMIN,
        "target",
    ),
    "target_required": Entry(
        422,
        Sentence(
            nb="Organisasjonen har flere regnskapssystemer; velg ett.",
            en="The organisation has several accounting systems; choose one.",
        ),
        _CORRECT,
        "target",
    ),
    "target_disabled": Entry(
        422,
        Sentence(
            nb="Eksport til dette regnskapssystemet er slått av.",
            en="Exports to this accounting system are turned off.",
        ),
        _ASK_ADMIN,
        "target",
    ),
    "format_not_configured": Entry(
        422,
        Sentence(
            nb="Dette filformatet er ikke satt opp for organisasjonen.",
            en="This file format is not set up for the organisation.",
        ),
        _ASK_ADMIN,
    ),
    "format_not_of_target": Entry(
        400,
        Sentence(
            nb="Filformatet hører ikke til regnskapssystemet.",
            en="The file format does not belong to the accounting system.",
        ),
        _CORRECT,
    ),
    "unknown_time_zone": Entry(
        400,
        Sentence(nb="Tidssonen er ukjent.", en="The time zone is unknown."),
        Sentence(nb="Bruk et navn som Europe/Oslo.", en="Use a name such as Europe/Oslo."),
    ),
    "configuration_invalid": Entry(
        422,
        Sentence(
            nb="Oppsettet for regnskapssystemet er ikke gyldig, så ingenting ble eksportert.",
            en="The accounting system is not set up correctly, so nothing was exported.",
        ),
        Sentence(
            nb="En administrator må rette oppsettet. Kravene er fortsatt klare for eksport.",
            en="An administrator must correct the set-up. The claims are still ready for export.",
        ),
    ),
    # What became of the claims
    "all_claims_left_out": Entry(
        422,
        Sentence(
            nb="Ingen av kravene kunne eksporteres, så det ble ingen fil.",
            en="None of the claims could be exported, so there is no file.",
        ),
        Sentence(
            nb="Rett det som står ved hvert krav, og eksporter på nytt.",
            en="Correct what is said beside each claim, and export again.",
        ),
    ),
    "claims_refused": Entry(
        422,
        Sentence(
            nb="Minst ett krav kunne ikke eksporteres, og organisasjonen krever at alle er med.",
            en="A claim could not be exported, and the organisation requires all of them.",
        ),
        Sentence(
            nb="Rett det som står ved hvert krav, og eksporter på nytt.",
            en="Correct what is said beside each claim, and export again.",
        ),
    ),
    "failed_by_admin": Entry(
        409,
        Sentence(
            nb="En administrator avbrøt eksporten, og kravene frigjøres.",
            en="An administrator ended the export, and its claims are let go.",
        ),
        Sentence(
            nb="Snakk med administratoren før du eksporterer på nytt.",
            en="Talk to the administrator before you export again.",
        ),
    ),
    "file_too_large": Entry(
        422,
        Sentence(
            nb="Filen ble større enn lageret tar imot.",
            en="The file is larger than the storage accepts.",
        ),
        Sentence(nb="Velg en kortere periode.", en="Choose a shorter period."),
    ),
    "claims_not_reservable": Entry(
        422,
        Sentence(
            nb="Minst ett av kravene kan ikke eksporteres nå.",
            en="At least one of the claims cannot be exported now.",
        ),
        _REOPEN,
    ),
    "too_many_claims": Entry(
        413,
        Sentence(
            nb="Så mange krav kan ikke endres i ett kall.",
            en="That many claims cannot be changed in one call.",
        ),
        _CORRECT,
    ),
    "claim_has_history": Entry(
        403,
        Sentence(
            nb="Kravet er med i en eksport og kan ikke endres eller slettes.",
            en="The claim is part of an export and cannot be changed or deleted.",
        ),
        _ASK_SUPPORT,
    ),
    "claim_history_unknown": Entry(
        409,
        Sentence(
            nb="Kravet kan ikke slettes nå, fordi det kan være med i en eksport.",
            en="The claim cannot be deleted now, because it may be part of an export.",
        ),
        _ASK_SUPPORT,
    ),
    "run_is_manual": Entry(
        409,
        Sentence(
            nb="Denne kjøringen ble eksportert for hånd og får ingen fil.",
            en="This run was exported by hand and gets no file.",
        ),
        _REOPEN,
    ),
    "run_has_no_file": Entry(
        409,
        Sentence(
            nb="Denne kjøringen har ingen fil å kontrollere.",
            en="This run has no file to verify.",
        ),
        _REOPEN,
    ),
    "sheet_not_reproducible": Entry(
        409,
        Sentence(
            nb="Kontrollarket kan ikke lages: filen ble laget av en annen versjon av programmet.",
            en="The sheet cannot be made: the file was made by another version of the program.",
        ),
        Sentence(
            nb="Bruk summene i kjøringen og selve filen. Filen gjelder uendret.",
            en="Use the totals of the run and the file itself. The file stands as it is.",
        ),
    ),
    "run_not_comparable": Entry(
        409,
        Sentence(
            nb="Bare en fullført kjøring med fil, til samme regnskapssystem, kan sammenlignes.",
            en="Only a completed run with a file, to the same system, can be compared with.",
        ),
        Sentence(nb="Velg en annen kjøring.", en="Choose another run."),
        field="compare_run_id",
    ),
    "run_not_backfilled": Entry(
        409,
        Sentence(
            nb="Denne kjøringen ble ikke opprettet fra en liste.",
            en="This run was not begun from a list.",
        ),
        _REOPEN,
    ),
    "backfill_malformed": Entry(
        400,
        Sentence(nb="Listen kan ikke leses.", en="The list cannot be read."),
        _CORRECT,
    ),
    "backfill_count_mismatch": Entry(
        409,
        Sentence(
            nb="Kjøringen og listen har ulikt antall krav, så kjøringen ble ikke fullført.",
            en="The run and the list hold different numbers of claims, so it was not completed.",
        ),
        _REOPEN,
    ),
    "claims_not_in_run": Entry(
        422,
        Sentence(
            nb="Minst ett av kravene hører ikke til kjøringen.",
            en="At least one of the claims does not belong to the run.",
        ),
        _REOPEN,
    ),
    # The run
    "run_not_found": Entry(
        404,
        Sentence(
            nb="Kjøringen finnes ikke, eller du har ikke tilgang til den.",
            en="The run does not exist, or you have no access to it.",
        ),
        Sentence(nb="Finn kjøringen i historikken.", en="Find the run in the history."),
    ),
    "line_not_found": Entry(
        404,
        Sentence(
            nb="Ingen bilag står på denne linjen i filen.",
            en="No voucher stands on this line of the file.",
        ),
        Sentence(
            nb="Tell linjene fra 1, med overskriften, slik en editor viser dem.",
            en="Count the lines from 1, the header included, as an editor shows them.",
        ),
        "line",
    ),
    "lines_not_recorded": Entry(
        404,
        Sentence(
            nb="For denne kjøringen er det ikke notert hvilke linjer bilagene står på.",
            en="For this run nobody wrote down which lines its vouchers stand on.",
        ),
        Sentence(
            nb="Søk etter bilagsnummeret eller kravnummeret som står på linjen.",
            en="Search for the voucher number or the claim number that stands on the line.",
        ),
        "line",
    ),
    "claim_not_found": Entry(
        404,
        Sentence(
            nb="Kravet har ikke vært med i noen eksport, eller du har ikke tilgang til det.",
            en="The claim has been in no export, or you have no access to it.",
        ),
        Sentence(nb="Finn kravet i appen.", en="Find the claim in the app."),
    ),
    "busy": Entry(
        409,
        Sentence(
            nb="Organisasjonen har en annen eksport i gang.",
            en="The organisation has another export in progress.",
        ),
        _REPEAT,
    ),
    "lock_busy": Entry(
        409,
        Sentence(
            nb="Organisasjonen har en annen eksport i gang.",
            en="The organisation has another export in progress.",
        ),
        # Whoever hears this gave no key: a command, or the repository.
        Sentence(
            nb="Vent til den er ferdig, og prøv igjen. Ingenting blir eksportert to ganger.",
            en="Wait until it is finished, then try again. Nothing is exported twice.",
        ),
    ),
    "run_waits_for_hold": Entry(
        409,
        Sentence(
            nb="En uferdig eksport har organisasjonens lås og venter til stansen er opphevet.",
            en="An unfinished export has the organisation's lock until the hold is lifted.",
        ),
        Sentence(
            nb="Avslutt den med fail_export_run_by_admin. Kravene blir frie igjen, og eksporteres "
            "etter stansen hvis ingen liste registrerer dem.",
            en="End it with fail_export_run_by_admin. Its claims are free again, and are exported "
            "after the hold unless a list records them.",
        ),
    ),
    "stale_token": Entry(
        409,
        Sentence(
            nb="En annen prosess har overtatt denne kjøringen og gjør den ferdig.",
            en="Another process has taken this run over and is finishing it.",
        ),
        _REOPEN,
    ),
    "generation_not_earned": Entry(
        409,
        Sentence(
            nb="Kravet er allerede ført, eller er ikke ført ennå.",
            en="The claim is entered already, or is not entered yet.",
        ),
        _REOPEN,
    ),
    "vouchers_malformed": Entry(
        400,
        Sentence(
            nb="Listen over bilag har feil form.",
            en="The list of vouchers has the wrong form.",
        ),
        _CORRECT,
        "vouchers",
    ),
    "confirmation_list_malformed": Entry(
        400,
        Sentence(
            nb="Listen fra regnskapssystemet har feil, og ingenting av den ble registrert.",
            en="The list from the accounting system has faults, and nothing of it was recorded.",
        ),
        Sentence(
            nb="Rett linjene som er nevnt, og send hele listen på nytt.",
            en="Correct the lines that are named, and send the whole list again.",
        ),
    ),
    "confirmation_list_too_long": Entry(
        413,
        Sentence(
            nb="Listen fra regnskapssystemet er for lang.",
            en="The list from the accounting system is too long.",
        ),
        Sentence(
            nb="Del den, eller bekreft hele kjøringen under ett.",
            en="Split it, or confirm the whole run at once.",
        ),
    ),
    "too_many_vouchers": Entry(
        413,
        Sentence(
            nb="Så mange bilag kan ikke bekreftes på én gang.",
            en="That many vouchers cannot be confirmed at once.",
        ),
        _CORRECT,
        "vouchers",
    ),
    "vouchers_not_in_run": Entry(
        422,
        Sentence(
            nb="Ett eller flere bilag er ikke i filen til denne kjøringen.",
            en="One or more vouchers are not in the file of this run.",
        ),
        _CORRECT,
        "vouchers",
    ),
    "unknown_outcome": Entry(
        400,
        Sentence(
            nb="Bekreftelsen må være imported, booked eller refused.",
            en="A confirmation is imported, booked or refused.",
        ),
        _CORRECT,
        "outcome",
    ),
    "voucher_is_settled": Entry(
        409,
        Sentence(
            nb="Ett eller flere bilag er allerede bokført, eller avvist og frigjort.",
            en="One or more vouchers are booked already, or were refused and set free.",
        ),
        Sentence(
            nb="Ta dem ut. Bokførte bilag rettes ved å tilbakeføre kjøringen.",
            en="Take them out. What is booked is taken back by reversing the run.",
        ),
        "vouchers",
    ),
    "run_has_reversal": Entry(
        409,
        Sentence(
            nb="En annen kjøring tilbakefører denne.",
            en="Another run takes this one back.",
        ),
        _REOPEN,
    ),
    "claims_entered_again": Entry(
        409,
        Sentence(
            nb="Krav som kjøringen tilbakeførte, er med i en senere kjøring.",
            en="Claims that this run took back are in a later run.",
        ),
        _REOPEN,
    ),
    "run_was_imported": Entry(
        409,
        Sentence(
            nb="Regnskapssystemet har bilag fra denne kjøringen.",
            en="The accounting system has vouchers of this run.",
        ),
        Sentence(
            nb="Send imported: true, så lages en fil som tilbakefører bilagene.",
            en="Send imported: true, and a file is made that reverses the vouchers.",
        ),
        "imported",
    ),
    "run_not_reversible": Entry(
        409,
        Sentence(
            nb="Denne kjøringen har ingen bilag som kan tilbakeføres.",
            en="This run has no vouchers that can be taken back.",
        ),
        _REOPEN,
    ),
    "nothing_to_reverse": Entry(
        409,
        Sentence(
            nb="Ingen av kjøringens bilag er i regnskapet lenger.",
            en="None of the run's vouchers is in the books any more.",
        ),
        _REOPEN,
    ),
    "run_is_deleted": Entry(
        409,
        Sentence(
            nb="Kjøringen er slettet fra listene, men kravene er fortsatt eksportert.",
            en="The run was deleted from the lists, but its claims are exported still.",
        ),
        _ASK_ADMIN,
    ),
    "run_parked": Entry(
        409,
        Sentence(
            nb="Kjøringen er satt til side etter flere forsøk, og kravene holdes tilbake.",
            en="The run was set aside after several attempts, and its claims are held.",
        ),
        _ASK_ADMIN,
    ),
    "organization_held": Entry(
        409,
        Sentence(
            nb="En administrator har stanset organisasjonens eksporter inntil videre.",
            en="An administrator has put the organisation's exports on hold.",
        ),
        Sentence(
            nb="Se begrunnelsen. Eksporter på nytt når administratoren har åpnet for det igjen.",
            en="See the reason. Export again when the administrator has lifted the hold.",
        ),
    ),
    "organization_not_found": Entry(
        404,
        Sentence(nb="Organisasjonen finnes ikke.", en="The organisation does not exist."),
        _CORRECT,
    ),
    "claims_not_found": Entry(
        404,
        Sentence(
            nb="Minst ett av kravene finnes ikke, eller du har ikke tilgang til det.",
            en="At least one of the claims does not exist, or you have no access to it.",
        ),
        _CORRECT,
    ),
    "run_is_voided": Entry(
        409,
        Sentence(
            nb="Kjøringen ble ferdig og er siden annullert.",
            en="The run was completed and has been voided since.",
        ),
        Sentence(nb="Start en ny eksport.", en="Start a new export."),
    ),
    "run_locked": Entry(
        409,
        Sentence(
            nb="Kjøringen arbeides det med akkurat nå.", en="The run is being worked on right now."
        ),
        _REOPEN,
    ),
    "run_unfinished": Entry(
        409,
        Sentence(
            nb="Bare en fullført kjøring kan annulleres, og bare en avsluttet kan slettes.",
            en="Only a completed run can be voided, and only a finished one deleted.",
        ),
        _REOPEN,
    ),
    "retention_not_over": Entry(
        403,
        Sentence(
            nb="Bokføringsreglene krever at kjøringen oppbevares lenger.",
            en="The bookkeeping rules demand that the run is kept longer.",
        ),
        Sentence(
            nb="Vent til datoen er passert. Kjøringen kan skjules i listene nå.",
            en="Wait until the date has passed. The run can be hidden from the lists now.",
        ),
    ),
    "deletion_not_confirmed": Entry(
        403,
        Sentence(
            nb="Bekreftelsen nevner ikke organisasjonen og kjøringens nummer.",
            en="The confirmation does not name the organisation and the run's number.",
        ),
        Sentence(
            nb="Skriv organisasjonens navn, et mellomrom og nummeret.",
            en="Write the organisation's name, a space and the number.",
        ),
    ),
    "run_not_hidden": Entry(
        409,
        Sentence(nb="Kjøringen står fortsatt i listene.", en="The run still stands in the lists."),
        Sentence(
            nb="Ta den ut av listene først, og slett den så for godt.",
            en="Take it out of the lists first, then delete it for good.",
        ),
    ),
    "claims_still_approved": Entry(
        409,
        Sentence(
            nb="Krav i kjøringen er fortsatt godkjent, og ville blitt eksportert på nytt.",
            en="Claims of the run are still approved, and would be exported again.",
        ),
        Sentence(
            nb="Avslutt eller fjern kravene i appen først.",
            en="Close or remove the claims in the app first.",
        ),
    ),
    "run_is_reversal": Entry(
        409,
        Sentence(
            nb="Kjøringen tilbakefører en annen, og de to hører sammen.",
            en="The run takes another one back, and the two belong together.",
        ),
        Sentence(
            nb="Slett kjøringen som den tilbakefører.", en="Delete the run that it takes back."
        ),
    ),
    "claims_not_erasable": Entry(
        422,
        Sentence(
            nb="Noen av kravene trenger fortsatt tekstene sine: de er ikke ferdig eksportert.",
            en="Some of the claims still need their texts: they are not finally exported.",
        ),
        Sentence(
            nb="Eksporter kravene først, eller avslutt dem. Ingenting ble slettet.",
            en="Export the claims first, or close them. Nothing was erased.",
        ),
    ),
    "erasure_out_of_range": Entry(
        400,
        Sentence(
            nb="Personopplysninger slettes for 1 til 2000 krav om gangen.",
            en="Personal data is erased for 1 to 2,000 claims at a time.",
        ),
        Sentence(nb="Send de andre kravene etterpå.", en="Send the other claims afterwards."),
    ),
    "run_not_sealed": Entry(
        409,
        Sentence(
            nb="Kjøringen har ikke fått med seg alle kravene ennå.",
            en="The run has not taken in all its claims yet.",
        ),
        _REOPEN,
    ),
    "run_is_sealed": Entry(
        409,
        Sentence(nb="Kjøringen tar ikke inn flere krav.", en="The run takes in no more claims."),
        _REOPEN,
    ),
    "illegal_transition": Entry(
        409,
        Sentence(
            nb="Kjøringen kan ikke få denne statusen nå.", en="The run cannot get this status now."
        ),
        _REOPEN,
    ),
    "totals_mismatch": Entry(
        409,
        Sentence(
            nb="Filen og kjøringen har ulike summer, så filen ble ikke godtatt.",
            en="The file and the run have different totals, so the file was not accepted.",
        ),
        _ASK_SUPPORT,
    ),
    "file_not_stored": Entry(
        409,
        Sentence(nb="Filen ligger ikke i lageret.", en="The file is not in the storage."),
        _REPEAT,
    ),
    "no_stored_file": Entry(
        409,
        Sentence(nb="En kjøring fullføres med filen sin.", en="A run is completed with its file."),
        _REOPEN,
    ),
    "file_path_mismatch": Entry(
        409,
        Sentence(
            nb="Filen ligger ikke der kjøringens fil hører hjemme.",
            en="The file does not lie where the run's file belongs.",
        ),
        _ASK_SUPPORT,
    ),
    "file_mismatch": Entry(
        409,
        Sentence(
            nb="Kjøringen er allerede fullført med en annen fil.",
            en="The run is already completed with another file.",
        ),
        _ASK_SUPPORT,
    ),
    "file_conflict": Entry(
        409,
        Sentence(
            nb="I lageret ligger det en annen fil der denne skulle ligge.",
            en="The storage holds another file where this one belongs.",
        ),
        _ASK_SUPPORT,
    ),
    "history_is_protected": Entry(
        403,
        Sentence(
            nb="Historikken over eksporter kan ikke endres.",
            en="The history of exports cannot be changed.",
        ),
        _ASK_SUPPORT,
    ),
    # Ours and the platform's
    "database_unavailable": Entry(
        503,
        Sentence(
            nb="Databasen svarer ikke akkurat nå.", en="The database does not answer right now."
        ),
        _REPEAT,
    ),
    "storage_unavailable": Entry(
        503,
        Sentence(
            nb="Fillageret svarer ikke akkurat nå.",
            en="The file storage does not answer right now.",
        ),
        _REPEAT,
    ),
    "attempt_timed_out": Entry(
        503,
        Sentence(
            nb="Eksporten tok for lang tid. Den fortsetter der den slapp.",
            en="The export took too long. It continues where it stopped.",
        ),
        _REPEAT,
    ),
    "service_misconfigured": Entry(
        500,
        Sentence(
            nb="Tjenesten er ikke satt opp riktig.", en="This service is not set up correctly."
        ),
        _ASK_SUPPORT,
    ),
    "internal_error": Entry(
        500,
        Sentence(nb="Noe gikk galt hos oss.", en="Something went wrong on our side."),
        _ASK_SUPPORT,
    ),
    # The connection to the accounting system
    "delivery_unknown": Entry(
        422,
        Sentence(
            nb="Det finnes ingen slik forbindelse til et regnskapssystem.",
            en="There is no such connection to an accounting system.",
        ),
        _SET_UP_CONNECTION,
        "delivery",
    ),
    "delivery_setting_invalid": Entry(
        422,
        Sentence(
            nb="En innstilling for forbindelsen til regnskapssystemet mangler eller er feil.",
            en="A setting of the connection to the accounting system is missing or wrong.",
        ),
        _SET_UP_CONNECTION,
    ),
    "delivery_secret_missing": Entry(
        422,
        Sentence(
            nb="Hemmeligheten som innstillingen viser til, er ikke lagt inn for organisasjonen.",
            en="The secret that the setting refers to is not in place for the organisation.",
        ),
        Sentence(
            nb="Be dem som drifter løsningen, om å legge inn hemmeligheten.",
            en="Ask those who run this service to put the secret in place.",
        ),
        "client_secret_ref",
    ),
    "delivery_sign_in_refused": Entry(
        422,
        Sentence(
            nb="Regnskapssystemet godtar ikke innloggingen: leietaker, program eller hemmelighet.",
            en="The accounting system does not accept the login: tenant, application or secret.",
        ),
        _SET_UP_CONNECTION,
    ),
    "delivery_not_permitted": Entry(
        422,
        Sentence(
            nb="Programmet er logget inn, men mangler rettigheter i regnskapssystemet.",
            en="The application is logged in but lacks rights in the accounting system.",
        ),
        Sentence(
            nb="Den som forvalter regnskapssystemet, må gi programmet rettighetene.",
            en="Whoever administers the accounting system must give the application its rights.",
        ),
    ),
    "delivery_environment_not_found": Entry(
        422,
        Sentence(
            nb="Regnskapssystemet har ikke dette miljøet, eller det er ikke klart.",
            en="The accounting system has no such environment, or it is not ready.",
        ),
        _SET_UP_CONNECTION,
        "environment",
    ),
    "delivery_environment_mixed_up": Entry(
        422,
        Sentence(
            nb="Oppsettet sier testmiljø og miljøet er i drift, eller omvendt.",
            en="The set-up says sandbox and the environment is in production, or the reverse.",
        ),
        _SET_UP_CONNECTION,
        "environment_kind",
    ),
    "delivery_company_not_found": Entry(
        422,
        Sentence(
            nb="Selskapet finnes ikke i regnskapssystemet, eller programmet ser det ikke.",
            en="The company is not in the accounting system, or the application cannot see it.",
        ),
        _SET_UP_CONNECTION,
        "company",
    ),
    "delivery_template_not_found": Entry(
        422,
        Sentence(
            nb="Kladdemalen finnes ikke i regnskapssystemet, eller den har ingen kladd.",
            en="The journal template is not in the accounting system, or has no journal.",
        ),
        _SET_UP_CONNECTION,
        "journal_template",
    ),
    "delivery_container_invalid": Entry(
        422,
        Sentence(nb="Kladden kan ikke ha dette navnet.", en="The journal cannot have this name."),
        _ASK_SUPPORT,
        "container",
    ),
    "delivery_container_balances": Entry(
        422,
        Sentence(
            nb="Kladden har en motkonto, så hver linje ville blitt ført to ganger.",
            en="The journal has a balancing account, so every line would be entered twice.",
        ),
        Sentence(
            nb="Regnskapsføreren må fjerne motkontoen fra kladdemalen.",
            en="The accountant must remove the balancing account from the journal template.",
        ),
        "journal_template",
    ),
    "delivery_container_has_foreign_lines": Entry(
        409,
        Sentence(
            nb="Kladden er ikke vår alene: noen andre har laget den, eller ført linjer i den.",
            en="The journal is not ours alone: somebody else made it, or entered lines in it.",
        ),
        Sentence(
            nb="Ingenting er endret. Regnskapsføreren må flytte linjene, eller gi kladden et annet "
            "navn.",
            en="Nothing was changed. The accountant must move the lines, or rename the journal.",
        ),
        "container",
    ),
    "delivery_link_elsewhere": Entry(
        422,
        Sentence(
            nb="Regnskapssystemet viste videre til en fremmed adresse. Den ble ikke fulgt.",
            en="The accounting system pointed to a foreign address. It was not followed.",
        ),
        _ASK_SUPPORT,
    ),
    "delivery_refused": Entry(
        422,
        Sentence(
            nb="Regnskapssystemet avviste forespørselen.",
            en="The accounting system refused the request.",
        ),
        _ASK_SUPPORT,
    ),
    "delivery_unavailable": Entry(
        503,
        Sentence(
            nb="Regnskapssystemet svarer ikke nå.",
            en="The accounting system does not answer at the moment.",
        ),
        _REPEAT,
    ),
    "delivery_in_doubt": Entry(
        503,
        Sentence(
            nb="Det er uvisst hva regnskapssystemet har fått.",
            en="It is unknown what the accounting system got.",
        ),
        Sentence(
            nb="Det blir spurt på nytt av seg selv. Kravene holdes tilbake til svaret er klart.",
            en="It is asked again by itself. The claims are held until the answer is clear.",
        ),
    ),
    "delivery_was_posted": Entry(
        409,
        Sentence(
            nb="Bilag fra kjøringen er bokført i regnskapssystemet.",
            en="Vouchers of the run are posted in the accounting system.",
        ),
        Sentence(
            nb="Bekreft dem som bokført, og tilbakefør kjøringen.",
            en="Confirm them as booked, and reverse the run.",
        ),
    ),
    "delivery_not_cleared": Entry(
        409,
        Sentence(
            nb="Regnskapssystemet kan ha bilag fra kjøringen, så kravene kan ikke slippes fri.",
            en="The accounting system may have vouchers of the run, so its claims cannot be freed.",
        ),
        _ASK_ADMIN,
    ),
    "run_not_deliverable": Entry(
        409,
        Sentence(
            nb="Kjøringen kan ikke sendes til regnskapssystemet nå.",
            en="The run cannot be sent to the accounting system now.",
        ),
        _REOPEN,
    ),
    "run_not_in_doubt": Entry(
        409,
        Sentence(
            nb="Det er ingen tvil om denne kjøringen.", en="There is no doubt about this run."
        ),
        _REOPEN,
    ),
    "nothing_in_doubt": Entry(
        409,
        Sentence(nb="Ingenting av kjøringen er sendt.", en="Nothing of the run has been sent."),
        _REOPEN,
    ),
    "deliveries_malformed": Entry(
        400,
        Sentence(nb="Listen over bilag kan ikke leses.", en="The list of vouchers cannot be read."),
        _CORRECT,
        "vouchers",
    ),
    "delivery_throttled": Entry(
        503,
        Sentence(
            nb="Regnskapssystemet ber oss vente.", en="The accounting system asks us to wait."
        ),
        _REPEAT,
    ),
}

# What the database may say before this page knows it: its status and code are kept.
UNKNOWN_CODE = Entry(
    500,
    Sentence(nb="Forespørselen ble avvist.", en="The request was refused."),
    _ASK_SUPPORT,
)

FIELD_SENTENCES: dict[str, Sentence] = {
    "required": Sentence(nb="Feltet mangler.", en="This field is missing."),
    "unknown_field": Sentence(nb="Feltet er ukjent.", en="This field is unknown."),
    "repeated_field": Sentence(
        nb="Feltet er oppgitt flere ganger.", en="This field is given more than once."
    ),
    "not_a_uuid": Sentence(nb="Må være en UUID.", en="Must be a UUID."),
    "not_a_date": Sentence(
        nb="Må være en dato på formen ÅÅÅÅ-MM-DD.", en="Must be a date of the form YYYY-MM-DD."
    ),
    "not_a_number": Sentence(nb="Må være et heltall.", en="Must be a whole number."),
    "not_a_flag": Sentence(nb="Må være true eller false.", en="Must be true or false."),
    # Lines of a list
    "not_utf8": Sentence(
        nb="Linjen er ikke i UTF-8. Lagre filen som CSV UTF-8.",
        en="The line is not in UTF-8. Save the file as CSV UTF-8.",
    ),
    "not_csv": Sentence(
        nb="Herfra er filen ikke gyldig CSV. Se etter et anførselstegn for mye.",
        en="From here the file is not valid CSV. Look for a quotation mark too many.",
    ),
    "other_cell_count": Sentence(
        nb="Linjen har ikke like mange felt som overskriften.",
        en="The line has not as many cells as the header.",
    ),
    "list_is_empty": Sentence(nb="Listen har ingen bilag.", en="The list has no vouchers."),
    "not_a_voucher_number": Sentence(
        nb="Må være et av våre bilagsnumre.", en="Must be one of our voucher numbers."
    ),
    "repeated_voucher": Sentence(
        nb="Bilaget står i listen fra før.", en="The voucher is in the list already."
    ),
    "not_an_outcome": Sentence(
        nb="Må være imported, booked eller refused (importert, bokført, avvist).",
        en="Must be imported, booked or refused.",
    ),
    "too_long": Sentence(nb="Teksten er for lang.", en="The text is too long."),
    "malformed": Sentence(nb="Verdien har feil form.", en="The value has the wrong form."),
}


def entry_of(code: str) -> Entry:
    """Never fails: a code that only a newer database knows gets UNKNOWN_CODE."""
    return CATALOGUE.get(code, UNKNOWN_CODE)
