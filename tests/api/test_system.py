"""What operators and developers see, and who else does not."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from sqlalchemy.orm import Session

from backend.core.config import Settings
from backend.database.schema import head
from main import create_app
from tests.conftest import PASSWORD, Api, make_settings
from tests.doors import BASE, bearer, browser, program, sign_in, token_of


@pytest.fixture
def public_app(settings: Settings) -> Iterator[FastAPI]:
    app = create_app(make_settings(settings.database_url, settings.data_dir, base_url="https://school.example"))
    yield app
    app.state.database.dispose()


def stranger(app: FastAPI) -> TestClient:
    headers = {"Origin": "https://school.example", "Sec-Fetch-Site": "same-origin"}
    return TestClient(app, base_url="https://school.example", headers=headers, follow_redirects=False)


def local(app: FastAPI, ip: str = "127.0.0.1") -> TestClient:
    return program(app, ip)


# -- health


def test_alive_is_one_word_for_everyone(public_app: FastAPI) -> None:
    answer = stranger(public_app).get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_ready_tells_strangers_yes_and_operators_what(app: FastAPI, api: Api) -> None:
    checks = {"database": "ok", "migrations": "ok"}
    assert program(app, "203.0.113.5").get("/health/ready").json() == {"status": "ok"}
    assert local(app).get("/health/ready").json() == {"status": "ok", "checks": checks}
    assert local(app, "::1").get("/health/ready").json()["checks"] == checks
    assert api("operations:read").get("/health/ready").json()["checks"] == checks
    assert api("lessons:read").get("/health/ready").json() == {"status": "ok"}


@pytest.fixture
def newer_schema(db: Session) -> Iterator[None]:
    db.execute(text("UPDATE alembic_version SET version_num = '209901010000'"))
    db.commit()
    yield
    db.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": head()})
    db.commit()


@pytest.mark.usefixtures("newer_schema")
def test_a_schema_of_another_version_is_not_ready(app: FastAPI) -> None:
    answer = local(app).get("/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "unavailable",
        "checks": {"database": "ok", "migrations": "failed: SchemaError"},
    }
    assert program(app, "203.0.113.5").get("/health/ready").json() == {"status": "unavailable"}
    assert local(app).get("/health").status_code == 200


def test_a_database_that_is_away_is_not_ready(tmp_path: Path) -> None:
    app = create_app(make_settings(f"sqlite:///{tmp_path}/nowhere/x.db", tmp_path))
    answer = local(app).get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] == "failed: OperationalError"
    assert local(app).get("/health").status_code == 200


def test_redis_counts_when_it_is_configured(settings: Settings) -> None:
    app = create_app(make_settings(settings.database_url, settings.data_dir, redis_url="redis://127.0.0.1:1/0"))
    answer = local(app).get("/health/ready")
    assert (answer.status_code, answer.json()["checks"]["redis"]) == (503, "failed: ConnectionError")
    app.state.database.dispose()


# -- metrics


def test_metrics_are_what_a_prometheus_reads(app: FastAPI) -> None:
    client = local(app)
    for path in ("/health", "/health", "/api/lessons/1", "/api/lessons/2", "/nowhere/1", "/nowhere/2"):
        client.get(path)
    client.request("BREW", "/health")
    answer = client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=1.0.0; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert families["lyceum_http_requests"].type == "counter"
    assert families["lyceum_http_request_seconds"].type == "histogram"
    counted = {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for sample in families["lyceum_http_requests"].samples
        if sample.name == "lyceum_http_requests_total"
    }
    assert counted == {
        ("GET", "/health", "200"): 2.0,
        ("GET", "/api/lessons/{lesson_id}", "401"): 2.0,
        ("GET", "unmatched", "404"): 2.0,
        ("OTHER", "/health", "405"): 1.0,
    }
    buckets = [
        sample.value
        for sample in families["lyceum_http_request_seconds"].samples
        if sample.name.endswith("_bucket") and sample.labels["route"] == "/health" and sample.labels["method"] == "GET"
    ]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 2.0
    assert families["process_resident_memory_bytes"].samples[0].value > 1_000_000


def test_metrics_are_for_this_machine_and_for_operators(app: FastAPI, public_app: FastAPI, api: Api) -> None:
    assert local(app).get("/metrics").status_code == 200
    assert api("operations:read").get("/metrics").status_code == 200
    refused = api("lessons:read").get("/metrics")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    assert program(app, "203.0.113.5").get("/metrics").json()["error"]["code"] == "not_authenticated"
    # A proxy on this machine passes on what strangers ask.
    for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        assert local(app).get("/metrics", headers={name: "203.0.113.5"}).status_code == 401
    proxied = TestClient(public_app, base_url="https://school.example", client=("127.0.0.1", 1))
    assert proxied.get("/metrics").status_code == 401


def test_a_cookie_opens_no_metrics(app: FastAPI) -> None:
    client = browser(app)
    sign_in(client)
    assert client.get("/metrics").status_code == 401


# -- documentation


def test_documentation_is_open_on_ones_own_machine(app: FastAPI) -> None:
    client = program(app)
    assert [client.get(path).status_code for path in ("/docs", "/redoc", "/openapi.json")] == [200] * 3


def test_documentation_of_a_public_school_is_for_its_staff(public_app: FastAPI, api: Api, db: Session) -> None:
    client = stranger(public_app)
    assert client.get("/docs").headers["location"] == "/login?next=/docs"
    assert client.get("/redoc").headers["location"] == "/login?next=/redoc"
    assert client.get("/openapi.json").json()["error"]["code"] == "not_authenticated"
    token = api("lessons:read").headers["Authorization"]
    assert client.get("/openapi.json", headers={"Authorization": token}).status_code == 200

    page = client.get("/login")
    client.post("/login", data={"username": "admin", "password": PASSWORD, "csrf_token": token_of(page)})
    assert [client.get(path).status_code for path in ("/docs", "/redoc", "/openapi.json")] == [200] * 3
    db.execute(text("UPDATE users SET role_id = (SELECT id FROM roles WHERE name = 'Ученик')"))
    db.commit()
    assert [client.get(path).status_code for path in ("/docs", "/redoc", "/openapi.json")] == [403] * 3


def test_the_pages_load_nothing_from_elsewhere(app: FastAPI) -> None:
    client = program(app)
    for path in ("/docs", "/redoc"):
        page = client.get(path)
        sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert all(source.startswith("/") and not source.startswith("//") for source in sources)
        for source in sources:
            assert client.get(source).status_code == 200
    swagger, redoc = (client.get(path).headers["content-security-policy"] for path in ("/docs", "/redoc"))
    assert "style-src 'self';" in swagger
    assert redoc.replace(redoc.partition("style-src ")[2].partition(";")[0], "'self'", 1) == swagger
    assert "unsafe" not in redoc


def test_the_document_sends_calls_where_its_reader_is(app: FastAPI, public_app: FastAPI, api: Api) -> None:
    assert program(app).get("/openapi.json").json()["servers"] == [{"url": BASE}]
    answer = program(app).get("/openapi.json", headers={"Host": "localhost:9000"})
    assert answer.json()["servers"] == [{"url": "http://localhost:9000"}]
    token = bearer(api("lessons:read").headers["Authorization"].partition(" ")[2])
    document = stranger(public_app).get("/openapi.json", headers=token).json()
    assert document["servers"] == [{"url": "https://school.example"}]


@pytest.fixture
def document(app: FastAPI) -> dict[str, Any]:
    found: dict[str, Any] = program(app).get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_authorize_knows_both_ways_in(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert schemes["token"]["scheme"] == "bearer"
    assert schemes["password"]["flows"]["password"]["tokenUrl"] == "/auth/login"
    assert document["info"]["title"] == "Lyceum"


def test_every_operation_says_what_it_is_who_may_and_what_refuses(document: dict[str, Any]) -> None:
    problems = []
    for name, operation in operations(document):
        public = "security" not in operation
        responses = set(operation["responses"])
        wanted = {"503"} if "/health" not in name else set()
        wanted |= set() if public else {"401", "403", "422", "429"}
        wanted |= {"400", "413"} if not name.startswith("GET") else set()
        if not operation.get("summary"):
            problems.append(f"{name}: no summary")
        if not re.search(r"Needs |Open to everyone", operation["description"]):
            problems.append(f"{name}: says not who may")
        if missing := wanted - responses:
            problems.append(f"{name}: {sorted(missing)} are not documented")
    assert problems == []


def test_permissions_stand_in_words_and_for_programs(document: dict[str, Any]) -> None:
    operation = document["paths"]["/api/lessons/"]["get"]
    assert operation["x-permissions"] == [["lessons:read"]]
    assert operation["description"].endswith("Needs `lessons:read`.")
    assert operation["security"] == [{"token": []}, {"password": []}]
    assert "security" not in document["paths"]["/auth/login"]["post"]


def test_no_page_for_people_is_part_of_the_api(document: dict[str, Any]) -> None:
    paths = set(document["paths"])
    assert {"/auth/login", "/api/auth/me", "/health", "/health/ready", "/metrics", "/openapi.json"} <= paths
    assert [path for path in paths if path.startswith(("/dashboard", "/login", "/enter", "/sandbox"))] == []
