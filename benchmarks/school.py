"""A generated school of any size: the same rows every time, made once and kept.

People and tickets are made here, sales in the database itself from numbers alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend import init_roles
from backend.core.permissions import ADMIN
from backend.database.base import Base
from backend.database.crud.revenue import RevenueCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.users import User
from backend.database.schema import migrate
from backend.database.search import key_of
from backend.database.session import Database
from backend.database.upkeep import put_together
from backend.demo.content import read
from backend.demo.students import latin

DAYS = 720  # the school's age
MESSAGES = 4  # of a ticket that was answered
LESSONS, COURSES = 500, 40
ADMIN_LOGIN = "bench"
Row = Sequence[Any]


@dataclass(frozen=True)
class Size:
    users: int
    purchases: int
    tickets: int

    @property
    def name(self) -> str:
        return f"{self.users // 1000}k"


FULL = Size(200_000, 1_000_000, 50_000)
MILLION = Size(1_000_000, 1_000_000, 50_000)
QUICK = Size(20_000, 100_000, 5_000)
GROWN = Size(2_000_000, 1_000_000, 50_000)


def build(database: Database, size: Size) -> None:
    """Fills an empty database."""
    migrate(database)
    with database.transaction() as session:
        session.info["history"] = False
        roles = init_roles(session)
        student = roles["Ученик"].id
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    pooled = database.engine.raw_connection()
    driver: Any = pooled.driver_connection
    if database.is_sqlite:
        for pragma in ("synchronous=OFF", "foreign_keys=OFF", "cache_size=-400000"):
            driver.execute(f"PRAGMA {pragma}")
        driver.execute("BEGIN")
    _Maker(driver, size, end, student, sqlite=database.is_sqlite).run()
    driver.commit()
    pooled.invalidate()
    with database.transaction() as session:
        session.info["history"] = False
        UserCRUD(session).create_staff(login=ADMIN_LOGIN, password_hash=None, role=ADMIN)
    _settle(database)


def admin(session: Session) -> User:
    """Whoever does in the school what a person does."""
    return session.scalars(select(User).where(User.login == ADMIN_LOGIN)).one()


def _settle(database: Database) -> None:
    """What the databases and the jobs do by themselves in time."""
    database.run(lambda session: RevenueCRUD(session).close_past())
    while database.run(put_together):
        pass
    engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if database.is_sqlite:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            connection.exec_driver_sql("SET statement_timeout = 0")
            connection.exec_driver_sql("VACUUM ANALYZE")


class _Maker:
    def __init__(self, driver: Any, size: Size, end: datetime, student: int, *, sqlite: bool) -> None:
        self.driver = driver
        self.size = size
        self.end = end
        self.student = student
        self.sqlite = sqlite
        self.start = end - timedelta(days=DAYS)

    def run(self) -> None:
        if not self.sqlite:
            self._run("SET statement_timeout = 0")
            # Nothing here can be wrong, and checking four million foreign keys takes minutes.
            self._run("SET session_replication_role = replica")
        self._put("users", USER_COLUMNS, self._users())
        self._catalogue()
        self._sales()
        self._put("support_tickets", TICKET_COLUMNS, self._tickets())
        self._put("chats", ("id", "kind", "ticket_id", "created_at"), self._chats())
        self._put("messages", MESSAGE_COLUMNS, self._messages())
        self._put("change_sets", ("id", "door", "label", "at"), self._change_sets())
        self._put("changes", CHANGE_COLUMNS, self._changes())
        if not self.sqlite:
            for table in Base.metadata.sorted_tables:
                if "id" in table.columns:
                    self._run(
                        f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'),"
                        f" (SELECT coalesce(max(id), 0) + 1 FROM {table.name}), false)"
                    )
            self._run("SET session_replication_role = DEFAULT")

    # -- ways in

    def _run(self, statement: str) -> None:
        self.driver.execute(statement)

    def _put(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        names = ", ".join(columns)
        if self.sqlite:
            marks = ", ".join("?" * len(columns))
            adapted = (tuple(_for_sqlite(value) for value in row) for row in rows)
            self.driver.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", adapted)
            return
        with (
            self.driver.cursor() as cursor,
            cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)

    def _at(self, number: int, of: int) -> datetime:
        """The moment of the n-th of so many things, spread evenly over the school's life."""
        return self.start + timedelta(seconds=number * DAYS * 86_400 // (of + 1))

    # -- people and tickets, made here

    def _users(self) -> Iterator[Row]:
        people = read("people")
        sources = [row[0] or None for row in people["sources"]]
        for number in range(1, self.size.users + 1):
            first, last, language = _name(number, people)
            username = f"{latin(first)[:8]}_{latin(last)[:12]}{number % 9973}"
            telegram_id = 100_000_000 + number * 31
            key = key_of(f"{first} {last} @{username} {telegram_id}")
            at = self._at(number, self.size.users)
            yield (
                number, telegram_id, username, first, last, language, "auto", "UTC", self.student,
                number % 200 != 0, 1, sources[number % len(sources)], at, at, at, 1, key,
            )  # fmt: skip

    def _tickets(self) -> Iterator[Row]:
        subjects = [entry["subject"] for entry in read("tickets")["tickets"]]
        for number in range(1, self.size.tickets + 1):
            status, waiting = self._state(number)
            at = self._at(number, self.size.tickets)
            answered = None if status == "open" else at + timedelta(minutes=9)
            subject = f"{subjects[number % len(subjects)]} {number}"
            yield (
                number, self._writer(number), subject, "Здравствуйте! " + subject, status,
                "Ответили, смотрите выше." if answered else None,
                self.size.users + 1 if answered else None, at if waiting else None, answered,
                at + timedelta(hours=1), at, at + timedelta(hours=1), 1, key_of(subject),
            )  # fmt: skip

    def _state(self, number: int) -> tuple[str, bool]:
        """The last two hundredths are not closed; half of these wait."""
        if number <= self.size.tickets * 98 // 100:
            return "closed", False
        return ("open", True) if number % 2 else ("in_progress", False)

    def _writer(self, number: int) -> int:
        return 1 + number * 37 % self.size.users

    def _chats(self) -> Iterator[Row]:
        for number in range(1, self.size.tickets + 1):
            yield number, "ticket", number, self._at(number, self.size.tickets)

    def _messages(self) -> Iterator[Row]:
        body = "Здравствуйте! Урок открывается, а видео стоит на месте. Перезаходила, не помогло. "
        for number in range(1, self.size.tickets + 1):
            status, _waiting = self._state(number)
            for place in range(1 if status == "open" else MESSAGES):
                staff = place % 2 == 1
                yield (
                    number * MESSAGES + place, number,
                    self.size.users + 1 if staff else self._writer(number),
                    "staff" if staff else "student", body * (1 + (number + place) % 3), False,
                    self._at(number, self.size.tickets) + timedelta(minutes=9 * place),
                )  # fmt: skip

    def _change_sets(self) -> Iterator[Row]:
        for number in range(1, self.size.tickets + 1):
            yield number, "web", "reply", self._at(number, self.size.tickets)

    def _changes(self) -> Iterator[Row]:
        for number in range(1, self.size.tickets + 1):
            yield (
                number, number, "support_tickets", number, "support_tickets", number, "update",
                '{"status": "in_progress"}', '{"status": "closed"}',
            )  # fmt: skip

    # -- what is sold, made by the database

    def _numbers(self, count: int) -> str:
        if self.sqlite:
            return (
                "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
                f" WHERE i < {count}) SELECT i FROM n) AS n"
            )
        return f"generate_series(1::bigint, {count}) AS n(i)"

    def _moment(self, count: int) -> str:
        """SQL of `_at(i, count)`."""
        seconds = f"({int(self.start.timestamp())} + i * {DAYS * 86_400} / {count + 1})"
        if self.sqlite:
            return f"strftime('%Y-%m-%d %H:%M:%S.000000', {seconds}, 'unixepoch')"
        return f"to_timestamp({seconds})"

    def _fill(self, table: str, count: int, **values: str) -> None:
        columns, expressions = ", ".join(values), ", ".join(values.values())
        source = f"SELECT {expressions} FROM {self._numbers(count)}"
        self._run(f"INSERT INTO {table} ({columns}) {source}")

    def _catalogue(self) -> None:
        at = self._moment(LESSONS)
        common = {"created_at": at, "updated_at": at, "version": "1", "is_active": "TRUE"}
        self._fill(
            "lessons", LESSONS, id="i", title="'Урок ' || i", description="'Свет и тень ' || i",
            price=_price("i"), text_content="'Текст урока'", is_free="FALSE",
            search_key="' урок ' || i || ' '", **common,
        )  # fmt: skip
        self._fill(
            "courses", COURSES, id="i", title="'Курс ' || i", description="'От идеи до печати'",
            total_price="990", search_key="' курс ' || i || ' '", **common,
        )  # fmt: skip
        self._fill(
            "course_lessons", COURSES * 10, id="i", course_id="1 + (i - 1) / 10",
            lesson_id="1 + (i * 11) % " + str(LESSONS), position="1 + (i - 1) % 10",
        )  # fmt: skip

    def _sales(self) -> None:
        count, at = self.size.purchases, self._moment(self.size.purchases)
        user, nth = f"(1 + (i - 1) % {self.size.users})", f"((i - 1) / {self.size.users})"
        lesson = f"(1 + ({user} * 13 + {nth} * 101) % {LESSONS})"
        is_course, back = "i % 20 = 0", "i % 50 = 0"
        course = f"(1 + ({user} + {nth} * 7) % {COURSES})"
        amount = f"CASE WHEN {is_course} THEN 990 ELSE {_price(lesson)} END"
        lesson_id = f"CASE WHEN {is_course} THEN NULL ELSE {lesson} END"
        course_id = f"CASE WHEN {is_course} THEN {course} END"
        title = f"CASE WHEN {is_course} THEN 'Курс ' || {course} ELSE 'Урок ' || {lesson} END"
        times = {"created_at": at, "updated_at": at}
        self._fill(
            "orders", count, id="i", payload="'bench-order-' || i", user_id=user,
            status=f"CASE WHEN {back} THEN 'refunded' ELSE 'paid' END", currency="'XTR'",
            subtotal=amount, discount="0", total=amount, source="'bot'", is_test="FALSE",
            expires_at=at, paid_at=at, **times,
        )  # fmt: skip
        self._fill(
            "order_lines", count, id="i", order_id="i", lesson_id=lesson_id, course_id=course_id,
            title=title, unit_price=amount, qty="1", total=amount,
        )  # fmt: skip
        self._fill(
            "payments", count, id="i", order_id="i", provider="'stars'",
            provider_charge_id="'bench-charge-' || i", amount=amount, currency="'XTR'",
            status=f"CASE WHEN {back} THEN 'refunded' ELSE 'settled' END",
            payer_telegram_id=f"100000000 + {user} * 31", is_test="FALSE", raw="'{}'", **times,
        )  # fmt: skip
        self._run(
            "INSERT INTO refunds (id, payment_id, amount, reason, status, created_at, done_at)"
            " SELECT id / 50, id, amount, '', 'done', created_at, created_at FROM payments"
            " WHERE status = 'refunded'"
        )
        revoked = f"CASE WHEN {back} THEN {at} END"
        self._fill(
            "purchases", count, id="i", user_id=user, lesson_id=lesson_id, course_id=course_id,
            order_line_id="i", payment_id="'bench-charge-' || i", amount=amount,
            status="'completed'", is_test="FALSE", revoked_at=revoked, **times,
        )  # fmt: skip
        self._run(
            "UPDATE users SET purchases = held.number, spent = held.stars"
            " FROM (SELECT user_id, count(*) AS number, sum(amount) AS stars FROM purchases"
            " WHERE revoked_at IS NULL GROUP BY user_id) AS held WHERE held.user_id = users.id"
        )


USER_COLUMNS = (
    "id", "telegram_id", "username", "first_name", "last_name", "language_code", "theme",
    "timezone", "role_id", "is_active", "token_version", "source", "last_seen_at", "created_at",
    "updated_at", "version", "search_key",
)  # fmt: skip
TICKET_COLUMNS = (
    "id", "user_id", "subject", "message", "status", "admin_response", "assignee_id",
    "waiting_since", "first_reply_at", "last_message_at", "created_at", "updated_at", "version",
    "search_key",
)  # fmt: skip
MESSAGE_COLUMNS = ("id", "chat_id", "sender_id", "side", "body", "internal", "created_at")
CHANGE_COLUMNS = (
    "id", "change_set_id", "entity", "entity_id", "root", "root_id", "op", "before", "after",
)  # fmt: skip


def _price(lesson: str) -> str:
    return f"(50 + {lesson} * 37 % 250)"


def _name(number: int, people: dict[str, Any]) -> tuple[str, str, str]:
    """One in seven is English; the others run through all pairs of names."""
    if number % 7 == 0:
        first = people["english"][number % len(people["english"])][0]
        last = people["english"][number // 7 % len(people["english"])][1]
        return first, last, "en"
    female = number % 2
    names = people["women"] if female else people["men"]
    surnames = people["surnames"]
    return names[number % len(names)], surnames[number // 3 % len(surnames)][female], "ru"


def _for_sqlite(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    return int(value) if isinstance(value, bool) else value
