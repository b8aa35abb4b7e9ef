"""What the demo school sells, and who works there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from backend.database.crud.media import StoredFile
from backend.database.models.courses import Course, CourseLesson
from backend.database.models.lessons import Lesson
from backend.database.models.media import Media
from backend.database.models.promo_codes import PromoCode
from backend.database.models.users import Role, User
from backend.demo.content import days_before, read
from backend.demo.journal import Step

Item = Lesson | Course


@dataclass
class Catalogue:
    """Rows by the keys of `school.toml`; `items` are what can be bought, with their entry there."""

    staff: dict[str, User] = field(default_factory=dict)
    lessons: dict[str, Lesson] = field(default_factory=dict)
    courses: dict[str, Course] = field(default_factory=dict)
    promos: list[tuple[PromoCode, Mapping[str, Any]]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    @cached_property
    def items(self) -> list[tuple[Item, Mapping[str, Any]]]:
        data = read("school")
        lessons = [(self.lessons[entry["key"]], entry) for entry in data["lessons"]]
        courses = [(self.courses[entry["key"]], entry) for entry in data["courses"]]
        return [*lessons, *courses]


def build(
    now: datetime,
    roles: Mapping[str, Role],
    files: Mapping[str, StoredFile],
    taken: frozenset[str] = frozenset(),
) -> Catalogue:
    """`files`: the stored videos by their names in the data. `taken`: the school's own promo
    codes, folded.
    """
    data, made = read("school"), Catalogue()
    for entry in data["staff"]:
        made.staff[entry["key"]] = _person(entry, now, roles, made.steps)
    author, manager = made.staff["author"], made.staff["manager"]
    for entry in data["lessons"]:
        made.lessons[entry["key"]] = _lesson(entry, now, author, files, made.steps)
    for entry in data["courses"]:
        lessons = [made.lessons[key] for key in entry["lessons"]]
        made.courses[entry["key"]] = _course(entry, now, author, lessons, made.steps)
    for entry in data["promo_codes"]:
        promo = _promo(entry, now, taken)
        made.promos.append((promo, entry))
        made.steps.append(Step(promo.created_at, actor=manager).make(promo, current_uses=0))
    return made


def _person(entry: Mapping[str, Any], now: datetime, roles: Mapping[str, Role], steps: list[Step]) -> User:
    joined = days_before(now, 121)
    person = User(
        role=roles[entry["role"]],
        first_name=entry["first_name"],
        last_name=entry["last_name"],
        email=entry["email"],
        language_code="ru",
        ui_language="ru",
        timezone="Europe/Moscow",
        created_at=joined,
        updated_at=joined,
    )
    steps.append(Step(joined).make(person))
    return person


def _lesson(
    entry: Mapping[str, Any],
    now: datetime,
    author: User,
    files: Mapping[str, StoredFile],
    steps: list[Step],
) -> Lesson:
    added = days_before(now, entry["added"])
    lesson = Lesson(
        title=entry["title"],
        description=entry["description"],
        price=entry["price"],
        text_content=entry["text"].strip(),
        is_active=entry.get("is_active", True),
        is_free=entry.get("is_free", False),
        created_at=added,
        updated_at=added,
    )
    step = Step(added, actor=author)
    steps.append(step)
    if "video" in entry:
        lesson.media = _media(files[entry["video"]], added)
        step.make(lesson.media, uploader_id=None)
    changed = entry.get("changed")
    step.make(lesson, price=changed["price"] if changed else lesson.price, is_active=True)
    if changed:
        before, after = {"price": changed["price"]}, {"price": lesson.price}
        lesson.updated_at = days_before(now, changed["days"])
        steps.append(Step(lesson.updated_at, actor=author).move(lesson, before, after))
    if not lesson.is_active:
        lesson.updated_at = days_before(now, entry["until"])
        off = Step(lesson.updated_at, actor=author)
        steps.append(off.move(lesson, {"is_active": True}, {"is_active": False}))
    return lesson


def _media(stored: StoredFile, added: datetime) -> Media:
    return Media(
        path=stored.path,
        filename=stored.filename,
        mime=stored.mime,
        size=stored.size,
        sha256=stored.sha256,
        created_at=added,
        updated_at=added,
    )


def _course(entry: Mapping[str, Any], now: datetime, author: User, lessons: list[Lesson], steps: list[Step]) -> Course:
    added = days_before(now, entry["added"])
    course = Course(
        title=entry["title"],
        description=entry["description"],
        total_price=sum(lesson.price for lesson in lessons),
        discount_price=entry.get("discount_price"),
        created_at=added,
        updated_at=added,
    )
    course.course_lessons = [CourseLesson(lesson=lesson, position=place) for place, lesson in enumerate(lessons, 1)]
    step = Step(added, actor=author).make(course)
    for place in course.course_lessons:
        step.make(place)
    steps.append(step)
    return course


def _promo(entry: Mapping[str, Any], now: datetime, taken: frozenset[str]) -> PromoCode:
    code, added = entry["code"], days_before(now, entry["added"])
    while code.casefold() in taken:
        code += "X"
    return PromoCode(
        code=code,
        discount_percent=entry.get("discount_percent", 0),
        discount_amount=entry.get("discount_amount"),
        max_uses=entry.get("max_uses"),
        current_uses=0,
        is_active=entry.get("is_active", True),
        expires_at=days_before(now, -entry["expires_in"]) if "expires_in" in entry else None,
        created_at=added,
        updated_at=added,
    )


def price_then(item: Item, entry: Mapping[str, Any], at: datetime, now: datetime) -> int:
    """What it cost at that moment."""
    changed = entry.get("changed")
    if changed and at < days_before(now, changed["days"]):
        return int(changed["price"])
    return item.asked_price
