"""Whatever a stranger writes into an address or a header: where it may lead, and what every answer carries."""

import re
from urllib.parse import urljoin, urlsplit

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session
from starlette.routing import Route

from backend.core.links import local_path
from backend.core.static import assets
from backend.sandbox.server import BotApi
from backend.sandbox.student_api import StudentApi
from tests.access import API, PAGES, everything
from tests.conftest import Api
from tests.doors import BASE, HEADERS, browser, program
from tests.figures import Figure
from tests.routes import OUTSIDE

HOST = "127.0.0.1:8000"
HOSTS = [
    "evil.example", "evil.example:8000", "127.0.0.1.evil.example", "127.0.0.1:8000.evil.example",
    "localhost.evil.example", "evil.example:127.0.0.1", "127.0.0.1@evil.example", "evil.example#127.0.0.1",
    "evil.example/127.0.0.1", "127.0.0.1,x.y", "", " ", "a b", "[::1", "[::1]evil.example", "10.0.0.1",
    "169.254.169.254", "0.0.0.0", "testserver", "xn--e1afmkfd",
]  # fmt: skip
FOREIGN = [
    "//evil.example", "///evil.example", "////evil.example", "https://evil.example", "http://evil.example/",
    "http:evil.example", "http:/evil.example", "https:///evil.example", "HTTPS://evil.example",
    "//evil.example@127.0.0.1:8000", "ftp://evil.example", "//127.0.0.1:8000@evil.example", "//evil.example:80/",
    "//evil.example/%2e%2e", "//[::1]", "//0x7f.1", "//evil%E3%80%82example", "/\\evil.example", "\\/evil.example",
    "\\\\evil.example", "/\\/evil.example", "\\evil.example", "/ok\\..\\..\\evil", "/a\\b", "/\t/evil.example",
    "/\n/evil.example", "/\r/evil.example", "\t//evil.example", "\n//evil.example", " //evil.example",
    "/\x00/evil.example", "\x00//evil.example", "/\x7f/evil.example", "/\u2028/evil.example", "/\u2029/evil",
    "/\u200b/evil.example", "/\ufeff/evil.example", "/\u202e/evil", "/\x0b/evil.example", "/\x0c/evil.example",
    "/\x1f/evil.example", "/\ud800", "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\nscript:alert(1)",
    "data:text/html,x", "vbscript:x", "blob:x", "file:///etc/passwd", "mailto:x@evil.example", "tg://resolve",
    "evil.example", "@evil.example", ".evil.example", ":80", "?next=//evil.example", "#//evil.example",
    "%2f%2fevil.example", "%2Fevil.example", "%5cevil.example", "..//evil.example", "./", "x", "-", "*",
]  # fmt: skip


def test_no_spelling_of_next_leads_away(app: FastAPI, admin: TestClient, figure: Figure) -> None:
    assert len(set(FOREIGN)) >= 60
    assert {local_path(target) for target in FOREIGN} == {"/dashboard/"}
    for target in FOREIGN:
        if not target.isascii() and "\ud800" in target:
            continue  # no client can send it
        answer = admin.get("/login", params={"next": target})
        assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/"), target
        assert urlsplit(urljoin(f"{BASE}/login", answer.headers["location"])).netloc == urlsplit(BASE).netloc
    page = browser(app).get("/login", params={"next": FOREIGN[0]})
    assert 'name="next" value="/dashboard/"' in page.text
    figure("B16", "spellings of next= that lead away", 0, "0", len(FOREIGN))


def test_no_route_answers_under_a_foreign_name(app: FastAPI, db: Session, figure: Figure) -> None:
    ids, client = everything(db), program(app)
    for at, rule in enumerate((*API, *PAGES)):
        host = HOSTS[at % len(HOSTS)]
        forwarded = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example", "Host": host}
        answer = client.request(rule.method, rule.address(ids), headers=forwarded)
        assert answer.status_code == 400, (rule.name, host)
        assert "evil" not in answer.text, rule.name
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, rule.name
    figure("B16", "routes that answer under a foreign name", 0, "0", len(API) + len(PAGES))


def beyond(app: FastAPI) -> list[tuple[str, str]]:
    """Method and address of all that has no policy, what is mounted included."""
    hub = app.state.sandbox.hub
    mounted = [route for route in (*StudentApi(hub).routes(), *BotApi(hub).routes()) if isinstance(route, Route)]
    found = [(method, f"/sandbox{route.path}") for route in mounted for method in {*(route.methods or ())} - {"HEAD"}]
    found += [(method, path.split()[1]) for path in OUTSIDE for method in ("GET", "POST")]
    found += [("GET", "/static/nothing.css"), ("GET", assets.url("mark.svg")), ("GET", "/sandbox/nothing")]
    return [(method, re.sub(r"{\w+(:\w+)?}", "1", path)) for method, path in found]


def test_what_has_no_policy_is_dressed_and_answers_no_foreign_name_either(whole: FastAPI) -> None:
    seen = set()
    with TestClient(whole, base_url=BASE, follow_redirects=False, client=("127.0.0.1", 50000)) as client:
        for at, (method, path) in enumerate(beyond(whole)):
            answer, other = (client.request(method, path, headers={"Host": host}) for host in (HOST, HOSTS[at % 20]))
            assert (other.status_code, "evil" in other.text) == (400, False), (method, path)
            for each in (answer, other):
                assert {name: each.headers.get(name) for name in HEADERS} == HEADERS, (method, path)
                file = "/static/" in path and each.status_code == 200
                assert each.headers["cache-control"] == ("public, max-age=31536000, immutable" if file else "no-store")
            seen.add(answer.status_code)
    assert seen == {200, 303, 401, 403, 404, 405}


def test_every_refusal_of_every_route_is_dressed(app: FastAPI, db: Session, api: Api, figure: Figure) -> None:
    """Nobody's request, and a token's with a body that fits nothing: 303, 401, 403, 404, 405, 415, 422."""
    ids, seen = everything(db), set()
    wrong = {"Content-Type": "application/json", "X-Forwarded-Host": "evil.example"}
    token = api("bot", *(scope for rule in API for scope in rule.scopes if ":" in scope))
    asked = [(program(app), rule.method, rule) for rule in (*API, *PAGES)]
    asked += [(token, rule.method, rule) for rule in API] + [(token, "PATCH", rule) for rule in (*API, *PAGES)[::20]]
    for client, method, rule in asked:
        answer = client.request(method, rule.address(ids), content=b"[", headers=wrong)
        seen.add(answer.status_code)
        found = {name: answer.headers.get(name) for name in HEADERS}
        assert found == HEADERS or rule.path in ("/docs", "/redoc"), (rule.name, answer.status_code)
        assert answer.headers["cache-control"] == "no-store", rule.name
        assert "evil" not in answer.headers.get("location", ""), rule.name
        assert "server" not in answer.headers, rule.name
    assert {303, 401, 403, 404, 405, 422} <= seen
    figure("B17", "refusals without the right headers", 0, "0", len(asked))
