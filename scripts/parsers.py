"""Hostile inputs for everything that reads a text from outside: only the errors that a parser declares come out of it.

python -m scripts.parsers [--cases 1000000] [--seed 1]

Inputs are made from a corpus of right and odd ones by cutting, doubling, exchanging and putting in what has broken
parsers before. The same seed makes the same inputs. `scripts/fuzz.py --parsers` is the same command.
"""

import argparse
import base64
import io
import json
import random
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

from aiogram.types import Message, Update
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from backend.bot import keyboards, markup
from backend.bot.handlers.menu import CODE, THING
from backend.bot.payments import charge_of
from backend.bot.profile import START
from backend.core import csrf, hosts, i18n, links, media, otp, passkeys, security, sheets, text, useragents
from backend.core.auth import DEVICE_COOKIE, VISITOR_COOKIE, visitor_key
from backend.core.config import Settings
from backend.core.devices import Device, device_of
from backend.core.elsewhere import Provider
from backend.core.errors import AppError, InvalidError
from backend.core.saved import fitting
from backend.core.textdiff import compare
from backend.core.validation import explain
from backend.database.listing import Cursor, decode_cursor, parse_sort
from backend.database.models.lessons import Lesson
from backend.database.models.users import User
from backend.database.schemas.base import Input, ListParams
from backend.database.schemas.orders import OrderCreate, PreCheckout
from backend.database.schemas.purchases import PurchaseCreate
from backend.database.search.keys import SEARCH_LENGTH, key_of, normalise, ways
from backend.routes import ROUTERS
from scripts.mutating import Mutator

CASES, SEED = 1_000_000, 1
SHOWN = 20


@dataclass(frozen=True)
class Target:
    """A parser: what it may raise, what good inputs look like, how often it gets its turn."""

    name: str
    read: Callable[[str], object]
    corpus: Sequence[str]
    declared: tuple[type[BaseException], ...] = ()
    weight: int = 1


# -- what is read


def settings() -> Settings:
    key = "parsers-0123456789-abcdefghij-ABCDEFGHIJ"
    return Settings(_env_file=None, secret_key=key, database_url="sqlite://")


OURS = settings()
VISITOR = "v" * 22
DEVICE = Device("d" * 16, ((7, "a" * 16), (8, "b" * 16))).seal(OURS)
TICKET_TEXT = f"99999999999.{base64.urlsafe_b64encode(bytes(32)).decode().rstrip('=')}"
TICKET = f"{TICKET_TEXT}.{security.sign(OURS, passkeys.PURPOSE, f'{TICKET_TEXT}.{VISITOR}')}"

CSRF = f"{security.sign(OURS, csrf.PURPOSE, f'{len(VISITOR)}!{VISITOR}!salt')}.salt"
# The same in every run: nothing of the clock, nothing random.
CLAIMS = {"sub": "1", "sid": 1, "iat": 1, "nbf": 1, "exp": 9_999_999_999, "jti": "x"}
JWT = security.encode_jwt(OURS, CLAIMS, timedelta())


def raw(given: str) -> bytes:
    return given.encode("utf-8", "surrogatepass")


def request(cookie: str = "") -> Request:
    app = SimpleNamespace(state=SimpleNamespace(settings=OURS))
    scope = {"type": "http", "headers": [(b"cookie", raw(cookie))], "app": app, "state": {"csrf_key": VISITOR}}
    return Request(scope)


def body(schema: type[BaseModel]) -> Callable[[str], object]:
    """A body of /api, as FastAPI reads it; what is wrong with it is told in words."""

    def read(given: str) -> object:
        try:
            return schema.model_validate(json.loads(raw(given)))
        except ValidationError as error:
            return explain(error.errors())
        except (ValueError, RecursionError):  # no JSON
            return None

    return read


def update(given: str) -> object:
    made = Update.model_validate_json(raw(given))
    return charge_of(made.message) if isinstance(made.message, Message) else None


def deep_link(given: str) -> object:
    start = START.fullmatch(given)
    thing = THING.fullmatch(start[1] if start else given)
    return int(thing[2]) if thing else CODE.fullmatch(given)


def button(given: str) -> None:
    for kind in (keyboards.Go, keyboards.Show, keyboards.Act, keyboards.OpenLesson, keyboards.Reply, keyboards.Speak):
        with suppress(ValueError, TypeError):  # what aiogram's own filter catches
            kind.unpack(given)


def below(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for each in kind.__subclasses__():
        yield each
        yield from below(each)


def schemas(kind: type[BaseModel]) -> list[type[BaseModel]]:
    """Every schema of ours that is one of these; the routes have brought all of them along."""
    assert ROUTERS
    ours = (each for each in below(kind) if each.__module__.startswith("backend."))
    return sorted(ours, key=lambda each: f"{each.__module__}.{each.__name__}")


LISTS = schemas(ListParams)


def filters(given: str) -> object:
    """A list's address, read by the schema of each list by turns, and as a saved view."""
    schema = LISTS[len(given) % len(LISTS)]
    with suppress(InvalidError):
        fitting(schema, given)
    try:
        return schema.model_validate(dict(parse_qsl(given, keep_blank_values=True)))
    except ValidationError as error:
        return explain(error.errors())


COLUMNS: tuple[tuple[str, Any], ...] = (
    ("id", User.id),
    ("created_at", User.created_at),
    ("name", User.first_name),
    ("price", Lesson.price),
)


def cursor(given: str) -> None:
    """What stands in a cursor, and the cursor itself."""
    inside = base64.urlsafe_b64encode(raw(given)).decode().rstrip("=")
    for sort, column in COLUMNS:
        for written in (inside, given):
            with suppress(AppError):
                found = decode_cursor(written, sort, column)
                assert decode_cursor(found.encode(), sort, column) == found
    parse_sort(given, [name for name, _column in COLUMNS])


def markdown(given: str) -> None:
    """What a schema lets through of it: no half of a character."""
    given = given.encode("utf-8", "replace").decode()
    html = str(text.markdown(given))
    assert "<script" not in html.lower()
    assert " hx-" not in html.removeprefix('<div class="ly-prose" hx-ignore>').partition(">")[0]
    pages = markup.split(markup.from_markdown(given))
    assert all(markup.units(page.striptags()) <= markup.TEXT_UNITS for page in pages)


def cookies(given: str) -> None:
    known = f"{DEVICE_COOKIE}={DEVICE}", f"{DEVICE_COOKIE}={given}", f"{VISITOR_COOKIE}={given}", given
    for header in known:
        made = request(header)
        device = device_of(made, OURS)
        assert device.people in ((), ((7, "a" * 16), (8, "b" * 16)))
        visitor_key(made, OURS)


def tokens(given: str) -> None:
    with suppress(AppError):
        passkeys.challenge_of(request(), given)
        assert given == TICKET
    with suppress(AppError):
        csrf.check(OURS, {"sec-fetch-site": "same-origin", "origin": given}, VISITOR, given)
        assert given == CSRF
    if given.isascii():  # a header that is not is no token
        assert security.decode_jwt(OURS, given) in (None, security.decode_jwt(OURS, JWT))
    otp.plain(given)
    otp.recovery_code(given)
    passkeys.id_of(given)


def searched(given: str) -> None:
    key = key_of(given)
    assert len(key) <= SEARCH_LENGTH
    assert normalise(normalise(given)) == normalise(normalise(normalise(given)))
    assert all(alternative for way in ways(given) for term in way for alternative in term)
    text.mark(given, given[:3])


def words(given: str) -> None:
    """The small ones: headers, names, addresses to go on to."""
    i18n.negotiate(given)
    useragents.describe(given)
    text.initials(given)
    text.plain(given)
    assert media.label(given).isprintable()
    media.sniff(raw(given)[:64])
    assert links.local_path(given).startswith("/")
    assert not links.local_path(given).startswith(("//", "/\\"))
    hosts.is_loopback(given)
    Provider("oidc", "x", "https://id.example", "x", "x").allows(given)
    compare(given[:150], given[::-1][:150])


def moment(given: str) -> object:
    return text.from_local_input(given, "Europe/Moscow")


class Sheet:
    """A table on disk, as uploads are; a workbook as far as the part that looks before it is opened."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "table"

    def read(self, given: str) -> None:
        """Text of Latin-1 letters alone is bytes."""
        whole = given.encode("latin-1", "ignore") if given.startswith("PK") or len(given) % 3 == 0 else raw(given)
        self.path.write_bytes(whole)
        if whole.startswith(sheets.ZIP):
            sheets._check_zip(self.path)  # noqa: SLF001 - the reader behind it is a process of its own
        else:
            for _row in sheets.read(self.path):
                pass


def workbook() -> str:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
        archive.writestr("xl/worksheets/sheet1.xml", "<worksheet/>")
    return made.getvalue().decode("latin-1")


# -- what right inputs look like

PAID = {"payload": "Jm4yW0mB2m0cQqkP0n5cXb1u4GJx2b8d", "telegram_id": 7, "currency": "XTR"}
PERSON = {"id": 7, "is_bot": False, "first_name": "Мария", "language_code": "ru"}
SAID = {"message_id": 1, "date": 1, "chat": {"id": 7, "type": "private"}, "from": PERSON}
MONEY = {"currency": "XTR", "total_amount": 199, "invoice_payload": "x", "telegram_payment_charge_id": "c"}
UPDATES = (
    {"update_id": 1, "message": {**SAID, "text": "/start lesson_7"}},
    {"update_id": 2, "message": {**SAID, "successful_payment": {**MONEY, "provider_payment_charge_id": ""}}},
    {"update_id": 3, "callback_query": {"id": "1", "from": PERSON, "chat_instance": "1", "data": "g1:menu:0"}},
    {"update_id": 4, "pre_checkout_query": {"id": "1", "from": PERSON, **MONEY}},
)
LESSON = (
    "# Свет из окна\n\nМягкий *портрет* у **окна** и `код`.\n\n1. один\n2. два\n   - три\n\n> слова\n\n[да](https://x.example)",
    "```python\nprint(1)\n```\n\n***\n\n![фото](https://x.example/a.png) <https://x.example>\n\n| a | b |\n|---|---|\n",
    "* a\n  * b\n    * c\n\n[x]: https://x.example 'y'\n[x]\n\nтекст\\\nдальше &amp; &#1071;",
)
ADDRESSES = (
    "q=мария&sort=-created_at&limit=50&is_active=true&joined_since=2026-11-01",
    "price_min=1&price_max=100&tag=свет&cursor=WyJpZCIsMSwxLDBd&status=open&user_id=7",
    "q=&sort=&limit=&is_free=on&since=2026-11-25T10:00:00Z&role=admin&kind=export",
)
CSV = (
    "telegram_id,first_name\n1,Мария\n2,\"Пётр; \"\"Ы\"\"\"\n",
    "sep=;\ntelegram_id;имя\n1;Анна\n2;Юлия\n",
    "\ufeffa\tb\tc\n1\t2\t3\n\n4\t5\t6\n",
)  # fmt: skip


def written(*values: object) -> tuple[str, ...]:
    return tuple(json.dumps(value, ensure_ascii=False) for value in values)


def targets(folder: Path) -> list[Target]:
    orders = written({"user_id": 1, "lesson_id": 7, "promo_code": "SPRING"}, {"user_id": 1, "course_id": 2})
    cursors = tuple(
        written(["id", 5, 5, 0], ["name", "Мария", 7, 1], ["created_at", "2026-11-25T10:00:00+00:00", 5, 0])
    )
    whole = tuple(Cursor(name, 5, 5).encode() for name in ("id", "price", "-created_at"))
    answer = written({"id": "x", "rawId": "x", "type": "public-key", "response": {"clientDataJSON": "e30"}})
    buttons = ("g1:menu:0", "s1:lesson:7:1", "a1:buy:course:3:1", "lesson:7", "r1:42", "l1:ru")
    searches = ("Мария Ковалёва", "@masha", "+418 220-907", "vfhbz", "kovaleva", "ёж ЁЖ", "yulia shch")
    names = ("ru-RU,ru;q=0.9,en;q=0.8", "Mozilla/5.0 (X11; Linux) Firefox/133.0", "../../урок.mp4", "/dashboard/?q=a#b")
    addresses = ("https://id.example/token", "127.0.0.1", "[::1]", "https://id.example:443/", "localhost")
    return [
        Target("orders", body(OrderCreate), orders, weight=4),
        Target("checkouts", body(PreCheckout), written({**PAID, "total_amount": 199}), weight=4),
        Target("payments", body(PurchaseCreate), written({**PAID, "amount": 199, "payment_id": "c"}), weight=4),
        Target("bodies", bodies(), (*orders, *written({"title": "Свет", "price": 100, "is_active": True})), weight=6),
        Target("updates", update, written(*UPDATES), (ValidationError,), weight=4),
        Target(
            "deep links", deep_link, ("/start lesson_7", "/start@bot course_3", "promo_SPRING", "lesson_7"), weight=6
        ),
        Target("buttons", button, buttons, weight=6),
        Target("filters", filters, ADDRESSES, weight=6),
        Target("cursors", cursor, (*cursors, *whole), (AppError,), weight=6),
        Target("Markdown", markdown, LESSON, weight=3),
        Target("cookies", cookies, (DEVICE, VISITOR, f"{DEVICE_COOKIE}={DEVICE}; lyceum=x", "7:a-8:b"), weight=4),
        Target("tokens", tokens, (TICKET, CSRF, JWT, *answer, "123 456", "ABCD-EFGH"), weight=4),
        Target("search", searched, searches, weight=8),
        Target("words", words, (*names, *addresses), weight=4),
        Target("moments", moment, ("2026-11-25T10:00", "2026-11-25T10:00:00Z"), (ValueError, OverflowError), weight=4),
        Target("tables", Sheet(folder).read, (*CSV, workbook(), workbook()), (AppError,), weight=4),
    ]


def bodies() -> Callable[[str], object]:
    """Every schema of what comes from outside, by turns."""
    readers = [body(schema) for schema in schemas(Input)]
    return lambda given: readers[len(given) % len(readers)](given)


# -- at work


@dataclass
class Found:
    """What came out. `slowest`: seconds, and the input that took them."""

    cases: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")


def fuzz(cases: int, seed: int = SEED, chosen: Callable[[Path], list[Target]] = targets) -> Found:
    """Each parser in its turn, `cases` inputs in all."""
    mutator, found = Mutator(random.Random(seed)), Found()  # noqa: S311 - to be made again from its seed
    with tempfile.TemporaryDirectory(prefix="lyceum-parsers-") as name:
        turns = [target for target in chosen(Path(name)) for _turn in range(target.weight)]
        for _case, target in zip(range(cases), cycle(turns), strict=False):
            _try(target, mutator.of(target.corpus), found)
    return found


def _try(target: Target, given: str, found: Found) -> None:
    found.cases[target.name] = found.cases.get(target.name, 0) + 1
    began = time.perf_counter()
    try:
        target.read(given)
    except target.declared:
        pass
    except Exception as error:  # noqa: BLE001 - it is what is looked for
        found.broken.append(f"{target.name}: {type(error).__name__}: {error!s:.200} from {given!r:.600}")
    took = time.perf_counter() - began
    if took > found.slowest[0]:
        found.slowest = took, f"{target.name}: {given!r:.80}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    began = time.perf_counter()
    found = fuzz(asked.cases, asked.seed)
    took = time.perf_counter() - began
    for name, count in found.cases.items():
        print(f"{name:12} {count:9,}")
    print(f"{sum(found.cases.values()):,} inputs in {took:.0f} s, {asked.cases / took:,.0f} a second")
    print(f"the slowest took {found.slowest[0] * 1000:.0f} ms: {found.slowest[1]}")
    print(f"{len(found.broken)} came out with an error that is not declared", *found.broken[:SHOWN], sep="\n")
    return 1 if found.broken else 0


if __name__ == "__main__":
    sys.exit(main())
