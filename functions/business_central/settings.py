"""What an organisation says about its Business Central, checked before anything is asked of it."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from functions.errors import DeliveryRefused

AccountType = Literal[
    "G/L Account",
    "Customer",
    "Vendor",
    "Bank Account",
    "Fixed Asset",
    "IC Partner",
    "Employee",
    "Allocation Account",
]
# $batch takes no more operations, and a request of eight minutes is cut off.
MOST_OPERATIONS: Final = 100
_LONGEST_REQUEST: Final = 470
_LOCAL: Final = "127.0.0.1"
# A row of settings may not send a secret or a token anywhere else.
_TRUSTED_HOSTS: Final = {
    "login_url": ("login.microsoftonline.com", "login.microsoftonline.us"),
    "api_url": ("api.businesscentral.dynamics.com",),
    "web_url": ("businesscentral.dynamics.com",),
}


def _origin(value: str) -> str:
    address = urlsplit(value)
    is_local = address.scheme == "http" and address.hostname == _LOCAL
    if not (is_local or (address.scheme == "https" and address.port is None)):
        raise ValueError("must be https")
    if address.username or address.path.strip("/") or address.query or address.fragment:
        raise ValueError("must be scheme and host only")
    return value.rstrip("/")


Origin = Annotated[str, AfterValidator(_origin)]
Seconds = Annotated[float, Field(gt=0, le=_LONGEST_REQUEST)]


class BusinessCentralSettings(BaseModel):
    """Facts of one company in one environment.

    `client_secret_ref` says where the secret lies (secret_reference), never the secret.

    `environment_kind` is what the environment must turn out to be; a production company is not
    reached from a set-up meant for a sandbox, nor the other way round. `check_environment` off
    trusts the settings, for installations that do not tell.

    `listed_account_types` are those whose journal lines the API lists: only they
    prove that a voucher has arrived when a reply was lost.

    `check_dimensions` asks for dimension values before anything is written.

    `resend_after_503`: a 503 means that nothing was done. Microsoft's words allow it, and nobody
    has measured it, so without this a write answered with 503 counts as not known.

    `patience_seconds` is how long one step is repeated while the service asks for patience.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    tenant_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,99}$")]
    client_id: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\x21-\x7e]+$")]
    client_secret_ref: Annotated[str, Field(min_length=5, max_length=200)]
    environment: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,29}$")]
    environment_kind: Literal["sandbox", "production"]
    check_environment: bool = True
    check_dimensions: bool = True
    company: Annotated[str, Field(min_length=1, max_length=100)]
    journal_template: Annotated[str, Field(min_length=1, max_length=10)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "NOK"
    listed_account_types: frozenset[AccountType] = frozenset({"G/L Account", "Bank Account"})

    api_url: Origin = "https://api.businesscentral.dynamics.com"
    login_url: Origin = "https://login.microsoftonline.com"
    web_url: Origin = "https://businesscentral.dynamics.com"

    max_in_flight: Annotated[int, Field(ge=1, le=5)] = 1
    operations_per_batch: Annotated[int, Field(ge=2, le=MOST_OPERATIONS)] = MOST_OPERATIONS
    connect_seconds: Seconds = 10
    read_seconds: Seconds = 120
    request_seconds: Seconds = 240
    patience_seconds: Seconds = 120
    first_pause_seconds: Seconds = 0.5
    longest_pause_seconds: Seconds = 30
    resend_after_503: bool = False

    @model_validator(mode="after")
    def _hosts_are_trusted(self) -> Self:
        for name, trusted in _TRUSTED_HOSTS.items():
            if urlsplit(getattr(self, name)).hostname not in {*trusted, _LOCAL}:
                raise ValueError(f"{name} is not one of {', '.join(trusted)}")
        return self

    @classmethod
    def of(cls, document: Mapping[str, object]) -> Self:
        """Read the settings of a row.

        Raises:
            DeliveryRefused: naming the first setting at fault, never its value.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as invalid:
            first = invalid.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or first["msg"].split()[2]
            raise DeliveryRefused("delivery_setting_invalid", field=field) from None

    @property
    def service_url(self) -> str:
        """Below this lie all entities of the environment."""
        place = f"{quote(self.tenant_id)}/{quote(self.environment)}"
        return f"{self.api_url}/v2.0/{place}/api/v2.0"

    @property
    def token_url(self) -> str:
        """Where the application signs in."""
        return f"{self.login_url}/{quote(self.tenant_id)}/oauth2/v2.0/token"

    @property
    def environment_url(self) -> str:
        """Tells, without a login, what kind of environment it is."""
        place = f"{quote(self.tenant_id)}/{quote(self.environment)}"
        return f"{self.web_url}/{place}/deployment/url"
