"""Hostile requests from the OpenAPI document against a whole running school with a full token, on both databases.

python scripts/fuzz.py [--cases 10000] [--only sqlite|postgresql]
python scripts/fuzz.py --parsers [--cases 1000000]

Schemathesis runs all its phases: examples, coverage, fuzzing and chains of requests that use each other's answers. It
must find no server error and no answer that the document does not describe. PostgreSQL is the server of
TEST_DATABASE_URL (`scripts/with_postgres.py` sets it).

`--parsers` needs no school: a million texts go straight to whatever reads texts from outside (`scripts/parsers.py`).
"""

import argparse
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

ROOT = Path(__file__).parents[1]
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance"
)
SCOPES = (
    "bot", "users:read", "users:write", "lessons:read", "lessons:write", "courses:read", "courses:write",
    "promo_codes:read", "promo_codes:write", "purchases:read", "purchases:write", "purchases:refund", "tickets:read",
    "tickets:write",
)  # fmt: skip
START_SECONDS, CASES = 120, 10_000


def examples(cases: int) -> int:
    """How many fuzzing makes at most for each operation: many take no more than a few, and the coverage phase makes
    some 2,500 whatever is asked.
    """
    return max(5, (cases - 2000) // 40)


@contextmanager
def school(folder: Path, url: str, port: int) -> Iterator[dict[str, str]]:
    """A served demo school; yields the environment of its commands."""
    environment = os.environ | {
        "DATABASE_URL": url, "SECRET_KEY": secrets.token_urlsafe(48), "API_PORT": str(port), "API_RATE_LIMIT": "0",
        "RUN_JOBS": "0", "BOT_MODE": "off", "SANDBOX": "0", "TELEGRAM_BOT_TOKEN": "", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    cli = [sys.executable, "-m", "backend.cli"]
    log = (folder / "server.log").open("wb")
    subprocess.run([*cli, "demo"], env=environment, cwd=folder, stdout=log, stderr=log, check=True)
    server = subprocess.Popen([*cli, "serve"], env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        _await(port)
        yield environment
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        log.close()


def _await(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise SystemExit("the school did not start")


def fuzz(url: str, cases: int) -> int:
    """Schemathesis's own exit code; it says what it found and how to see it again."""
    port = 18000 + os.getpid() % 2000
    with tempfile.TemporaryDirectory(prefix="lyceum-fuzz-") as name:
        folder = Path(name)
        with school(folder, url, port) as environment:
            scopes = [part for scope in SCOPES for part in ("--scope", scope)]
            made = subprocess.run(
                [sys.executable, "-m", "backend.cli", "create-token", "fuzz", *scopes],
                env=environment, cwd=folder, capture_output=True, text=True, check=True,
            )  # fmt: skip
            command = [
                str(Path(sys.executable).with_name("schemathesis")), "run", f"http://127.0.0.1:{port}/openapi.json",
                "--header", f"Authorization: Bearer {made.stdout.strip()}", "--checks", CHECKS, "--phases",
                "examples,coverage,fuzzing,stateful", "--max-examples", str(examples(cases)), "--workers", "2",
                "--continue-on-failure", "--warnings", "off", "--no-color",
            ]  # fmt: skip
            return subprocess.run(command, cwd=folder, check=False).returncode


@contextmanager
def postgres() -> Iterator[str]:
    """A database of its own on the server of TEST_DATABASE_URL."""
    server = make_url(os.environ["TEST_DATABASE_URL"]).set(drivername="postgresql")
    name = f"lyceum_fuzz_{secrets.token_hex(4)}"
    address = server.render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield server.set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    parser.add_argument("--parsers", action="store_true")
    asked = parser.parse_args()
    if asked.parsers:
        command = [sys.executable, "-m", "scripts.parsers", *([f"--cases={asked.cases}"] if asked.cases else [])]
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    cases = asked.cases or CASES
    failed = 0
    if asked.only != "postgresql":
        print("SQLite", flush=True)
        failed |= fuzz("sqlite:///lyceum.db", cases)
    if asked.only != "sqlite":
        print("PostgreSQL", flush=True)
        with postgres() as url:
            failed |= fuzz(url, cases)
    return failed


if __name__ == "__main__":
    sys.exit(main())
