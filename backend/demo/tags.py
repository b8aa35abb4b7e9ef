"""Tags of the demo school: on lessons by what they teach, on students by what they did."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from backend.database.crud.tags import TagCRUD
from backend.database.models.lessons import Lesson
from backend.database.models.tags import LessonTag, Tag, UserTag
from backend.database.models.users import User
from backend.demo.catalogue import Catalogue
from backend.demo.content import dice, read
from backend.demo.journal import Step
from backend.demo.sales import Sale

REGULAR = 4  # paid purchases
BETWEEN, CHOSEN_AFTER = timedelta(seconds=20), timedelta(days=2)


@dataclass(frozen=True)
class Mark:
    """One tag that somebody of the staff put on one record."""

    tag: Tag
    record: Lesson | User
    at: datetime
    actor: User
    link: LessonTag | UserTag

    def settle(self) -> LessonTag | UserTag:
        """The link between the two, once both have their numbers."""
        self.link.tag_id, self.link.row_id = self.tag.id, self.record.id
        return self.link

    def step(self) -> Step:
        return Step(self.at, label="tag", actor=self.actor).make(self.link)


class _Marking:
    def __init__(self, session: Session, staff: dict[str, User]) -> None:
        self.known = TagCRUD(session)
        self.staff = staff
        self.tags: dict[str, Tag] = {}

    def put(self, name: str, record: Lesson | User, at: datetime) -> Mark:
        tag = self.tags.get(name) or self.known.find(name) or Tag(name=name, name_key=name.casefold())
        self.tags[name] = tag
        if isinstance(record, Lesson):
            return Mark(tag, record, at, self.staff["author"], LessonTag())
        return Mark(tag, record, at, self.staff["manager"], UserTag())


def build(session: Session, made: Catalogue, sold: Sequence[Sale], now: datetime) -> list[Mark]:
    """A tag that the school has already is used as it is."""
    marking = _Marking(session, made.staff)
    lessons = [(made.lessons[entry["key"]], entry["tags"]) for entry in read("school")["lessons"]]
    marks = [
        marking.put(name, lesson, lesson.created_at + place * BETWEEN)
        for lesson, names in lessons
        for place, name in enumerate(names, 1)
    ]
    marks += [marking.put(name, student, at) for name, student, at in _students(sold, now)]
    return marks


def _students(sold: Sequence[Sale], now: datetime) -> Iterator[tuple[str, User, datetime]]:
    bought: dict[int, list[Sale]] = {}
    for sale in sold:
        if sale.payment is not None and sale.refund is None:
            bought.setdefault(id(sale.user), []).append(sale)
    words, rng = read("people")["tags"], dice("tags")
    for sales in bought.values():
        if len(sales) >= REGULAR:
            yield words["regular"], sales[0].user, _paid(sales[REGULAR - 1])
    early = [sales[0] for sales in bought.values() if _paid(sales[0]) + CHOSEN_AFTER < now]
    for name, number in words["chosen"].items():
        for sale in rng.sample(early, min(number, len(early))):
            yield name, sale.user, _paid(sale) + CHOSEN_AFTER


def _paid(sale: Sale) -> datetime:
    assert sale.payment is not None
    return sale.payment.created_at
