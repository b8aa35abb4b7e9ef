"""All state of the sandbox in one small SQLite file, or in memory when there is no path.

Everything is written before it is acknowledged, so a process killed with -9 forgets nothing that it
has answered. One connection behind a lock; a transaction never spans an `await`.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backend.sandbox.errors import Json

SCHEMA = """
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS bots (
    id INTEGER PRIMARY KEY, token TEXT NOT NULL UNIQUE, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS students (
    id INTEGER PRIMARY KEY, profile TEXT NOT NULL, hue INTEGER NOT NULL, stars INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0, CHECK (stars >= 0));
CREATE TABLE IF NOT EXISTS chats (
    bot_id INTEGER NOT NULL, student_id INTEGER NOT NULL, started INTEGER NOT NULL DEFAULT 0,
    blocked INTEGER NOT NULL DEFAULT 0, rev INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT '{}', PRIMARY KEY (bot_id, student_id));
CREATE TABLE IF NOT EXISTS messages (
    bot_id INTEGER NOT NULL, message_id INTEGER NOT NULL, chat_id INTEGER NOT NULL,
    date INTEGER NOT NULL, rev INTEGER NOT NULL, deleted INTEGER NOT NULL DEFAULT 0,
    body TEXT NOT NULL, meta TEXT NOT NULL, PRIMARY KEY (bot_id, message_id));
CREATE INDEX IF NOT EXISTS messages_chat ON messages (bot_id, chat_id, message_id);
CREATE TABLE IF NOT EXISTS updates (
    bot_id INTEGER NOT NULL, update_id INTEGER NOT NULL, body TEXT NOT NULL, created REAL NOT NULL,
    done INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (bot_id, update_id));
CREATE INDEX IF NOT EXISTS updates_pending ON updates (bot_id, done, update_id);
CREATE TABLE IF NOT EXISTS files (
    file_id TEXT PRIMARY KEY, bot_id INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
    name TEXT NOT NULL, mime TEXT NOT NULL, digest TEXT NOT NULL, path TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS files_path ON files (bot_id, path);
CREATE TABLE IF NOT EXISTS invoices (
    slug TEXT PRIMARY KEY, bot_id INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS checkouts (
    id TEXT PRIMARY KEY, bot_id INTEGER NOT NULL, student_id INTEGER NOT NULL, body TEXT NOT NULL,
    status TEXT NOT NULL, error TEXT, created REAL NOT NULL, settle_at REAL, charge_id TEXT);
CREATE INDEX IF NOT EXISTS checkouts_due ON checkouts (status, settle_at);
CREATE TABLE IF NOT EXISTS callbacks (
    id TEXT PRIMARY KEY, bot_id INTEGER NOT NULL, student_id INTEGER NOT NULL,
    created REAL NOT NULL, answer TEXT);
CREATE TABLE IF NOT EXISTS ledger (
    seq INTEGER PRIMARY KEY, bot_id INTEGER NOT NULL, id TEXT NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('in', 'out')), amount INTEGER NOT NULL,
    date INTEGER NOT NULL, student_id INTEGER NOT NULL, body TEXT NOT NULL,
    UNIQUE (bot_id, id, direction));
CREATE TABLE IF NOT EXISTS faults (
    id INTEGER PRIMARY KEY, bot_id INTEGER NOT NULL, method TEXT, kind TEXT NOT NULL,
    times INTEGER NOT NULL, retry_after INTEGER NOT NULL, seconds REAL NOT NULL);
CREATE TABLE IF NOT EXISTS journal (
    id INTEGER PRIMARY KEY AUTOINCREMENT, bot_id INTEGER NOT NULL, student_id INTEGER,
    at REAL NOT NULL, direction TEXT NOT NULL, name TEXT NOT NULL, ok INTEGER NOT NULL,
    note TEXT NOT NULL, detail TEXT NOT NULL);
"""


class Store:
    """A thin door to SQLite: rows in, rows out. The rules live elsewhere."""

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        # The app may be built in one thread, served by another and asked for a page by a third.
        self._lock = threading.RLock()
        self.connection = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False, timeout=5)
        self.connection.row_factory = sqlite3.Row
        self.connection.execute("PRAGMA journal_mode=WAL")
        # NORMAL outlives a killed process; only a power cut could take the last commits.
        self.connection.execute("PRAGMA synchronous=NORMAL")
        self.connection.executescript(SCHEMA)
        self._depth = 0

    def close(self) -> None:
        self.connection.close()

    @contextmanager
    def tx(self) -> Iterator[None]:
        """One transaction; an inner one joins the outer."""
        with self._lock:
            if self._depth == 0:
                self.connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self.connection.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                self.connection.execute("COMMIT")

    def all(self, sql: str, *values: object) -> list[sqlite3.Row]:
        with self._lock:
            return self.connection.execute(sql, values).fetchall()

    def one(self, sql: str, *values: object) -> sqlite3.Row | None:
        with self._lock:
            # Exhausted, not just begun: a half-read INSERT ... RETURNING is not yet committed.
            rows = self.connection.execute(sql, values).fetchall()
        return rows[0] if rows else None

    def value(self, sql: str, *values: object) -> Any:
        row = self.one(sql, *values)
        return None if row is None else row[0]

    def run(self, sql: str, *values: object) -> int:
        """How many rows were touched."""
        with self._lock:
            return self.connection.execute(sql, values).rowcount

    def next(self, name: str, start: int = 1) -> int:
        """The next number of a counter that never goes back."""
        value: int = self.value(
            "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
            name,
            start,
        )
        return value


def dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def load(text: str) -> Json:
    value: Json = json.loads(text)
    return value
