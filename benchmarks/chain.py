"""How long the chain over the history takes: `python -m benchmarks.chain [--rows 1000000] [--only sqlite|postgresql]`.

The goal: a million rows are proved within 30 seconds (security events, changes and change sets together).
Exit code 1 when it is missed.
"""

import argparse
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path

from sqlalchemy import text

from backend.core.config import Settings
from backend.database.chain.sealing import seal
from backend.database.chain.verifying import verify
from backend.database.schema import migrate
from backend.database.session import Database
from benchmarks.storage import throwaway

GOAL = 30.0  # seconds
SETS = """
INSERT INTO change_sets (door, label, at, actor_id, ip, request_id)
SELECT 'web', 'reply', '2026-01-01 00:00:00', 1, '192.0.2.7', 'request-' || n FROM numbers WHERE n <= :sets
"""
CHANGES = """
INSERT INTO changes (change_set_id, entity, entity_id, root, root_id, op, "before", "after")
SELECT 1 + n % :sets, 'lessons', n, 'lessons', n, 'update', '{"title": "Гаммы", "price": 50}',
    '{"title": "Гаммы и аккорды", "price": 70, "number": ' || n || '}' FROM numbers
"""
NUMBERS = {
    "sqlite": "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :rows) ",
    "postgresql": "WITH numbers AS (SELECT n FROM generate_series(1, :rows) AS n) ",
}


def fill(database: Database, rows: int) -> None:
    """Four changes to a set."""
    kind = "sqlite" if database.is_sqlite else "postgresql"
    values = {"rows": rows * 4 // 5, "sets": rows // 5}
    casts = (
        ("'2026-01-01 00:00:00'", "'2026-01-01 00:00:00Z'::timestamptz"),
        ("70, \"number\": ' || n || '}'", "70}'::json"),
    )
    with database.transaction() as session:
        session.execute(text("SET LOCAL statement_timeout = 0")) if kind == "postgresql" else None
        for statement in (SETS, CHANGES):
            head, _select, rest = statement.partition("SELECT")
            if kind == "postgresql":
                rest = rest.replace(*casts[0]).replace(*casts[1]).replace("50}'", "50}'::json")
            whole = f"{head}{NUMBERS[kind]}SELECT{rest}"
            session.execute(
                text(whole.replace("::", "\\:\\:")), values if ":sets" in whole else {"rows": values["rows"]}
            )


def measure(url: str, rows: int, folder: str) -> bool:
    database = Database(url)
    migrate(database)
    settings = Settings(
        _env_file=None, database_url=url, secret_key=secrets.token_urlsafe(48), data_dir=Path(folder, "data")
    )
    fill(database, rows)
    began = time.perf_counter()
    sealed = seal(database, settings)
    middle = time.perf_counter()
    working = time.process_time()
    found = verify(database, settings)
    spent, worked = time.perf_counter() - middle, time.process_time() - working
    database.dispose()
    kept = spent <= GOAL and not found.problem
    proved = f"proved in {spent:.1f} s ({worked:.1f} s of work): {'kept' if kept else 'MISSED'}"
    print(f"{url.partition(':')[0]}: {sealed:,} rows sealed in {middle - began:.1f} s, {proved}", flush=True)
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chain", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    chosen = parser.parse_args()
    kept = []
    if chosen.only != "postgresql":
        with tempfile.TemporaryDirectory() as folder:
            kept.append(measure(f"sqlite:///{Path(folder, 'chain.db')}", chosen.rows, folder))
    if chosen.only != "sqlite" and os.environ.get("TEST_DATABASE_URL"):
        with tempfile.TemporaryDirectory() as folder, throwaway("chain") as url:
            kept.append(measure(url, chosen.rows, folder))
    sys.exit(0 if all(kept) else 1)


if __name__ == "__main__":
    main()
