"""Signing in, and one's own account."""

from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, ConfigDict, EmailStr, Field, StringConstraints

from backend.core.events import ALERTS
from backend.core.i18n import _
from backend.database.schemas.base import Input, Output, Title, UTCMoment

# Spaces at the ends of a password are part of it.
Password = Annotated[str, StringConstraints(strip_whitespace=False, min_length=1, max_length=1024)]
Login = Annotated[str, Field(min_length=1, max_length=254, examples=["admin"])]


class Credentials(Input):
    """`username` is a login or an e-mail."""

    model_config = ConfigDict(hide_input_in_errors=True)

    username: Login
    password: Annotated[Password, Field(examples=["correct horse battery staple"])]


class LoginForm(Credentials):
    remember: bool = False
    next: Annotated[str, Field(max_length=2000)] = "/dashboard/"


class ApiCredentials(Credentials):
    """`otp`: a code of the authenticator app or a recovery code, for whoever has a second factor."""

    otp: Annotated[str | None, Field(max_length=64, examples=["123456"])] = None


class SecondForm(Input):
    model_config = ConfigDict(hide_input_in_errors=True)

    code: Annotated[str, Field(min_length=1, max_length=64)]
    by: Annotated[str, Field(max_length=20)] = ""  # which way the page shows
    trust: bool = False
    remember: bool = False
    next: Annotated[str, Field(max_length=2000)] = "/dashboard/"


class PasskeyAnswer(Input):
    """What the browser's passkey said (`answer`, JSON), to the question of `ticket`."""

    answer: Annotated[str, Field(min_length=2, max_length=20_000)]
    ticket: Annotated[str, Field(min_length=1, max_length=300)]


class PasskeyForm(PasskeyAnswer):
    by: Annotated[str, Field(max_length=20)] = ""  # which way the page shows
    trust: bool = False
    remember: bool = False
    next: Annotated[str, Field(max_length=2000)] = "/dashboard/"


class ConfirmForm(Input):
    """A password or a code; `carried`: the form that was sent too late, as JSON; `strong`: a password is not enough."""

    model_config = ConfigDict(hide_input_in_errors=True, str_max_length=100_000)

    password: Annotated[str, StringConstraints(strip_whitespace=False, max_length=1024)] = ""
    code: Annotated[str, Field(max_length=64)] = ""
    next: Annotated[str, Field(max_length=2000)] = "/dashboard/"
    carried: Annotated[str, Field(max_length=100_000)] = ""
    strong: bool = False


class ConfirmPasskeyForm(PasskeyAnswer):
    model_config = ConfigDict(str_max_length=100_000)

    next: Annotated[str, Field(max_length=2000)] = "/dashboard/"
    carried: Annotated[str, Field(max_length=100_000)] = ""
    strong: bool = False


class AppForm(Input):
    """The first code of a new app; `draft`: its secret, sealed."""

    code: Annotated[str, Field(min_length=1, max_length=64)]
    draft: Annotated[str, Field(min_length=1, max_length=1000)]


class NewPasskeyForm(PasskeyAnswer):
    name: Annotated[str, Field(max_length=100)] = ""


class RefreshRequest(Input):
    model_config = ConfigDict(hide_input_in_errors=True)

    refresh_token: Annotated[str, Field(min_length=1, max_length=200, examples=["q4vYt0..."])]


class TokenPair(Output):
    """`expires_in` is the life of the access token in seconds."""

    access_token: str = Field(examples=["eyJhbGciOiJIUzI1NiIs..."])
    refresh_token: str = Field(examples=["q4vYt0..."])
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the kind of token, no secret
    expires_in: int = Field(examples=[900])


class MeResponse(Output):
    """Who the token stands for.

    A token of the school itself has no `id`, and its `name` is the token's.
    """

    id: int | None = Field(examples=[1])
    kind: Literal["jwt", "token"]
    name: str = Field(examples=["Анна Смирнова"])
    login: str | None = Field(examples=["anna"])
    email: str | None = None
    role: str | None = Field(examples=["Админ"])
    permissions: list[str] = Field(examples=[["lessons:read", "lessons:write"]])
    language: str = Field(examples=["ru"])
    created_at: UTCMoment | None = None


def _known_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(_("There is no such time zone. Write it like Europe/Moscow."))
    return value


class ProfileUpdate(Input):
    first_name: Annotated[str, Field(min_length=1, max_length=128)]
    last_name: Annotated[str | None, Field(max_length=128)] = None
    email: Annotated[EmailStr | None, Field(max_length=254)] = None
    timezone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    version: int | None = None


class PasswordChange(Input):
    model_config = ConfigDict(hide_input_in_errors=True)

    current: Annotated[str, StringConstraints(strip_whitespace=False, max_length=1024)] = ""
    password: Password
    repeat: Password


class LanguageChoice(Input):
    language: Literal["ru", "en"]
    next: Annotated[str, Field(max_length=2000)] = "/dashboard/settings/"


class ThemeChoice(Input):
    theme: Literal["auto", "light", "dark"]
    next: Annotated[str, Field(max_length=2000)] = "/dashboard/settings/"


class KeysChoice(Input):
    single_keys: bool = False
    next: Annotated[str, Field(max_length=2000)] = "/dashboard/settings/"


class TokenCreate(Input):
    name: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: Annotated[list[str], Field(min_length=1, max_length=50)]


def _known_alerts(names: list[str]) -> list[str]:
    if not set(names) <= set(ALERTS):
        raise ValueError(_("There is no such alert."))
    return names


class AlertChoice(Input):
    alerts: Annotated[list[str], Field(default_factory=list, max_length=len(ALERTS)), AfterValidator(_known_alerts)]
    alert_way: Literal["first", "email", "chat", "both"]


class SchoolUpdate(Input):
    name: Title
