"""The goals of speed, one after another, side by side with the same written by hand."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from statistics import median, quantiles
from urllib.parse import quote

from sqlalchemy import select

from backend.core.config import ROOT
from backend.crm.table.declare import TABLES
from backend.database.crud.auth import ApiTokenCRUD, SessionCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.users import User
from backend.database.session import Database
from backend.sandbox.testing import free_port
from benchmarks.client import Wire, rate, request
from benchmarks.fragments import deep, fragments
from benchmarks.report import Line
from benchmarks.school import ADMIN_LOGIN, Size
from benchmarks.serving import APP, HANDMADE, Server, serving

ROUNDS, WARM = 7, 30
SHARE = 0.55  # of what is reached by hand
TERMS = ("ковалева", "МАРИЯ", "sergey_ko", "Ли", "а", "анна орл", "100000", "@emily", "щщщ", "ковалова")
ASKED = ("", "мар", "орлова анна", "refund 812", "тикет 55", "promo sale", "100000", "а", "ковалова")  # of the palette
SEARCH_MS, PALETTE_MS = 15, 50  # p95
UPDATES = 20_000
WEBHOOK_SECRET = "bench-webhook-secret"


@dataclass(frozen=True)
class Goal:
    """Milliseconds on SQLite and on PostgreSQL."""

    sqlite: float
    postgresql: float

    def of(self, kind: str) -> float:
        return self.sqlite if kind == "sqlite" else self.postgresql


LIST, SEARCH = Goal(1.3, 2.0), Goal(2.5, 4.0)
TICKET, LOOKUP = Goal(0.9, 1.6), Goal(0.5, 1.0)


@dataclass(frozen=True)
class Access:
    """Headers of a signed-in browser and of an API client."""

    page: dict[str, str]
    api: dict[str, str]


def grant(database: Database) -> Access:
    with database.transaction() as session:
        me = UserCRUD(session).find_by_login(ADMIN_LOGIN)
        assert me is not None
        opened = SessionCRUD(session).open(
            me, kind="cookie", user_agent="bench", ip="127.0.0.1", lifetime=timedelta(days=1)
        )
        _token, text = ApiTokenCRUD(session).issue("bench", frozenset({"users:read"}))
    visitor = "benchmark" * 3
    browser = {
        "Cookie": f"lyceum={opened[1]}; lyceum_visitor={visitor}",
        "Accept": "text/html",
        "Accept-Language": "ru",
    }
    return Access(browser, {"Authorization": f"Bearer {text}", "Accept-Language": "ru"})


@dataclass
class Taken:
    """Milliseconds that requests took; `cpu` is what the server computed for one on average."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def p50(self) -> float:
        return median(self.wall)

    @property
    def p95(self) -> float:
        return quantiles(self.wall, n=100)[94]

    @property
    def p99(self) -> float:
        return quantiles(self.wall, n=100)[98]


class Bench:
    """The goals on one database, with both servers up."""

    def __init__(self, kind: str, url: str, size: Size, scale: float) -> None:
        self.kind = kind
        self.url = url
        self.size = size
        self.scale = scale  # of the number of requests
        self.database = Database(url)
        self.access = grant(self.database)
        self.lines: list[Line] = []

    def run(self) -> list[Line]:
        with ExitStack() as stack:
            self.app = stack.enter_context(serving(APP, self.url))
            self.hand = stack.enter_context(serving(HANDMADE, self.url))
            self._lists()
            for line in fragments(self.app, self.access.page, self.database):
                self.note(line)
            self._search()
            self._palette()
            self._pages()
            self._tail()
            self._beside_a_slow_page()
            memory = max(self.app.megabytes()), max(self.app.resident_megabytes()), self.app.whole_megabytes()
        self._small(memory)
        self._webhook()
        self.database.dispose()
        return self.lines

    # -- how

    def page(self, path: str) -> bytes:
        return request(path, self.access.page)

    def pair(self, sent: bytes, times: int = 60, *, by_hand: bool = True) -> tuple[Taken, Taken]:
        """Both servers' times, taken in turns: they have the same weather."""
        servers = [self.app, self.hand] if by_hand else [self.app]
        taken = [Taken(), Taken()]
        wires = [Wire(server.port) for server in servers]
        for wire in wires:
            wire.time(sent, WARM)
        for _ in range(ROUNDS):
            for server, wire, found in zip(servers, wires, taken, strict=False):
                number = max(3, int(times * self.scale))
                before = server.cpu_ms()
                found.wall += wire.time(sent, number)
                found.cpu.append((server.cpu_ms() - before) / number)
        for wire in wires:
            wire.close()
        return taken[0], taken[1]

    def compare(self, title: str, sent: bytes, goal: float, *, by_hand: bool = True) -> Taken:
        ours, theirs = self.pair(sent, by_hand=by_hand)
        self.add(title, f"<= {goal:g} ms", ours, theirs, ok=ours.p50 <= goal)
        return ours

    def add(self, title: str, goal: str, ours: Taken, theirs: Taken, *, ok: bool) -> None:
        hand = theirs.p50 if theirs.wall else None
        values = {"p50_ms": ours.p50, "p99_ms": ours.p99, "cpu_ms": median(ours.cpu)}
        if hand:
            values |= {"hand_ms": hand, "hand_cpu_ms": median(theirs.cpu)}
        self.note(
            Line(
                title,
                goal,
                f"{ours.p50:.2f} ms",
                f"{hand:.2f} ms" if hand else "",
                hand / ours.p50 if hand else None,
                ok,
                values,
            )
        )

    def note(self, line: Line) -> None:
        self.lines.append(line)
        line.show()

    # -- lists

    def _lists(self) -> None:
        goal = LIST.of(self.kind)
        first = self.page("/dashboard/users/")
        self.first = self.compare("list, page one", first, goal)
        ours = rate(self.app.port, [first], seconds=4 * self.scale)
        theirs = rate(self.hand.port, [first], seconds=4 * self.scale)
        self.note(
            Line(
                "list, 16 clients",
                f">= {SHARE} by hand",
                f"{ours:.0f}/s",
                f"{theirs:.0f}/s",
                ours / theirs,
                ours / theirs >= SHARE,
                {"per_second": ours, "hand_per_second": theirs},
            )
        )
        far, by_name = self._cursor("-created_at"), self._cursor("name")
        for title, path in (
            ("list, deep page", f"?cursor={far}"),
            ("list by name", "?sort=name"),
            ("list by name, deep page", f"?sort=name&cursor={by_name}"),
        ):
            ours_here, hand = self.pair(self.page(f"/dashboard/users/{path}"))
            limit = 1.2 * self.first.p50
            self.add(title, "<= 1.2 page one", ours_here, hand, ok=ours_here.p50 <= limit)

    def _cursor(self, sort: str) -> str:
        with self.database.read() as session:
            return deep(session, TABLES["users"], sort)

    def _search(self) -> None:
        goal, found = SEARCH.of(self.kind), {}
        for term in TERMS:
            sent = self.page(f"/dashboard/users/?q={quote(term)}")
            found[term] = self.pair(sent, 20)
        worst = max(found, key=lambda term: found[term][0].p50)
        for term, (ours, hand) in found.items():
            self.add(f"search “{term}”", f"<= {goal:g} ms", ours, hand, ok=ours.p50 <= goal)
        ours, hand = found[worst]
        self.add("search, any term", f"<= {goal:g} ms", ours, hand, ok=ours.p50 <= goal)
        every = Taken([one for ours, _hand in found.values() for one in ours.wall])
        values = {"p50_ms": every.p50, "p95_ms": every.p95, "p99_ms": every.p99}
        shown = f"{every.p95:.1f} / {every.p50:.1f} ms"
        self.note(Line("search, p95 / p50", f"<= {SEARCH_MS} ms", shown, ok=every.p95 <= SEARCH_MS, values=values))

    def _palette(self) -> None:
        partial = {"HX-Request": "true", "HX-Request-Type": "partial"}
        found = Taken()
        for text in ASKED:
            sent = request(f"/dashboard/search?q={quote(text)}", self.access.page | partial)
            found.wall += self.pair(sent, 20, by_hand=False)[0].wall
        values = {"p50_ms": found.p50, "p95_ms": found.p95, "p99_ms": found.p99}
        shown = f"{found.p95:.1f} / {found.p50:.1f} ms"
        self.note(Line("palette, p95 / p50", f"<= {PALETTE_MS} ms", shown, ok=found.p95 <= PALETTE_MS, values=values))

    # -- others

    def _pages(self) -> None:
        number = self.size.tickets - 101
        goal = TICKET.of(self.kind)
        self.compare("ticket page", self.page(f"/dashboard/tickets/{number}?tab=all"), goal)
        self._others(number)
        partial = {"HX-Request": "true", "HX-Request-Type": "partial"}
        thread = request(f"/dashboard/tickets/{number}/thread", self.access.page | partial)
        self.compare("ticket thread (fragment)", thread, goal, by_hand=False)
        self.lookup = request(self._lookup_path(), self.access.api)
        self.compare("GET /api/users/?telegram_id=", self.lookup, LOOKUP.of(self.kind))
        ours = rate(self.app.port, [self.lookup], seconds=4 * self.scale)
        theirs = rate(self.hand.port, [self.lookup], seconds=4 * self.scale)
        values = {"per_second": ours, "hand_per_second": theirs}
        shown = f"{ours:.0f}/s", f"{theirs:.0f}/s"
        self.note(Line("the same, 16 clients", "", *shown, ours / theirs, None, values))

    def _others(self, number: int) -> None:
        """One ticket after another: nothing of a thread and its student has been drawn before."""
        ours, theirs = Taken(), Taken()
        wires = (Wire(self.app.port), ours), (Wire(self.hand.port), theirs)
        for other in range(number - int(200 * self.scale), number):
            sent = self.page(f"/dashboard/tickets/{other}?tab=all")
            for wire, found in wires:
                found.wall += wire.time(sent, 1)
        for wire, _found in wires:
            wire.close()
        values = {"p50_ms": ours.p50, "p99_ms": ours.p99, "hand_ms": theirs.p50}
        shown = f"{ours.p50:.2f} ms", f"{theirs.p50:.2f} ms"
        self.note(Line("ticket page, another one each time", "", *shown, theirs.p50 / ours.p50, None, values))

    def _lookup_path(self) -> str:
        with self.database.read() as session:
            known = session.scalars(select(User.telegram_id).where(User.id == self.size.users // 2))
            return f"/api/users/?telegram_id={known.one()}"

    def _tail(self) -> None:
        number = max(200, int(1500 * self.scale))
        wire = Wire(self.app.port)
        sent = self.page("/dashboard/users/")
        wire.time(sent, WARM)
        found = Taken(wire.time(sent, number))
        wire.close()
        ratio = found.p99 / found.p50
        shown = f"{found.p99:.1f} / {found.p50:.1f} ms"
        values = {"p50_ms": found.p50, "p99_ms": found.p99}
        self.note(Line("tail, p99 / p50", "<= 4", shown, "", ratio, ratio <= 4, values))

    def _beside_a_slow_page(self) -> None:
        slow = self.page("/dashboard/?days=90")
        alone = Wire(self.app.port)
        alone_ms = min(alone.time(slow, 2))
        alone.close()
        with _held(self.app, slow, 4):
            wire = Wire(self.app.port)
            wire.time(self.lookup, 5)
            found = Taken(wire.time(self.lookup, max(100, int(600 * self.scale))))
            wire.close()
        self.note(
            Line(
                f"lookup beside 4 x dashboard ({alone_ms:.0f} ms)",
                "p50 <= 10, p99 <= 100",
                f"{found.p50:.1f} / {found.p99:.1f} ms",
                ok=found.p50 <= 10 and found.p99 <= 100,
                values={"p50_ms": found.p50, "p99_ms": found.p99, "slow_ms": alone_ms},
            )
        )

    def _small(self, memory: tuple[float, float, float]) -> None:
        with serving(APP, self.url, workers=1) as server:
            seconds, fresh = server.seconds, max(server.megabytes())
        own, resident, whole = memory
        values = {"megabytes": own, "resident_megabytes": resident, "whole_megabytes": whole}
        values["megabytes_at_start"] = fresh
        shown = f"{own:.0f} MB (resident {resident:.0f}, all processes {whole:.0f})"
        self.note(Line("memory of a process", "<= 110 MB", shown, ok=own <= 110, values=values))
        shown = f"{seconds:.2f} s"
        values = {"seconds": seconds}
        self.note(Line("start-up", "<= 2.5 s", shown, ok=seconds <= 2.5, values=values))

    def _webhook(self) -> None:
        port = free_port()
        telegram = subprocess.Popen([sys.executable, "-m", "benchmarks.telegram", str(port)], cwd=ROOT)
        settings = {
            "TELEGRAM_BOT_TOKEN": "1:bench",
            "TELEGRAM_API_URL": f"http://127.0.0.1:{port}",
            "TELEGRAM_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "BASE_URL": "https://bench.example",
            "BOT_MODE": "web",
        }
        try:
            with serving(APP, self.url, workers=1, more=settings) as server:
                time.sleep(1)
                for title, goal, kind in (
                    ("webhook, update that is none of ours", 2000, "edited_message"),
                    ("webhook, /help answered", 0, "message"),
                ):
                    found = rate(server.port, _updates(kind), seconds=4 * self.scale)
                    self.note(
                        Line(
                            title,
                            f">= {goal}/s" if goal else "",
                            f"{found:.0f}/s",
                            ok=found >= goal if goal else None,
                            values={"per_second": found},
                        )
                    )
        finally:
            telegram.terminate()
            telegram.wait()


def _updates(kind: str) -> list[bytes]:
    headers = {"X-Telegram-Bot-Api-Secret-Token": WEBHOOK_SECRET}
    found = []
    for number in range(UPDATES):
        person = {
            "id": 100_000_000 + (1 + number % 1000) * 31,
            "is_bot": False,
            "first_name": "Анна",
            "language_code": "ru",
        }
        message = {
            "message_id": number + 1,
            "date": 1_800_000_000,
            "chat": {"id": person["id"], "type": "private", "first_name": "Анна"},
            "from": person,
            "text": "/help",
            "entities": [{"type": "bot_command", "offset": 0, "length": 5}],
        }
        update_id = number + 1 + UPDATES * (kind == "message")
        body = json.dumps({"update_id": update_id, kind: message}).encode()
        found.append(request("/bot/webhook", headers, body))
    return found


@contextmanager
def _held(server: Server, sent: bytes, clients: int) -> Iterator[None]:
    """So many programs of their own ask for the page without a pause."""
    command = [sys.executable, "-m", "benchmarks.client", str(server.port)]
    holders = [subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) for _client in range(clients)]
    for holder in holders:
        assert holder.stdin is not None
        holder.stdin.write(sent)
        holder.stdin.close()
    time.sleep(1.5)
    try:
        yield
    finally:
        for holder in holders:
            holder.kill()
            holder.wait()
