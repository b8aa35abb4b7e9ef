"""Accounts elsewhere: the services that are set up, where requests to them may go, and what one way there is bound to.

core/oauth.py speaks to them: apart, because its libraries take 15 MB that a school without such services never needs.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from backend.core.config import GITHUB, GOOGLE, TELEGRAM, Settings
from backend.core.hosts import is_loopback

# What one reader of addresses skips and another one takes for the end of the host.
UNCLEAR = re.compile(r"[\x00-\x20\x7f\\@]")


class RefusedError(Exception):
    """The other service's answer is not to be believed; the words are for the log."""


class CancelledError(RefusedError):
    """The other service sent the person back without an answer."""


class UnreachableError(Exception):
    """The other service does not answer, or not as it should."""


@dataclass(frozen=True)
class Provider:
    """`hosts`: where requests may go, besides the issuer's own. `fixed`: endpoints of a service without discovery.

    `is_telegram`: it vouches for people by the number that the bot knows them by.
    """

    key: str
    name: str
    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str = "openid email profile"
    hosts: frozenset[str] = frozenset()
    fixed: Mapping[str, str] | None = None
    is_telegram: bool = False

    def allows(self, url: str) -> bool:
        """Whether it is an address of this provider, however it is spelled."""
        if UNCLEAR.search(url):
            return False
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
        return secure and (parts.netloc in self.hosts or parts.netloc == urlsplit(self.issuer).netloc)


@dataclass(frozen=True)
class Identity:
    """Who someone is elsewhere: `subject` never changes there; `name` is what that service shows, and only shown.

    `telegram_id`: as Telegram itself says it, None of everyone else.
    """

    issuer: str
    subject: str
    name: str
    telegram_id: int | None = None


@dataclass(frozen=True)
class Trip:
    """What one way there and back is bound to."""

    redirect_uri: str
    nonce: str
    verifier: str

    @classmethod
    def to(cls, redirect_uri: str) -> "Trip":
        return cls(redirect_uri, secrets.token_urlsafe(24), secrets.token_urlsafe(48))


def providers(settings: Settings) -> dict[str, Provider]:
    """Those that are configured, in the order of their buttons."""
    found: list[Provider] = []
    if settings.oidc_client_id:
        secret = settings.oidc_client_secret.get_secret_value()
        name = settings.oidc_name or urlsplit(settings.oidc_issuer).hostname or "OpenID Connect"
        found.append(Provider("oidc", name, settings.oidc_issuer, settings.oidc_client_id, secret))
    if settings.google_client_id:
        secret = settings.google_client_secret.get_secret_value()
        hosts = frozenset({"oauth2.googleapis.com", "www.googleapis.com", "accounts.google.com"})
        found.append(Provider("google", "Google", GOOGLE, settings.google_client_id, secret, hosts=hosts))
    if settings.github_client_id:
        secret = settings.github_client_secret.get_secret_value()
        endpoints = {
            "authorization_endpoint": f"{GITHUB}/login/oauth/authorize",
            "token_endpoint": f"{GITHUB}/login/oauth/access_token",
            "userinfo_endpoint": "https://api.github.com/user",
        }
        found.append(
            Provider(
                "github", "GitHub", GITHUB, settings.github_client_id, secret, "read:user",
                frozenset({"api.github.com"}), endpoints,
            )
        )  # fmt: skip
    if settings.telegram_client_id:
        secret = settings.telegram_client_secret.get_secret_value()
        about = "telegram", "Telegram", TELEGRAM, settings.telegram_client_id, secret, "openid profile"
        found.append(Provider(*about, is_telegram=True))
    return {provider.key: provider for provider in found}
