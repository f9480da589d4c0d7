"""What the verification sheet says, in Norwegian and in English."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LANGUAGES: Final = ("nb", "en")


@dataclass(frozen=True)
class SheetWords:
    """Names of the pages and headings; `notices` by code, with {count}, {field} and {claim}."""

    title: str
    summary: str
    accounts: str
    dimensions: str
    claimants: str
    vouchers: str
    left_out: str

    organization: str
    target: str
    format: str
    run_number: str
    run_id: str
    reverses: str
    period: str
    open_start: str
    export_date: str
    triggered_by: str
    system: str
    completed: str
    file_name: str
    sha256: str
    size: str
    renderer_version: str
    layout: str
    claim_count: str
    left_out_count: str
    voucher_count: str
    line_count: str
    control_totals: str
    claims_total: str
    notices_title: str
    notices: Mapping[str, str]
    one_row_per_voucher: str
    checked_by: str
    checked_on: str

    account: str
    currency: str
    debit: str
    credit: str
    lines: str
    dimension: str
    value: str
    without: str
    others: str
    several: str
    claimant_number: str
    claimant: str
    claims: str
    amount: str
    voucher_number: str
    document_number: str
    kind: str
    entry: str
    reversal: str
    posting_date: str
    document_date: str
    claim_number: str
    subledger: str
    tax_code: str
    text: str
    reason: str
    action: str
    field: str
    note: str


NORWEGIAN: Final = SheetWords(
    title="Kontrollark",
    summary="Sammendrag",
    accounts="Kontoer",
    dimensions="Dimensjoner",
    claimants="Personer",
    vouchers="Bilag",
    left_out="Utelatt",
    organization="Organisasjon",
    target="Regnskapssystem",
    format="Filformat",
    run_number="Kjøring nr.",
    run_id="Kjøringens id",
    reverses="Tilbakefører kjøring",
    period="Godkjent i perioden",
    open_start="fra begynnelsen",
    export_date="Eksportdato",
    triggered_by="Startet av",
    system="systemet",
    completed="Fullført",
    file_name="Fil",
    sha256="SHA-256",
    size="Byte",
    renderer_version="Programversjon",
    layout="Filoppsett",
    claim_count="Krav i filen",
    left_out_count="Utelatte krav",
    voucher_count="Bilag",
    line_count="Posteringer",
    control_totals="Kontrollsummer",
    claims_total="Sum krav",
    notices_title="Merknader",
    notices={
        "text_shortened": "{count} tekst(er) ble kortet ned i {field}, først i krav {claim}.",
        "character_replaced": (
            "{count} tekst(er) fikk tegn byttet ut i {field}, først i krav {claim}."
        ),
        "character_removed": "{count} tekst(er) mistet tegn i {field}, først i krav {claim}.",
        "posting_date_moved": (
            "{count} bilag ble flyttet ut av en avsluttet periode, først krav {claim}."
        ),
        "identity_number_masked": (
            "{count} krav fikk et fødselsnummer skjult, først krav {claim}."
        ),
    },
    one_row_per_voucher=(
        "Filen har {count} posteringer. Siden Bilag har derfor én rad per bilag,"
        " ikke per postering."
    ),
    checked_by="Kontrollert av",
    checked_on="Dato",
    account="Konto",
    currency="Valuta",
    debit="Debet",
    credit="Kredit",
    lines="Posteringer",
    dimension="Dimensjon",
    value="Verdi",
    without="(uten)",
    others="(andre)",
    several="(flere)",
    claimant_number="Personnr. i reskontro",
    claimant="Person",
    claims="Krav",
    amount="Beløp",
    voucher_number="Bilag",
    document_number="Bilagsnr. i filen",
    kind="Art",
    entry="Føring",
    reversal="Tilbakeføring",
    posting_date="Bilagsdato",
    document_date="Dokumentdato",
    claim_number="Krav",
    subledger="Reskontro",
    tax_code="Avgiftskode",
    text="Tekst",
    reason="Hvorfor",
    action="Hva må gjøres",
    field="Felt",
    note="Programmets melding",
)

ENGLISH: Final = SheetWords(
    title="Verification sheet",
    summary="Summary",
    accounts="Accounts",
    dimensions="Dimensions",
    claimants="Claimants",
    vouchers="Vouchers",
    left_out="Left out",
    organization="Organisation",
    target="Accounting system",
    format="File format",
    run_number="Run no.",
    run_id="Run id",
    reverses="Takes back run",
    period="Approved in the period",
    open_start="from the beginning",
    export_date="Export date",
    triggered_by="Triggered by",
    system="the system",
    completed="Completed",
    file_name="File",
    sha256="SHA-256",
    size="Bytes",
    renderer_version="Renderer version",
    layout="Layout",
    claim_count="Claims in the file",
    left_out_count="Claims left out",
    voucher_count="Vouchers",
    line_count="Journal lines",
    control_totals="Control totals",
    claims_total="Sum of claims",
    notices_title="Notices",
    notices={
        "text_shortened": "{count} text(s) were shortened in {field}, first in claim {claim}.",
        "character_replaced": (
            "{count} text(s) had characters replaced in {field}, first in claim {claim}."
        ),
        "character_removed": "{count} text(s) lost characters in {field}, first in claim {claim}.",
        "posting_date_moved": (
            "{count} voucher(s) were moved out of a closed period, first claim {claim}."
        ),
        "identity_number_masked": (
            "{count} claim(s) had a national identity number masked, first claim {claim}."
        ),
    },
    one_row_per_voucher=(
        "The file has {count} journal lines. The page Vouchers therefore has one row per voucher,"
        " not per line."
    ),
    checked_by="Checked by",
    checked_on="Date",
    account="Account",
    currency="Currency",
    debit="Debit",
    credit="Credit",
    lines="Journal lines",
    dimension="Dimension",
    value="Value",
    without="(none)",
    others="(others)",
    several="(several)",
    claimant_number="Claimant no.",
    claimant="Claimant",
    claims="Claims",
    amount="Amount",
    voucher_number="Voucher",
    document_number="Number in the file",
    kind="Kind",
    entry="Entry",
    reversal="Reversal",
    posting_date="Posting date",
    document_date="Document date",
    claim_number="Claim",
    subledger="Sub-ledger",
    tax_code="Tax code",
    text="Text",
    reason="Why",
    action="What to do",
    field="Field",
    note="The exporter's message",
)

WORDS: Final[Mapping[str, SheetWords]] = {"nb": NORWEGIAN, "en": ENGLISH}
