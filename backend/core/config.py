"""Settings, read once from the environment and `.env`; `doctor` explains the weak ones."""

import hmac
import re
from collections.abc import Iterable
from email.headerregistry import Address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from backend.core import mail
from backend.core.hosts import is_ip, is_loopback
from backend.core.permissions import ADMIN, ROLE_TITLES, is_administrative

ROOT = Path(__file__).parents[2]
SAMPLES = frozenset(
    {"admin", "admin123", "password", "secret", "changeme", "your-secret-key-here"}
    | {"your-bot-token", "your-secret-key-for-sessions-min-32-chars", "secure_password_123"}
)
DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "sqlite+aiosqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+asyncpg": "postgresql+psycopg",
    "postgresql+psycopg2": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
KEY_BYTES, KEY_VARIETY, PASSWORD_LENGTH = 32, 10, 12  # the least that is accepted
# Words of sample keys. A random key holds one of them less often than once in a million.
SAMPLE_WORDS = ("secret", "password", "changeme", "change-me", "change_me", "example", "your-", "your_")
WEBHOOK_SECRET = re.compile(r"[A-Za-z0-9_-]{16,256}")  # Telegram takes 1-256 of these
SCHEMES = {"telegram_api_url": ("http", "https"), "redis_url": ("redis", "rediss", "unix")}
NOBODY = "nobody"  # of REQUIRE_2FA_ROLES
SYSTEM_NAMES = {title.casefold(): name for name, title in ROLE_TITLES.items()}  # as the English pages call them
TELEGRAM_API = "https://api.telegram.org"
GOOGLE, GITHUB, TELEGRAM = "https://accounts.google.com", "https://github.com", "https://oauth.telegram.org"


class DatabaseSettings(BaseSettings):
    """The part that migrations need."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    database_url: str = "sqlite:///./lyceum.db"

    @field_validator("database_url")
    @classmethod
    def _driver(cls, value: str) -> str:
        scheme, separator, rest = value.partition("://")
        if not separator or scheme not in DRIVERS:
            raise ValueError(
                "DATABASE_URL must start with sqlite:/// or postgresql://, for example sqlite:///./lyceum.db"
            )
        return f"{DRIVERS[scheme]}://{rest}"


class Settings(DatabaseSettings):
    """Names and meaning: docs/configuration.md. A refusal says how to mend it."""

    secret_key: SecretStr
    algorithm: str = "HS256"
    remember_days: Annotated[int, Field(ge=0, le=90)] = 0
    access_token_expire_minutes: Annotated[int, Field(ge=1, le=1440)] = 15
    telegram_bot_token: SecretStr = SecretStr("")
    telegram_api_url: str = ""
    telegram_webhook_secret: SecretStr = SecretStr("")
    admin_username: str = ""
    admin_password: SecretStr = SecretStr("")
    admin_secret_key: SecretStr = SecretStr("")
    base_url: str = ""
    redis_url: str = ""
    api_host: str = "127.0.0.1"
    api_port: Annotated[int, Field(ge=0, le=65535)] = 8000
    api_rate_limit: Annotated[int, Field(ge=0)] = 1200
    sandbox: bool = False
    debug: bool = False
    allow_http: bool = False
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    require_2fa_roles: Annotated[tuple[str, ...] | None, NoDecode] = None
    data_dir: Path = Path("data")
    school_name: str = "Lyceum"
    bot_mode: str = Field(default="auto", pattern="^(auto|web|process|off)$")
    run_jobs: bool = True
    threads: Annotated[int, Field(ge=1, le=64)] = 8
    smtp_url: SecretStr = SecretStr("")
    mail_from: str = ""
    registration: bool = False
    google_client_id: str = ""
    google_client_secret: SecretStr = SecretStr("")
    github_client_id: str = ""
    github_client_secret: SecretStr = SecretStr("")
    telegram_client_id: str = ""
    telegram_client_secret: SecretStr = SecretStr("")
    oidc_name: str = ""
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: SecretStr = SecretStr("")

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(filter(None, value.replace(" ", "").split(","))) if isinstance(value, str) else value

    @field_validator("require_2fa_roles", mode="before")
    @classmethod
    def _roles(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        roles = tuple(filter(None, map(str.strip, value.split(","))))
        # Empty is no decision: a line that was left blank must not take the second factor off.
        if [role.casefold() for role in roles] == [NOBODY]:
            return ()
        return tuple(SYSTEM_NAMES.get(role.casefold(), role) for role in roles) or None

    @field_validator("secret_key", "admin_secret_key")
    @classmethod
    def _strong_key(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        name, keys = str(info.field_name), value.get_secret_value()
        if keys or name == "secret_key":
            for key in keys.split(","):
                if weak_key(key):
                    raise ValueError(
                        f"{name.upper()} must be at least 32 random characters. Make one with:"
                        " python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
                    )
        return value

    @field_validator("telegram_webhook_secret")
    @classmethod
    def _unguessable(cls, value: SecretStr) -> SecretStr:
        secret = value.get_secret_value()
        if secret and (not WEBHOOK_SECRET.fullmatch(secret) or is_sample(secret)):
            raise ValueError(
                "TELEGRAM_WEBHOOK_SECRET must be 16 to 256 random letters, digits, _ and -;"
                " leave it empty and one is made from SECRET_KEY"
            )
        return value

    @field_validator("base_url")
    @classmethod
    def _address(cls, value: str) -> str:
        if value and not is_site(value):
            raise ValueError("BASE_URL must be the address of the whole site, such as https://school.example")
        return value

    @field_validator(*SCHEMES)
    @classmethod
    def _known_scheme(cls, value: str, info: ValidationInfo) -> str:
        name = str(info.field_name)
        scheme, separator, rest = value.partition("://")
        if value and not (separator and rest and scheme in SCHEMES[name]):
            starts = " or ".join(f"{scheme}://" for scheme in SCHEMES[name])
            raise ValueError(f"{name.upper()} must start with {starts}, or be empty")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _mail_server(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            mail.server_of(value.get_secret_value())
        return value

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, value: str) -> str:
        if value:
            mail.sender_of(value)
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _issuer(cls, value: str) -> str:
        parts = urlsplit(value)
        safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
        if value and not (safe and parts.hostname and not parts.query and not parts.fragment and value.isprintable()):
            raise ValueError("OIDC_ISSUER must be the https:// address that the identity provider calls its issuer")
        return value

    @field_validator("algorithm")
    @classmethod
    def _known_algorithm(cls, value: str) -> str:
        if value not in {"HS256", "HS384", "HS512"}:
            raise ValueError("ALGORITHM must be HS256, HS384 or HS512")
        return value

    @field_validator("admin_password")
    @classmethod
    def _strong_password(cls, value: SecretStr) -> SecretStr:
        password = value.get_secret_value()
        if password and (len(password) < PASSWORD_LENGTH or is_sample(password)):
            raise ValueError(
                "ADMIN_PASSWORD must have at least 12 characters and not be a sample;"
                " leave it empty and sign in with the link that the start prints"
            )
        return value

    @field_validator("telegram_bot_token")
    @classmethod
    def _real_token(cls, value: SecretStr) -> SecretStr:
        token = value.get_secret_value()
        if token and (is_sample(token) or ":" not in token):
            raise ValueError("TELEGRAM_BOT_TOKEN must be the token from @BotFather (123456:ABC...), or empty")
        return value

    @model_validator(mode="after")
    def _complete(self) -> "Settings":
        if self.mail_on and not self.mail_from:
            raise ValueError("SMTP_URL needs a sender: set MAIL_FROM, such as MAIL_FROM=School <school@school.example>")
        for name in ("google", "github", "telegram", "oidc"):
            key, secret = getattr(self, f"{name}_client_id"), getattr(self, f"{name}_client_secret").get_secret_value()
            if bool(key) != bool(secret) or (name == "oidc" and bool(key) != bool(self.oidc_issuer)):
                issuer = " and OIDC_ISSUER" if name == "oidc" else ""
                upper = name.upper()
                raise ValueError(f"{upper}_CLIENT_ID, {upper}_CLIENT_SECRET{issuer} belong together: set all or none")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        if self.sandbox and self.bot_token:
            raise ValueError("SANDBOX and TELEGRAM_BOT_TOKEN exclude each other: unset one of them")
        if self.sandbox and not (is_loopback(self.api_host) and is_loopback(self.host)):
            raise ValueError("SANDBOX answers this machine only: set API_HOST=127.0.0.1 and a loopback BASE_URL")
        if self.debug and not is_loopback(self.api_host):
            raise ValueError("DEBUG shows internals: set DEBUG=0 or API_HOST=127.0.0.1")
        if not is_loopback(self.api_host) and not self.base_url:
            raise ValueError("API_HOST is reachable from outside: set BASE_URL to the public address")
        if not self.https and not is_loopback(self.host) and not self.allow_http:
            raise ValueError(
                "BASE_URL is plain http outside this machine: use https://, or set ALLOW_HTTP=1"
                " to accept that anyone on the network can read passwords"
            )
        return self

    @property
    def url(self) -> str:
        """The public address, without the last slash."""
        return self.base_url.rstrip("/") or f"http://{_bracketed(self.api_host)}:{self.api_port}"

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def https(self) -> bool:
        return self.url.startswith("https://")

    def needs_factor(self, role: str, rights: Iterable[str]) -> bool:
        """Whether whoever has this role, which holds these rights, gets nothing without a second factor."""
        required = self.require_2fa_roles
        if required is None:
            return self.https and is_administrative(rights)
        named = {name.casefold() for name in required}
        # A copy of the administrators' role is one of theirs, whatever its name.
        return role.casefold() in named or (ADMIN.casefold() in named and is_administrative(rights))

    def advises_factor(self, rights: Iterable[str]) -> bool:
        """Whether they are reminded of one instead."""
        return self.require_2fa_roles is None and not self.https and is_administrative(rights)

    @property
    def issuers(self) -> frozenset[str]:
        """Of the services that people can sign in with (core.elsewhere)."""
        found = {"google": GOOGLE, "github": GITHUB, "telegram": TELEGRAM, "oidc": self.oidc_issuer}
        return frozenset(issuer for name, issuer in found.items() if getattr(self, f"{name}_client_id"))

    @property
    def passkeys_on(self) -> bool:
        """Browsers have passkeys on https at a name, and at localhost (core.passkeys)."""
        return is_loopback(self.host) or (self.https and not is_ip(self.host))

    @property
    def secret_keys(self) -> list[str]:
        """The signing keys: the first signs, all verify (a list rotates)."""
        return [key.strip() for key in self.secret_key.get_secret_value().split(",")]

    @property
    def bot_token(self) -> str:
        return self.telegram_bot_token.get_secret_value()

    @property
    def bot_id(self) -> int | None:
        """The number before the colon of a token is its bot's."""
        number = self.bot_token.partition(":")[0]
        return int(number) if number.isdecimal() else None

    @property
    def sandbox_on(self) -> bool:
        """The built-in Bot API server stands in for Telegram; sales are test sales."""
        return self.sandbox and not self.bot_token

    @property
    def bot_on(self) -> bool:
        return bool(self.bot_token) or self.sandbox_on

    @property
    def telegram_here(self) -> bool:
        """This web process speaks to Telegram: it answers for the bot, sends what waits, or is the sandbox."""
        return self.run_jobs or self.sandbox_on or bool(self.bot_token and self.bot_mode in ("auto", "web"))

    @property
    def bot_api_url(self) -> str:
        if self.telegram_api_url:
            return self.telegram_api_url.rstrip("/")
        return f"{self.url}/sandbox" if self.sandbox_on else TELEGRAM_API

    @property
    def mail_on(self) -> bool:
        """Letters leave by themselves; else they wait on the outbox page for whoever runs the school."""
        return bool(self.smtp_url.get_secret_value())

    @property
    def mail_mark(self) -> str:
        """Tells the letters of this installation from those of others, in their Message-IDs."""
        return hmac.new(self.secret_keys[0].encode(), b"lyceum.mail", "sha256").hexdigest()[:12]

    @property
    def mail_server(self) -> "mail.Server":
        return mail.server_of(self.smtp_url.get_secret_value())

    @property
    def mail_sender(self) -> Address:
        return mail.sender_of(self.mail_from)

    @property
    def media_dir(self) -> Path:
        return self.data_dir / "media"


def is_sample(value: str) -> bool:
    """Whether a secret is one that documents show."""
    return value.strip().lower() in SAMPLES


def weak_key(key: str) -> bool:
    few = len(key.encode()) < KEY_BYTES or len(set(key)) < KEY_VARIETY
    return few or any(word in key.lower() for word in SAMPLE_WORDS)


def is_site(url: str) -> bool:
    """Scheme, host and perhaps a port; our pages stand at the root of a site."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    bare = not (parts.path.strip("/") or parts.query or parts.fragment or parts.username)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and bare and url.isprintable() and " " not in url


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 - compared, not bound
