"""What a process must know before it serves: read once, complete, or the process does not start."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AnyHttpUrl, Field, SecretStr, TypeAdapter, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_URL = TypeAdapter(AnyHttpUrl)


def _address(value: str) -> str:
    return str(_URL.validate_python(value)).rstrip("/")


Seconds = Annotated[float, Field(gt=0, le=3600)]


class Settings(BaseSettings):
    """The environment, by field name in capitals. The only reader of the environment.

    Input is hidden in validation errors: what was read beside a missing name may be the secret key.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    supabase_url: Annotated[str, AfterValidator(_address)]
    supabase_publishable_key: Annotated[str, Field(min_length=1)]
    supabase_secret_key: Annotated[SecretStr, Field(min_length=1)]

    export_link_seconds: Annotated[int, Field(ge=1, le=86_400)] = 300
    export_body_limit: Annotated[int, Field(ge=1, le=1_000_000)] = 16_384

    # A list of 2,000 vouchers with numbers and notes, or of 20,000 without notes as CSV.
    export_confirmation_limit: Annotated[int, Field(ge=1, le=4_000_000)] = 1_000_000

    # Settings, layout and posting rules of one organisation, as a candidate: the database takes
    # 100,000 and 200,000 bytes of the first two.
    export_candidate_limit: Annotated[int, Field(ge=1, le=4_000_000)] = 600_000

    # What one preview looks at. An organisation's month is well below; whatever is cut is told so.
    export_preview_claims: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    export_preview_seconds: Seconds = 60

    # Above the data API's own limits (8 s for a statement, 10 s of waiting for a connection), so
    # that its answer arrives instead of our guess.
    export_database_seconds: Seconds = 20
    export_storage_seconds: Seconds = 60
    export_connect_seconds: Seconds = 5
    export_connections: Annotated[int, Field(ge=1, le=200)] = 20

    # How long a call is repeated whose fault soon passes: enough for a restart of the database, and
    # well inside the lease.
    export_retry_seconds: Annotated[float, Field(gt=0, le=30)] = 10

    # The database grants a lease of 60 s, and a renewal is given up after 5 s: two may fail before
    # anybody takes over.
    export_renewal_seconds: Annotated[float, Field(gt=0, le=25)] = 15
    # Below the platform's request time-out (300 s): the caller gets our answer, not a 504.
    export_attempt_seconds: Seconds = 270

    # After this a sweep begins no other run. With one attempt more it stays below the platform's
    # time-out.
    export_sweep_seconds: Seconds = 20

    # Of the verification sheets that the sweep makes, and of those asked for without a language.
    export_sheet_language: Literal["nb", "en"] = "nb"

    @model_validator(mode="after")
    def _renewed_within_an_attempt(self) -> Self:
        if self.export_renewal_seconds >= self.export_attempt_seconds:
            raise ValueError("EXPORT_RENEWAL_SECONDS must be shorter than EXPORT_ATTEMPT_SECONDS")
        return self


def load_settings(beside: Path | None = None) -> Settings:
    """Of the environment; what it lacks, of the file `beside` (NAME=value lines), if it is there.

    Raises pydantic.ValidationError naming every missing or malformed variable.
    """
    return Settings(_env_file=beside)
