"""Writes the demo school."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.config import Settings
from backend.core.context import Actor, Door
from backend.core.media import MediaFolder
from backend.core.permissions import STUDENT
from backend.core.school import KEY as SCHOOL_KEY
from backend.database.base import Base
from backend.database.crud.entitlements import EntitlementCRUD
from backend.database.crud.media import StoredFile
from backend.database.crud.revenue import RevenueCRUD
from backend.database.crud.settings import SettingCRUD
from backend.database.crud.users import init_roles
from backend.database.models.promo_codes import PromoCode
from backend.database.models.users import User
from backend.database.session import Database
from backend.demo import catalogue, journal, sales, students, support, tags
from backend.demo.catalogue import Catalogue
from backend.demo.content import MEDIA, dice
from backend.demo.sales import Sale
from backend.demo.summary import KEY, SCHOOL, Summary, to_ranges
from backend.demo.support import Thread
from backend.demo.tags import Mark

Files = dict[str, StoredFile]


@dataclass
class School:
    catalogue: Catalogue
    students: list[User]
    sales: list[Sale]
    threads: list[Thread]
    marks: list[Mark]


def load(database: Database, settings: Settings, now: datetime | None = None) -> Summary:
    """Writes the whole school in one transaction, as it stands at `now`.

    An empty summary when it is there already.
    """
    folder = MediaFolder(settings.media_dir)
    files: Files = {}
    summary = Summary()
    try:
        for path in sorted(MEDIA.glob("*.mp4")):
            with path.open("rb") as file:
                files[path.name] = folder.keep(file, path.name)
        moment = now or clock.now()
        named = settings.school_name != Settings.model_fields["school_name"].default
        summary = database.run(lambda session: _load(session, folder, files, moment, named=named), Actor(Door.DEMO))
    finally:
        if not summary.rows:
            for stored in files.values():
                folder.discard(stored.path)
    return summary


def _load(session: Session, folder: MediaFolder, files: Files, now: datetime, *, named: bool) -> Summary:
    remembered = SettingCRUD(session)
    if remembered.find(KEY) is not None:
        return Summary()
    roles = init_roles(session)
    # The school has a history of its own, told in change sets of the time at which things happened.
    session.info["history"] = False
    taken = frozenset(session.scalars(select(PromoCode.code_key)))
    made = catalogue.build(now, roles, files, taken)
    people = students.build(now, roles[STUDENT])
    sold = sales.build(now, made, people)
    threads = support.build(now, people, sold, made.staff["support"])
    students.settle_down(dice("leaving"), people, now)
    school = School(made, people, sold, threads, tags.build(session, made, sold, now))
    RevenueCRUD(session).reopen()
    rows = list(_write(session, school))
    EntitlementCRUD(session).recount([student.id for student in people])
    journal.write(session, list(_steps(school)))
    ids: dict[str, set[int]] = {}
    for row in rows:
        ids.setdefault(row.__tablename__, set()).add(row.id)  # type: ignore[attr-defined] # every demo table has an id
    if not named and remembered.find(SCHOOL_KEY) is None:
        remembered.put(SCHOOL_KEY, SCHOOL)
    remembered.put(
        KEY,
        {
            "ids": {table: to_ranges(found) for table, found in ids.items()},
            "media_dir": str(folder.folder.resolve()),
        },
    )
    return Summary({table: len(found) for table, found in ids.items()})


def _write(session: Session, school: School) -> Iterator[Base]:
    """In two strokes: what refers to others by number comes when these have theirs."""
    first = [
        *school.catalogue.staff.values(),
        *school.students,
        *school.catalogue.lessons.values(),
        *school.catalogue.courses.values(),
        *(promo for promo, _entry in school.catalogue.promos),
        *(sale.order for sale in school.sales if sale.order),
        *(thread.ticket for thread in school.threads),
        *(mark.tag for mark in school.marks),
    ]
    yield from _add(session, first)
    yield from _add(session, [*_second(school.sales), *(mark.settle() for mark in school.marks)])


def _second(sold: list[Sale]) -> Iterator[Base]:
    for sale in sold:
        if sale.order and sale.purchase and not sale.payment:
            sale.purchase.payment_id = f"free:{sale.order.id}"
        if sale.order and sale.redemption and sale.promo:
            sale.redemption.order_id = sale.order.id
            sale.redemption.user_id = sale.user.id
            sale.redemption.promo_id = sale.promo.id
        made = (sale.payment, sale.purchase, sale.redemption, sale.refund)
        yield from (row for row in made if row is not None)


def _add(session: Session, rows: list[Base]) -> list[Base]:
    session.add_all(rows)
    made = [row for row in session.new if isinstance(row, Base)]
    session.flush()
    return made


def _steps(school: School) -> Iterator[journal.Step]:
    staff = school.catalogue.staff
    yield from school.catalogue.steps
    for student in school.students:
        yield journal.Step(student.created_at).make(student, is_active=True, blocked_bot_at=None)
    yield from sales.steps(school.sales, staff["support"], staff["manager"])
    for thread in school.threads:
        yield from thread.steps
    yield from (mark.step() for mark in school.marks)
