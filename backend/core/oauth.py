"""OAuth 2 and OpenID Connect with PKCE. What another service says is checked before it is believed.

Requests go to the hosts of the provider alone, over https, follow no redirect, and take 10 seconds at most.
"""

import threading
import time
from collections.abc import Mapping
from typing import Any

import httpx2
from authlib.integrations.httpx_client import OAuth2Client, OAuthError
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from backend.core import clock
from backend.core.config import GITHUB
from backend.core.elsewhere import Identity, Provider, RefusedError, Trip, UnreachableError
from backend.database.schemas.base import MAX_ID

# Of public keys alone: "none" and HS256, whose key would be one that everybody knows, are not among them.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
PUBLIC_KEYS = frozenset({"RSA", "EC", "OKP"})
TIMEOUT = httpx2.Timeout(10, connect=3)
LONGEST_ANSWER = 500_000  # bytes
# An address that is too long, no answer, or one that is no JSON.
FAILED = (httpx2.HTTPError, httpx2.InvalidURL, ValueError)
FRESH_SECONDS = 3600.0
LEEWAY_SECONDS = 60


class Elsewhere:
    """Speaks to one provider. What it publishes about itself is kept for an hour."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._kept: dict[str, tuple[float, dict[str, Any]]] = {}
        self._lock = threading.Lock()

    def address(self, trip: Trip, state: str) -> str:
        """Where the browser goes to say who it is. Raises UnreachableError."""
        endpoint = self._endpoint("authorization_endpoint")
        with self._client(trip) as client:
            extra = {} if self.provider.fixed else {"nonce": trip.nonce}
            url, _state = client.create_authorization_url(endpoint, state=state, code_verifier=trip.verifier, **extra)
        return str(url)

    def check_issuer(self, given: str | None) -> None:
        """The answer names who gives it (RFC 9207), when that service does so. Raises RefusedError."""
        if given is not None:
            own = given == self.provider.issuer or (self.provider.fixed and given == f"{GITHUB}/login/oauth")
            if not own:
                raise RefusedError("the answer is another provider's")
        elif self._about().get("authorization_response_iss_parameter_supported"):
            raise RefusedError("the answer does not say whose it is")

    def identity(self, trip: Trip, code: str) -> Identity:
        """Who came back with this code. Raises RefusedError, UnreachableError."""
        token = self._token(trip, code)
        if self.provider.fixed:
            return self._from_userinfo(str(token.get("access_token", "")))
        return self._from_id_token(trip, token)

    def _token(self, trip: Trip, code: str) -> Mapping[str, Any]:
        endpoint = self._endpoint("token_endpoint")
        try:
            with self._client(trip) as client:
                found: Mapping[str, Any] = client.fetch_token(
                    endpoint,
                    code=code,
                    code_verifier=trip.verifier,
                    grant_type="authorization_code",
                    headers={"Accept": "application/json"},
                )
        except OAuthError as error:
            raise RefusedError(f"the code does not work: {error.error}") from error
        except FAILED as error:
            raise UnreachableError(type(error).__name__) from error
        return found

    def _from_id_token(self, trip: Trip, token: Mapping[str, Any]) -> Identity:
        try:
            claims = self._claims(trip, token)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise RefusedError(f"the ID token does not hold: {error}"[:200]) from error
        name = claims.get("email") or claims.get("preferred_username") or claims.get("name") or ""
        number = claims.get("id") if self.provider.is_telegram else None
        # A number alone is one: "42", 42.0 and True are not what Telegram says.
        telegram_id = number if type(number) is int and 0 < number <= MAX_ID else None
        return Identity(self.provider.issuer, str(claims["sub"])[:255], str(name)[:255], telegram_id)

    def _claims(self, trip: Trip, token: Mapping[str, Any]) -> Mapping[str, Any]:
        text = str(token["id_token"])
        try:
            read = jwt.decode(text, self._keys(), algorithms=ALGORITHMS)
        except JoseError:  # perhaps a new key
            read = jwt.decode(text, self._keys(anew=True), algorithms=ALGORITHMS)
        options = {
            "iss": {"essential": True, "value": self.provider.issuer},
            "aud": {"essential": True, "value": self.provider.client_id},
            "sub": {"essential": True},
            "exp": {"essential": True},
            "nonce": {"essential": True, "value": trip.nonce},
        }
        params = {"nonce": trip.nonce, "client_id": self.provider.client_id, "access_token": token.get("access_token")}
        claims = CodeIDToken(read.claims, read.header, options=options, params=params)
        claims.validate(now=int(clock.now().timestamp()), leeway=LEEWAY_SECONDS)
        found: Mapping[str, Any] = claims
        return found

    def _from_userinfo(self, access_token: str) -> Identity:
        headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
        found = self._get(self._endpoint("userinfo_endpoint"), headers)
        if type(found.get("id")) is not int:
            raise RefusedError("the answer names nobody")
        return Identity(self.provider.issuer, str(found["id"]), str(found.get("login") or "")[:255])

    def _endpoint(self, name: str) -> str:
        url = str((self.provider.fixed or self._about()).get(name, ""))
        if not self.provider.allows(url):
            raise UnreachableError(f"{name} is not at the provider")
        return url

    def _about(self) -> Mapping[str, Any]:
        if self.provider.fixed:
            return self.provider.fixed
        about = self._published(f"{self.provider.issuer.rstrip('/')}/.well-known/openid-configuration")
        if about.get("issuer") != self.provider.issuer:
            raise UnreachableError("the provider calls itself something else than OIDC_ISSUER")
        return about

    def _keys(self, *, anew: bool = False) -> KeySet:
        keys = self._published(self._endpoint("jwks_uri"), anew=anew).get("keys", [])
        public = [key for key in keys if isinstance(key, dict) and key.get("kty") in PUBLIC_KEYS]
        return KeySet.import_key_set({"keys": public})

    def _published(self, url: str, *, anew: bool = False) -> dict[str, Any]:
        now = time.monotonic()
        with self._lock:
            kept = self._kept.get(url)
        if kept is not None and not anew and kept[0] > now - FRESH_SECONDS:
            return kept[1]
        found = self._get(url)
        with self._lock:
            self._kept[url] = now, found
        return found

    def _get(self, url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        if not self.provider.allows(url):
            raise UnreachableError("this address is not the provider's")
        try:
            with httpx2.Client(timeout=TIMEOUT, follow_redirects=False, trust_env=False) as client:
                answer = client.get(url, headers=dict(headers or {}))
            if answer.status_code != httpx2.codes.OK or len(answer.content) > LONGEST_ANSWER:
                raise UnreachableError(f"answered {answer.status_code}")
            found = answer.json()
        except FAILED as error:
            raise UnreachableError(type(error).__name__) from error
        if not isinstance(found, dict):
            raise UnreachableError("answered with something else")
        return found

    def _client(self, trip: Trip) -> Any:
        return OAuth2Client(
            self.provider.client_id,
            self.provider.client_secret,
            scope=self.provider.scope,
            redirect_uri=trip.redirect_uri,
            code_challenge_method="S256",
            timeout=TIMEOUT,
            follow_redirects=False,
            trust_env=False,
        )
