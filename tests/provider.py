"""An identity provider over real HTTP: honest by default, and as dishonest as a test tells it to be."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

CLIENT, SECRET = "school", "client-secret-of-the-school-0123456789"
Claims = dict[str, Any]


@dataclass
class FakeProvider:
    """`claims` changes the ID token before it is signed, `sign` signs it otherwise, `answer` what comes back; `moved`
    redirects.
    """

    person: Claims = field(default_factory=lambda: {"sub": "42", "email": "anna@elsewhere.example"})
    claims: Callable[[Claims], Claims] = lambda claims: claims
    sign: str = "RS256"
    answer: Callable[[dict[str, str]], dict[str, str]] = lambda answer: answer
    check_verifier: bool = True
    about: Claims = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)  # what lies elsewhere, by path
    moved_status: int = 302
    user: object = None  # what /user says to whoever holds an access token of here, as GitHub does
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)  # Authorization headers that work
    asked: list[str] = field(default_factory=list)

    def __enter__(self) -> "FakeProvider":
        self.key = RSAKey.generate_key(2048, {"kid": "one"})
        handler = type("Handler", (Handler,), {"provider": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def visit(self, url: str) -> str:
        """A person signs in here: where the browser is sent back to, path and query."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        answer = self.answer({"code": code, "state": asked["state"], "iss": self.url})
        return f"{urlsplit(asked['redirect_uri']).path}?{urlencode(answer)}"

    def token(self, given: dict[str, str]) -> tuple[int, Claims]:
        asked = self.codes.pop(given.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(given.get("code_verifier", "").encode()).digest())
        right = asked is not None and (
            given["redirect_uri"] == asked["redirect_uri"]
            and (not self.check_verifier or challenge.decode().rstrip("=") == asked["code_challenge"])
        )
        if asked is None or not right:
            return 400, {"error": "invalid_grant"}
        access = secrets.token_urlsafe(16)
        self.given.add(f"Bearer {access}")
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked.get("nonce")}
        claims |= {**self.person, "at_hash": _half(access)}
        return 200, {"access_token": access, "token_type": "Bearer", "id_token": self.signed(self.claims(claims))}

    def signed(self, claims: Claims) -> str:
        if self.sign == "none":
            parts = ({"alg": "none"}, claims)
            return ".".join(_encoded(json.dumps(part).encode()) for part in parts) + "."
        if self.sign == "RS256":
            return jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key)
        if self.sign == "stranger":
            return jwt.encode({"alg": "RS256", "kid": "one"}, claims, RSAKey.generate_key(2048))
        secret = self.key.as_pem(private=False) if self.sign == "HS256 public key" else SECRET.encode()
        header, body = (_encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "kid": "one"}, claims))
        mac = OctKey.import_key(secret) if self.sign == "HS256 secret" else None
        if mac is not None:
            return jwt.encode({"alg": "HS256", "kid": "one"}, claims, mac)
        import hmac

        signature = hmac.new(secret, f"{header}.{body}".encode(), hashlib.sha256).digest()
        return f"{header}.{body}.{_encoded(signature)}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _half(token: str) -> str:
    return _encoded(hashlib.sha256(token.encode()).digest()[:16])


class Handler(BaseHTTPRequestHandler):
    provider: FakeProvider

    def do_GET(self) -> None:
        own = self.provider
        own.asked.append(self.path)
        if self.path in own.moved:
            self.say(own.moved_status, {}, own.moved[self.path])
        elif self.path == "/keys":
            self.say(200, {"keys": [{**own.key.as_dict(private=False), "kid": "one"}]})
        elif self.path == "/.well-known/openid-configuration":
            endpoints = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
            about = {"issuer": own.url, **{name: f"{own.url}/{path}" for name, path in endpoints.items()}}
            self.say(200, {**about, "authorization_response_iss_parameter_supported": True, **own.about})
        elif self.path == "/user" and self.headers["authorization"] in own.given:
            self.say(200, own.user)
        else:
            self.say(404, {})

    def do_POST(self) -> None:
        self.provider.asked.append(self.path)
        sent = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        if self.path in self.provider.moved:
            self.say(self.provider.moved_status, {}, self.provider.moved[self.path])
            return
        self.say(*self.provider.token({name: values[0] for name, values in sent.items()}))

    def say(self, status: int, body: object, location: str = "") -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_arguments: object) -> None: ...
