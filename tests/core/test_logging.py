"""One JSON line an event, and no secret in any of them, nor in an error, a metric or the database."""

import json
import logging.config
from datetime import timedelta
from typing import Any

import pytest
import structlog
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from uvicorn.config import LOGGING_CONFIG

from backend.core import logging as ours
from backend.core.deps import Routes, public
from backend.database.base import Base
from backend.database.crud.auth import SIGN_IN, OneTimeTokenCRUD
from backend.database.models.users import User
from tests.access import PAGES, Rule
from tests.conftest import PASSWORD, SECRET
from tests.doors import CHOSEN, ask_tokens, bearer, browser, make_link, program, sign_in, token_of
from tests.figures import Figure

BOT_TOKEN = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"


def lines(capture: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capture.readouterr().err.splitlines()]


@pytest.fixture
def quiet(capsys: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    ours.configure()
    capsys.readouterr()
    return capsys


def test_an_event_is_one_line_of_json(quiet: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger().info("something", note="two\nlines \u2028 and a школа", number=3)
    [line] = lines(quiet)
    assert (line["event"], line["note"], line["number"]) == ("something", "two\nlines \u2028 and a школа", 3)
    assert (line["level"], line["timestamp"][-1]) == ("info", "Z")


def test_libraries_speak_the_same_way_once(quiet: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(LOGGING_CONFIG)  # what `uvicorn main:app` does before it loads the app
    ours.configure()
    logging.getLogger("uvicorn.access").info("GET /enter/secret")
    logging.getLogger("uvicorn.error").warning("slow %s", "disk")
    logging.getLogger("httpx").info("POST https://api.telegram.org/bot%s/getMe", BOT_TOKEN)
    [line] = lines(quiet)
    assert (line["event"], line["logger"], line["level"]) == ("slow disk", "uvicorn.error", "warning")


@pytest.mark.parametrize(
    ("named", "shown"),
    [
        ({"password": "x"}, {"password": "***"}),
        ({"new_Token": "x"}, {"new_Token": "***"}),
        ({"headers": {"Cookie": "x", "Accept": "y"}}, {"headers": {"Cookie": "***", "Accept": "y"}}),
        ({"token_id": 3}, {"token_id": 3}),
        ({"url": "postgresql://u:hunter2@db/x"}, {"url": "postgresql://***@db/x"}),
        ({"note": f"at https://t/bot{BOT_TOKEN}/x"}, {"note": "at https://t/bot***/x"}),
        ({"note": "lyc_" + "a" * 43}, {"note": "***"}),
        ({"note": "eyJhbGciOiJI.eyJpc3MiOiJs.x2n4TFaRq"}, {"note": "***"}),
        ({"note": "http://127.0.0.1:8000/x"}, {"note": "http://127.0.0.1:8000/x"}),
    ],
)
def test_secrets_are_masked_by_name_and_by_look(
    quiet: pytest.CaptureFixture[str], named: dict[str, Any], shown: dict[str, Any]
) -> None:
    structlog.get_logger().info("something", **named)
    [line] = lines(quiet)
    assert {name: line[name] for name in shown} == shown


def test_a_traceback_shows_where_and_no_values(quiet: pytest.CaptureFixture[str]) -> None:
    def fail(password: str) -> None:
        raise ValueError("broken")

    try:
        fail("hunter2-canary")
    except ValueError:
        structlog.get_logger().exception("failed")
    [line] = lines(quiet)
    assert line["exception"][0]["exc_type"] == "ValueError"
    assert "hunter2-canary" not in json.dumps(line)


def test_a_stderr_that_is_gone_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    class Gone:
        def write(self, *text: str) -> None:
            tried.extend(text)
            raise BrokenPipeError

        flush = write

    ours.configure()
    monkeypatch.setattr("sys.stderr", Gone())
    structlog.get_logger().info("unheard")
    assert "unheard" in "".join(tried)


def test_debug_says_more(capsys: pytest.CaptureFixture[str]) -> None:
    ours.configure(debug=True)
    structlog.get_logger("fresh").debug("detail")
    assert [line["event"] for line in lines(capsys)] == ["detail"]
    ours.configure()


# -- canaries


@pytest.fixture
def failing(app: FastAPI) -> FastAPI:
    api = Routes(prefix="/api/failing", dependencies=[public])

    @api.post("/")
    def fail() -> object:
        raise RuntimeError("broken on purpose")

    app.include_router(api)
    return app


def test_no_secret_of_a_request_reaches_logs_errors_metrics_or_the_database(
    failing: FastAPI, db: Session, capfd: pytest.CaptureFixture[str], figure: Figure
) -> None:
    canary = "canary-7f3a9c"
    told: list[str] = []
    client = program(failing)
    secret = OneTimeTokenCRUD(db).issue(1, SIGN_IN, timedelta(minutes=15))
    db.commit()
    pair = ask_tokens(client).json()
    api_headers = {
        "Authorization": f"Bearer {canary}",
        "Cookie": f"lyceum={canary}; lyceum_visitor={canary}{canary}",
        "X-CSRF-Token": canary,
        "X-Api-Key": canary,
        "Referer": f"http://127.0.0.1:8000/enter/{canary}",
    }
    body = {"username": f"{canary}@example.org", "password": canary}
    for path in ("/auth/login", "/auth/refresh", "/api/failing/", "/api/users/", "/login"):
        told.append(client.post(path, json=body | {"refresh_token": canary}, headers=api_headers).text)
        told.append(client.post(path, data=body, headers=api_headers).text)
    for path in (f"/enter/{canary}", f"/login?next=/{canary}&password={canary}", f"/sandbox/bot{canary}/getMe"):
        told.append(client.get(path, headers=api_headers).text if "enter" in path else "")
        client.get(path, headers=api_headers)
    crm = browser(failing)
    sign_in(crm, canary, canary)
    sign_in(crm)
    crm.headers["X-CSRF-Token"] = token_of(crm.get("/dashboard/settings/"))
    change = {"current": PASSWORD, "password": canary + " long enough", "repeat": canary}
    told.append(crm.post("/dashboard/settings/password", data=change).text)
    browser(failing).post(f"/enter/{secret}")
    client.get("/api/auth/me", headers=bearer(pair["access_token"]))

    written = capfd.readouterr()
    seen = written.err + written.out + failing.state.metrics.render().decode()
    for hidden in (
        canary,
        PASSWORD,
        SECRET,
        secret,
        pair["access_token"],
        pair["refresh_token"],
        crm.cookies["lyceum"],
    ):
        assert hidden not in seen
    assert "broken on purpose" in seen
    assert not any("Traceback" in text or "broken on purpose" in text for text in told)
    assert not any(
        f'value="{canary}"' in text and 'type="password"' in text.partition(canary)[0][-80:] for text in told
    )

    for hidden in (canary, PASSWORD, secret, pair["access_token"], pair["refresh_token"], crm.cookies["lyceum"]):
        assert tables_with(db, hidden) == []
    figure("B18", "canaries found in logs, errors, metrics or the database", 0, "0", 7)


def tables_with(db: Session, secret: str) -> list[str]:
    tables = Base.metadata.sorted_tables
    return [table.name for table in tables if secret in str(db.execute(select(table)).all())]


@pytest.mark.parametrize("rule", [rule for rule in PAGES if "{token}" in rule.path], ids=lambda rule: rule.name)
def test_no_link_that_is_opened_is_written_down(
    app: FastAPI, db: Session, capfd: pytest.CaptureFixture[str], rule: Rule
) -> None:
    """Neither one that works nor one that nobody made: their secrets stand in the address alone."""
    right, made_up, visitor = "canary-of-the-right-one", "canary-of-nobodys", browser(app)
    db.get_one(User, 1).password_hash = None  # else nobody could be invited
    make_link(db, rule.path.split("/")[1], right)
    sent, known = {"password": CHOSEN}, {"X-Request-ID": "this-request"}
    sent |= {"repeat": CHOSEN} if "welcome" not in rule.path else {}
    form = {"data": sent} if rule.writes else {}
    addresses = [rule.address({"token": secret}) for secret in (made_up, right)]
    lost, found = (visitor.request(rule.method, path, headers=known, **form).status_code for path in addresses)
    assert (lost, found in (200, 303)) == (404, True)
    written = capfd.readouterr()
    seen = written.err + written.out + app.state.metrics.render().decode()
    assert seen.count("this-request") >= 2
    assert "canary" not in seen
    assert tables_with(db, "canary") == []


def test_a_failed_statement_does_not_show_its_values(
    app: FastAPI, db: Session, capfd: pytest.CaptureFixture[str]
) -> None:
    api = Routes(prefix="/api/failing", dependencies=[public])

    @api.post("/")
    def fail() -> object:
        db.execute(text("SELECT :value FROM no_such_table"), {"value": "hunter2-canary"})
        return None

    app.include_router(api)
    TestClient(app, base_url="http://127.0.0.1:8000").post("/api/failing/")
    assert "hunter2-canary" not in capfd.readouterr().err
