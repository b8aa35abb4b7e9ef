"""The students of the demo school."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from backend.database.models.users import Role, User
from backend.demo.content import dice, moment, read

STUDENTS, ENGLISH = 200, 30
OLDEST = 118  # days
HAS_NAME = 0.9  # a last name, and apart from it a @username
USERNAME = range(5, 33)  # letters
# Telegram gives out no such numbers: nobody who exists can get a message that was meant for a demo
# student.
FIRST_TELEGRAM_ID = 990_000_000_000


def build(now: datetime, role: Role) -> list[User]:
    """In the order in which they came: more every week."""
    rng = dice("students")
    people = [*_russian(rng), *_english(rng)]
    rng.shuffle(people)
    joined = sorted(_joined(rng, now) for _ in people)
    numbers = sorted(rng.sample(range(10**9), len(people)))
    used: set[str] = set()
    return [
        _student(rng, role, person, at, FIRST_TELEGRAM_ID + number, used)
        for person, at, number in zip(people, joined, numbers, strict=True)
    ]


def _russian(rng: random.Random) -> Iterator[tuple[str, str, str]]:
    data = read("people")
    names = [(name, 1) for name in data["women"]] + [(name, 0) for name in data["men"]]
    everyone = [(name, forms[female], "ru") for name, female in names for forms in data["surnames"]]
    # The student whom the documentation and the pictures know comes first.
    known = ("Мария", "Ковалёва", "ru")
    yield known
    yield from rng.sample([person for person in everyone if person != known], STUDENTS - ENGLISH - 1)


def _english(rng: random.Random) -> Iterator[tuple[str, str, str]]:
    for first, last in rng.sample(read("people")["english"], ENGLISH):
        yield first, last, "en"


def _joined(rng: random.Random, now: datetime) -> datetime:
    # U ** 0.6 leans towards 1: the closer to now, the more people came.
    at = moment(rng, now, int(OLDEST * (1 - rng.random() ** 0.6)))
    return at if at < now - timedelta(minutes=5) else at - timedelta(days=1)


def _student(
    rng: random.Random,
    role: Role,
    person: tuple[str, str, str],
    joined: datetime,
    telegram_id: int,
    used: set[str],
) -> User:
    first, last, language = person
    sources = [row for row in read("people")["sources"] if language == "ru" or row[2]]
    source = rng.choices([row[0] for row in sources], [row[1] for row in sources])[0]
    return User(
        role=role,
        telegram_id=telegram_id,
        first_name=first,
        last_name=last if rng.random() < HAS_NAME else None,
        username=_username(rng, first, last, used) if rng.random() < HAS_NAME else None,
        language_code=language,
        source=source or None,
        is_active=True,
        created_at=joined,
        updated_at=joined,
        last_seen_at=joined,
    )


def _username(rng: random.Random, first: str, last: str, used: set[str]) -> str:
    name, surname = latin(first), latin(last)
    forms = (
        f"{name}_{surname}",
        f"{surname}_{name[0]}",
        f"{name}.{surname}".replace(".", ""),
        f"{name[:4]}_{surname[:4]}",
        f"{surname}{rng.randrange(70, 100)}",
        f"{name}_photo",
    )
    for form in rng.sample(forms, len(forms)):
        if form not in used and len(form) in USERNAME:
            break
    else:
        form = f"{name}_{surname}{rng.randrange(10, 100)}"
    used.add(form)
    return form


def latin(name: str) -> str:
    letters: dict[str, Any] = read("people")["letters"]
    latin = "".join(letters.get(char, char) for char in name.casefold())
    return "".join(char for char in latin if char.isascii() and char.isalnum())


def settle_down(rng: random.Random, students: list[User], now: datetime) -> None:
    """Who was seen when, who left: after their sales are known."""
    for student in students:
        assert student.last_seen_at is not None
        idle = (now - student.last_seen_at).total_seconds()
        student.last_seen_at += timedelta(seconds=idle * rng.random() ** 3)
        student.updated_at = max(student.updated_at, student.last_seen_at)
    old = [person for person in students if person.created_at < now - timedelta(days=20)]
    for student in rng.sample(old, 6):
        student.blocked_bot_at = student.last_seen_at
    for student in rng.sample(old, 2):
        student.is_active = False
