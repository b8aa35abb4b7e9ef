"""What every response carries, whatever became of the request."""

import asyncio
import json
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError

from backend.core import templating
from backend.core.deps import Routes, public
from backend.core.static import assets
from main import create_app
from tests.conftest import make_settings
from tests.doors import BASE, HEADERS, browser, program, sign_in

FAILURES: dict[str, tuple[Exception, int, str]] = {
    "crash": (ZeroDivisionError("secret"), 500, "internal"),
    "stale": (StaleDataError(), 409, "stale"),
    "constraint": (IntegrityError("x", {}, Exception()), 409, "conflict"),
    "data": (DataError("x", {}, Exception()), 422, "validation"),
    "overflow": (OverflowError(), 422, "validation"),
    "unicode": (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogate"), 422, "validation"),
    "database": (OperationalError("x", {}, Exception("disk is full")), 503, "unavailable"),
    "pool": (PoolTimeoutError(), 503, "unavailable"),
    "lost": (DBAPIError("x", {}, Exception(), connection_invalidated=True), 503, "unavailable"),
}


@pytest.fixture
def broken(app: FastAPI) -> FastAPI:
    """The real app with routes that fail, and one that never ends."""
    api = Routes(prefix="/api/broken", dependencies=[public])
    crm = Routes(prefix="/broken", dependencies=[public])

    def fail(kind: str) -> object:
        raise FAILURES[kind][0]

    async def drip() -> Any:
        while True:
            yield b"."
            await asyncio.sleep(0)

    def stream() -> StreamingResponse:
        return StreamingResponse(drip(), media_type="text/plain")

    api.get("/{kind}")(fail)
    crm.get("/stream")(stream)
    crm.get("/{kind}")(fail)
    app.include_router(api)
    app.include_router(crm)
    return app


REQUESTS = [
    ("GET", "/", 303), ("GET", "/login", 200), ("GET", "/dashboard/settings/", 303), ("GET", "/nowhere", 404),
    ("GET", "/api/nowhere", 404), ("GET", "/api/auth/me", 401), ("PATCH", "/login", 405), ("OPTIONS", "/login", 405),
    ("TRACE", "/login", 405), ("POST", "/auth/login", 415), ("POST", "/login", 403), ("GET", "/static/none.css", 404),
    ("GET", "/static", 404), ("POST", assets.url("mark.svg"), 405), ("GET", assets.url("mark.svg"), 200),
    ("GET", "/health", 200), ("GET", "/docs", 200), ("GET", "/openapi.json", 200), ("GET", "/broken/crash", 500),
    ("GET", "/api/broken/crash", 500), ("GET", "/api/broken/database", 503), ("HEAD", "/login", 200),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "status"), REQUESTS)
def test_every_answer_is_dressed(broken: FastAPI, method: str, path: str, status: int) -> None:
    answer = program(broken).request(method, path)
    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert len(answer.headers["x-request-id"]) == 32
    assert "server" not in answer.headers
    assert "strict-transport-security" not in answer.headers
    public_file = path.startswith("/static/") and status == 200
    assert answer.headers["cache-control"] == ("public, max-age=31536000, immutable" if public_file else "no-store")
    if not path.startswith("/static/"):
        assert {"Cookie", "HX-Request"} <= set(answer.headers["vary"].split(", "))


@pytest.mark.parametrize("path", ["/login", "/auth/login", "/nowhere", "/api/nowhere"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_a_megabyte_is_refused_in_our_words(app: FastAPI, path: str, chunked: bool) -> None:
    body = b"x" * 1_000_001
    content = iter([body[:600_000], body[600_000:]]) if chunked else body
    answer = browser(app).post(path, content=content, headers={"Content-Type": "application/x-www-form-urlencoded"})
    expected = {404, 413} if chunked and "nowhere" in path else {413}
    assert answer.status_code in expected
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    if answer.status_code == 413:
        assert "Content Too Large" not in answer.text
        assert "This is too large to accept." in answer.text


def test_a_megabyte_is_read(app: FastAPI) -> None:
    answer = program(app).post("/auth/login", content=b" " * 999_000, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


@pytest.mark.parametrize("length", ["abc", "-1", "1e3", "", "+5", "0x10", "9" * 16, "\u00b2", "1 "])
def test_a_length_that_is_no_number_is_refused(app: FastAPI, length: str) -> None:
    answer = program(app).post("/auth/login", content=b"{}", headers={"Content-Length": length.encode("latin-1")})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200), ("127.0.0.1", 200), ("localhost:9000", 200), ("LOCALHOST", 200), ("[::1]:8000", 200),
        ("[::1]", 200), ("127.1.2.3", 200), ("evil.example", 400), ("127.0.0.1.evil.example", 400), ("", 400),
        ("localhost.evil.example:8000", 400), ("evil.example:127.0.0.1", 400), ("127.0.0.1@evil.example", 400),
        ("[::1", 400), ("testserver", 400), ("localhost,evil.example", 400), ("10.0.0.1", 400), ("a b", 400),
    ],
)  # fmt: skip
def test_only_our_own_names_are_answered(app: FastAPI, host: str, status: int) -> None:
    for path in ("/login", "/health", "/nowhere/"):
        answer = program(app).get(path, headers={"Host": host})
        assert answer.status_code == (404 if path == "/nowhere/" and status == 200 else status), path
        assert host not in answer.text if "evil" in host else True


def test_the_public_name_is_ours_and_the_machines_own_too(database_url: str, tmp_path: Any) -> None:
    app = create_app(make_settings(database_url, tmp_path, base_url="https://school.example"))
    client = TestClient(app, base_url="https://school.example")
    assert client.get("/health").headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert client.get("/health", headers={"Host": "SCHOOL.example:443"}).status_code == 200
    assert client.get("/health", headers={"Host": "127.0.0.1:8000"}).status_code == 200
    assert client.get("/health", headers={"Host": "www.school.example"}).status_code == 400
    app.state.database.dispose()


def test_head_is_get_without_the_body(broken: FastAPI) -> None:
    client = browser(broken)
    sign_in(client)
    for path in (
        "/login",
        "/dashboard/settings/",
        "/health",
        "/docs",
        assets.url("mark.svg"),
        "/nowhere",
        "/broken/crash",
    ):
        got, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert abs(int(head.headers["content-length"]) - int(got.headers["content-length"])) < 300, path
        assert head.headers.get("content-type") == got.headers.get("content-type")


def test_head_of_an_endless_answer_ends(broken: FastAPI) -> None:
    answer = program(broken).head("/broken/stream")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_request_id_is_kept_when_it_is_one(app: FastAPI) -> None:
    client = program(app)
    for good in ("12345678", "a" * 64, "req-1.2_3-xyz"):
        assert client.get("/health", headers={"X-Request-ID": good}).headers["x-request-id"] == good
    for bad in ("short", "a" * 65, "with space 123", "<script>alert(1)</script>", "new\tline123"):
        assert client.get("/health", headers={"X-Request-ID": bad}).headers["x-request-id"] != bad


@pytest.mark.parametrize("kind", FAILURES)
def test_failures_are_told_to_programs_and_to_people(broken: FastAPI, kind: str) -> None:
    _error, status, code = FAILURES[kind]
    answer = program(broken).get(f"/api/broken/{kind}")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert error["request_id"] == answer.headers["x-request-id"]
    page = browser(broken).get(f"/broken/{kind}")
    assert page.status_code == status
    assert page.headers["x-request-id"] in page.text
    assert "secret" not in page.text + answer.text
    assert "Traceback" not in page.text + answer.text
    assert ("retry-after" in answer.headers) == (status == 503)


def test_a_swap_gets_a_toast(broken: FastAPI) -> None:
    headers = {"HX-Request": "true", "HX-Request-Type": "partial"}
    answer = browser(broken).get("/broken/stale", headers=headers)
    assert answer.status_code == 409
    assert 'hx-target="#toasts"' in answer.text
    assert "<html" not in answer.text


def test_even_a_broken_error_page_is_an_answer(broken: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_args: object, **_named: object) -> None:
        raise RuntimeError("the template is broken too")

    monkeypatch.setattr(templating.env, "get_template", explode)
    answer = program(broken).get("/broken/crash")
    assert (answer.status_code, answer.text) == (500, "Something went wrong on our side.")
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


def test_an_answer_that_breaks_half_way_is_not_answered_twice(app: FastAPI) -> None:
    crm = Routes(prefix="/half", dependencies=[public])

    async def half() -> Any:
        yield b"half"
        raise RuntimeError("broke")

    crm.get("/")(lambda: StreamingResponse(half(), media_type="text/plain"))
    app.include_router(crm)
    client = TestClient(app, base_url=BASE, raise_server_exceptions=False)
    with pytest.raises(RuntimeError, match="broke"):
        program(app).get("/half/")
    assert client.get("/half/").status_code == 200


def test_the_language_follows_the_cookie_then_the_browser(app: FastAPI) -> None:
    client = program(app)
    assert '<html lang="en"' in client.get("/login").text
    assert '<html lang="ru"' in client.get("/login", headers={"Accept-Language": "ru,en;q=0.5"}).text
    client.cookies.set("lyceum_language", "ru")
    assert '<html lang="ru"' in client.get("/login").text
    client.cookies.set("lyceum_language", "xx")
    assert '<html lang="en"' in client.get("/login").text


def test_someone_who_leaves_is_counted_as_gone(app: FastAPI) -> None:
    crm = Routes(prefix="/slow", dependencies=[public])

    async def wait() -> None:
        await asyncio.sleep(60)

    from fastapi import Depends

    crm.get("/", dependencies=[Depends(wait)])(lambda: None)
    app.include_router(crm)

    async def leave() -> None:
        headers = [(b"host", b"localhost")]
        scope = {
            "type": "http", "method": "GET", "path": "/slow/", "raw_path": b"/slow/", "query_string": b"",
            "headers": headers, "client": ("127.0.0.1", 1), "server": ("localhost", 80), "scheme": "http",
            "http_version": "1.1", "asgi": {"version": "3.0"}, "root_path": "",
        }  # fmt: skip

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(_message: Any) -> None:
            raise AssertionError("nothing is sent")

        task = asyncio.create_task(app(scope, receive, send))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    text = app.state.metrics.render().decode()
    assert 'lyceum_http_requests_total{method="GET",route="/slow/",status="499"} 1.0' in text


def test_what_is_no_http_passes_by(app: FastAPI) -> None:
    with TestClient(app, base_url=BASE) as client:  # the lifespan protocol
        assert client.get("/health").json() == {"status": "ok"}


def test_error_bodies_are_the_contract(app: FastAPI) -> None:
    body = json.loads(program(app).get("/api/nowhere").text)
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "request_id"}
