"""Eighty spellings of addresses inside, given by an identity provider that has turned: nobody here knocks at them.

Every connection that is not to the provider itself is led to a canary, whatever name or number it asks for.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from backend.core.elsewhere import Provider, RefusedError, Trip, UnreachableError, providers
from backend.core.oauth import Elsewhere
from tests.conftest import Api, make_settings
from tests.crm.test_elsewhere import AWAY, browser, leave
from tests.figures import Figure
from tests.provider import CLIENT, SECRET, FakeProvider

# {port}: the canary's; {own}: host and port of the provider.
SPELLINGS = (
    # this machine, as four numbers and fewer, decimal, octal and hex
    "http://127.0.0.1:{port}/", "http://127.1:{port}/", "http://127.0.1:{port}/", "http://2130706433:{port}/",
    "http://0x7f000001:{port}/", "http://0x7f.0.0.1:{port}/", "http://0177.0.0.1:{port}/", "http://0x7f.1:{port}/",
    "http://017700000001:{port}/", "http://127.000.000.001:{port}/", "http://127.0.0.1.:{port}/", "http://0:{port}/",
    "http://0.0.0.0:{port}/", "http://0x0:{port}/", "http://127.127.127.127:{port}/", "http://127.255.255.254:{port}/",
    "https://127.0.0.1:{port}/", "http://127.0.0.1:0{port}/", "http://127.0.0.1:80/",
    # in IPv6, and IPv4 within it
    "http://[::1]:{port}/", "http://[::]:{port}/", "http://[0:0:0:0:0:0:0:1]:{port}/", "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/", "http://[0:0:0:0:0:ffff:7f00:1]:{port}/", "http://[::127.0.0.1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/", "http://[2002:7f00:1::]:{port}/", "http://[::1%25lo]:{port}/",
    "http://[fe80::1%25lo]:{port}/", "http://[fd00::1]:{port}/", "http://[::ffff:a9fe:a9fe]:{port}/",
    "https://[::1]:{port}/", "http://[::1", "http://[::1]x:{port}/",
    # by name; any name may mean this machine to whoever asks a second time
    "http://localhost:{port}/", "http://LOCALHOST:{port}/", "http://localhost.:{port}/",
    "http://localhost.localdomain:{port}/", "http://ip6-localhost:{port}/", "http://localtest.me:{port}/",
    "http://127.0.0.1.nip.io:{port}/", "https://rebind.example:{port}/", "http://metadata.google.internal/",
    "http://①②⑦.⓪.⓪.①:{port}/", "http://127。0。0。1:{port}/", "http://ｌｏｃａｌｈｏｓｔ:{port}/", "http://ⓛocalhost:{port}/",
    "http://%31%32%37.0.0.1:{port}/", "http://xn--fiqs8s:{port}/",
    # private networks, and what clouds tell their machines
    "http://10.0.0.1:{port}/", "http://172.16.0.1:{port}/", "http://192.168.0.1:{port}/", "http://100.64.0.1:{port}/",
    "http://169.254.169.254:{port}/latest/meta-data/", "http://2852039166:{port}/", "http://0xa9fea9fe:{port}/",
    "http://0251.0376.0251.0376:{port}/", "https://169.254.169.254:{port}/",
    # what one reader takes for the host and another one for something else
    "http://{own}@127.0.0.1:{port}/", "http://127.0.0.1:{port}@{own}/", "http://x:y@{own}@127.0.0.1:{port}/",
    "http://{own}\\@127.0.0.1:{port}/", "http://127.0.0.1:{port}\\@{own}/", "http:\\\\127.0.0.1:{port}/",
    "http://127.0.0.1:{port}#@{own}/", "http://127.0.0.1:{port}?@{own}/", "http://127.0.0.1:{port};@{own}/",
    "http://{own}.127.0.0.1:{port}/", "http://{own}\t@127.0.0.1:{port}/", "http://{own}\r\n.127.0.0.1:{port}/",
    "http://{own}\0.127.0.0.1:{port}/", "http://{own} @127.0.0.1:{port}/", "http:///127.0.0.1:{port}/",
    "http:127.0.0.1:{port}/", "//127.0.0.1:{port}/", "127.0.0.1:{port}", "///{own}@127.0.0.1:{port}/",
    "http://{own}%2f@127.0.0.1:{port}/", "http://{own}%00.127.0.0.1:{port}/", "http://127.0.0.1:{port}/{own}/",
    "http://{own}\n/", "\thttp://{own}/", "http://{own}/\t",
    # other ways in
    "HTTP://127.0.0.1:{port}/", "ws://127.0.0.1:{port}/", "ftp://127.0.0.1:{port}/", "gopher://127.0.0.1:{port}/_GET",
    "dict://127.0.0.1:{port}/", "file:///etc/passwd", "file://{own}/etc/passwd", "unix:///var/run/docker.sock",
    "jar:http://127.0.0.1:{port}/!/", "http+unix://%2Frun%2Fx/", "url:http://127.0.0.1:{port}/", "",
    # redirects are the provider's to answer, see below
)  # fmt: skip
ENDPOINTS = "authorization_endpoint", "token_endpoint", "jwks_uri"
DISCOVERY, TOKEN, KEYS = "/.well-known/openid-configuration", "/token", "/keys"
INSIDE = "spellings and redirects that lead to an address inside"
resolve = socket.getaddrinfo


@dataclass
class Canary:
    """Listens where nobody should come; what came is kept. `homes`: other ports of this machine, open to a test."""

    heard: list[bytes] = field(default_factory=list)
    homes: set[int] = field(default_factory=set)

    def __enter__(self) -> "Canary":
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)

    def _listen(self) -> None:
        with suppress(OSError):  # the end
            while True:
                wire, _peer = self._socket.accept()
                with wire, suppress(OSError):
                    wire.settimeout(5)
                    self.heard.append(wire.recv(1000))
                    wire.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")


@pytest.fixture
def canary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Canary]:
    with Canary() as bird:

        def led(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
            name = host.decode() if isinstance(host, bytes) else str(host)
            at_home = name == "127.0.0.1" and port in bird.homes
            return resolve(*(host, port) if at_home else ("127.0.0.1", bird.port), *rest, **more)

        monkeypatch.setattr(socket, "getaddrinfo", led)
        yield bird


@pytest.fixture(scope="module")
def running() -> Iterator[FakeProvider]:
    with FakeProvider() as provider:
        yield provider


@pytest.fixture
def turned(canary: Canary, running: FakeProvider) -> FakeProvider:
    """Honest until a test says otherwise."""
    for name, value in vars(FakeProvider()).items():
        setattr(running, name, value)
    canary.homes.add(running.server.server_port)
    return running


def speaker(provider: FakeProvider) -> Elsewhere:
    return Elsewhere(Provider("oidc", "School ID", provider.url, CLIENT, SECRET))


def travelled(provider: FakeProvider, there: Elsewhere) -> str:
    """How far a way there and back gets: "in", or the name of the error that ends it."""
    trip = Trip.to("http://127.0.0.1:8000/login/from/oidc")
    try:
        back = provider.visit(there.address(trip, "state"))
        there.identity(trip, dict(pair.split("=") for pair in urlsplit(back).query.split("&"))["code"])
    except (RefusedError, UnreachableError) as error:
        return type(error).__name__
    return "in"


def spelled(canary: Canary, provider: FakeProvider) -> list[str]:
    return [url.format(port=canary.port, own=urlsplit(provider.url).netloc) for url in SPELLINGS]


@pytest.mark.parametrize("step", [10, pytest.param(1, marks=pytest.mark.slow)])
def test_no_address_of_a_discovery_document_leads_inside(
    canary: Canary, turned: FakeProvider, step: int, figure: Figure
) -> None:
    """In daily runs every tenth pair is tried, all endpoints in turns; the rest is only asked for."""
    assert travelled(turned, speaker(turned)) == "in"
    urls = spelled(canary, turned)
    assert [url for url in urls if speaker(turned).provider.allows(url)] == []
    for number, url in enumerate(urls):
        for at, name in enumerate(ENDPOINTS):
            if (number * len(ENDPOINTS) + at) % step:
                continue
            turned.about = {name: url}
            assert travelled(turned, speaker(turned)) == "UnreachableError", (name, url)
            assert canary.heard == [], (name, url)
    figure("B16", INSIDE, len(canary.heard), "0", len(urls) * len(ENDPOINTS))


def test_the_canary_hears_whoever_is_careless(canary: Canary, turned: FakeProvider) -> None:
    """Nearly all of them lead a client that asks no questions to it."""
    assert len(SPELLINGS) >= 80
    reached = 0
    with httpx2.Client(trust_env=False, timeout=2, verify=False) as careless:
        for url in spelled(canary, turned):
            canary.heard.clear()
            with suppress(httpx2.HTTPError, httpx2.InvalidURL, ValueError):
                careless.get(url)
            reached += bool(canary.heard)
    assert reached >= 55


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", [DISCOVERY, TOKEN, KEYS])
def test_a_provider_that_sends_us_on_is_not_followed(
    canary: Canary, turned: FakeProvider, path: str, status: int, figure: Figure
) -> None:
    turned.moved, turned.moved_status = {path: f"http://127.0.0.1:{canary.port}/"}, status
    assert travelled(turned, speaker(turned)) in ("UnreachableError", "RefusedError")
    assert canary.heard == []
    figure("B16", INSIDE, len(canary.heard), "0", 1)


@pytest.mark.parametrize("keys", [["x", 7, None], [{"kty": "RSA"}], [{"kty": ["RSA"]}], 7, {"kty": "RSA"}, "abc", None])
def test_keys_that_are_none_let_nobody_in(turned: FakeProvider, keys: object) -> None:
    turned.about = {"jwks_uri": f"{turned.url}{DISCOVERY}", "keys": keys}
    assert travelled(turned, speaker(turned)) == "RefusedError"


def test_the_page_says_it_in_words(canary: Canary, turned: FakeProvider, app: FastAPI) -> None:
    given = {"oidc_name": "School ID", "oidc_issuer": turned.url, "oidc_client_id": CLIENT}
    secret = make_settings("sqlite://", Path(), oidc_client_secret=SECRET, **given).oidc_client_secret
    for name, value in {**given, "oidc_client_secret": secret}.items():
        object.__setattr__(app.state.settings, name, value)
    for about, moved in (
        ({"token_endpoint": "http://[::1"}, {}),
        ({"token_endpoint": f"{turned.url}/{'x' * 70_000}"}, {}),
        ({"jwks_uri": f"http://2130706433:{canary.port}/"}, {}),
        ({}, {KEYS: f"http://127.0.0.1:{canary.port}/"}),
    ):
        turned.about, turned.moved = about, moved
        app.state.__dict__.get("_state", {}).pop("elsewhere", None)
        visitor = browser(app)
        answer = visitor.get(turned.visit(leave(visitor)))
        assert (answer.status_code, "School ID is not responding" in answer.text) == (502, True), about
    turned.about, turned.moved = {"authorization_endpoint": "http://[::1"}, {}
    app.state.__dict__.get("_state", {}).pop("elsewhere", None)
    assert browser(app).post(AWAY).status_code == 502
    assert canary.heard == []


def test_a_name_that_comes_to_mean_this_machine_gets_no_request(canary: Canary) -> None:
    """Google's own names, led inside by whoever answers for names: what is here has no certificate of theirs."""
    given = make_settings("sqlite://", Path(), google_client_id="x", google_client_secret="x" * 20)
    google = providers(given)["google"]
    for host in google.hosts:
        with pytest.raises(UnreachableError):
            Elsewhere(google)._get(f"https://{host}/.well-known/openid-configuration")
    assert canary.heard
    assert {heard[:1] for heard in canary.heard} == {b"\x16"}  # the hello of TLS, and nothing behind it


def test_an_issuer_without_https_is_not_even_asked_about_itself(canary: Canary) -> None:
    there = Elsewhere(Provider("oidc", "School ID", f"http://id.example:{canary.port}", CLIENT, SECRET))
    with pytest.raises(UnreachableError, match="not the provider's"):
        there.address(Trip.to("http://127.0.0.1:8000/login/from/oidc"), "state")
    assert canary.heard == []


def test_no_text_of_the_school_is_looked_up(canary: Canary, api: Api, admin: TestClient) -> None:
    """Whatever authors write is for the eyes of students; the school itself goes nowhere."""
    url = f"http://127.0.0.1:{canary.port}/inner"
    words = f"![x]({url}) <img src={url}> {url}"
    lesson = {"title": url, "description": words, "text_content": words, "price": 0}
    made = api("lessons:write").post("/api/lessons/", json=lesson)
    assert made.status_code == 201, made.text
    for page in ("", "/edit"):
        assert admin.get(f"/dashboard/lessons/{made.json()['id']}{page}").status_code == 200
    assert admin.post("/dashboard/lessons/preview", data={"title": url, "text_content": words}).status_code == 200
    assert canary.heard == []
