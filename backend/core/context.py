"""Who asks and through what: plain values that every layer may hold."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Door(StrEnum):
    """Through what a change came in; stored with every change set."""

    WEB = "web"
    API = "api"
    BOT = "bot"
    CLI = "cli"
    JOB = "job"
    DEMO = "demo"


@dataclass(frozen=True)
class Principal:
    """A person or a token, as the request that carries it sees it."""

    kind: str = "anonymous"  # "anonymous" | "session" | "jwt" | "token"
    user_id: int | None = None
    name: str = ""
    login: str = ""
    role: str = ""
    permissions: frozenset[str] = field(default_factory=frozenset)
    language: str = "en"  # resolved: "ru" | "en"
    theme: str = "auto"  # "auto" | "light" | "dark"
    timezone: str = "UTC"
    single_keys: bool = True  # keys without Ctrl do something
    csrf_token: str = ""
    session_id: int | None = None
    remembered: bool = False  # signed in for a month on this device
    token_id: int | None = None
    has_views: bool = False  # own or shared saved views, of any list
    has_factor: bool = False  # an authenticator app or a passkey
    confirmed_at: datetime | None = None  # when the person last proved who they are
    strong_at: datetime | None = None  # and when by their second factor
    impersonator_id: int | None = None  # who looks through this person's eyes
    impersonator: str = ""  # their name
    read_only: bool = False  # looking through someone's eyes, without touching anything

    @property
    def signed_in(self) -> bool:
        return self.kind != "anonymous"

    def may(self, permission: str) -> bool:
        return permission in self.permissions


@dataclass(frozen=True)
class Actor:
    """Whom the history names for what is written now."""

    door: Door
    user_id: int | None = None
    token_id: int | None = None
    ip: str | None = None
    request_id: str | None = None
    impersonator_id: int | None = None


ANONYMOUS = Principal()
request_id_var: ContextVar[str] = ContextVar("request_id", default="")
