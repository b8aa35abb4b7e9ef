"""Takes the demo school out again, with all that test sales hung on it.

What real Stars bought stays, off sale.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import CursorResult, Select, and_, delete, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from backend.core.context import Actor, Door
from backend.core.events import Event
from backend.core.i18n import _
from backend.core.school import KEY as SCHOOL_KEY
from backend.database.chain.redacting import Redactor, redacting
from backend.database.crud.entitlements import EntitlementCRUD
from backend.database.crud.ledger import TAKEN
from backend.database.crud.revenue import RevenueCRUD
from backend.database.crud.settings import SettingCRUD
from backend.database.models.courses import Course, CourseLesson
from backend.database.models.dispatches import Dispatch
from backend.database.models.history import Change, ChangeSet, ChangeSetPart
from backend.database.models.lessons import Lesson
from backend.database.models.media import Media
from backend.database.models.orders import Order, OrderLine, Payment, Refund
from backend.database.models.promo_codes import PromoCode, PromoRedemption
from backend.database.models.purchases import Purchase
from backend.database.models.system import BotChat, Setting
from backend.database.models.tags import TAGGED, LessonTag, Tag, UserTag
from backend.database.models.tickets import Chat, Message, SupportTicket
from backend.database.models.users import User
from backend.database.session import Database
from backend.demo.summary import KEY, SCHOOL, Summary, from_ranges

CHUNK = 500
REAL = and_(~Payment.is_test, Payment.provider == "stars")
# Rows are numbered anew on SQLite: what was noted under these names must not meet another row of
# the same number.
NOTICES = {
    Purchase: ("receipt", "grant"),
    Refund: ("refund", "refund-notice"),
    Message: ("message",),
}
Ids = set[int]
Column = InstrumentedAttribute[Any]


def remove(database: Database) -> Summary:
    """One transaction; the copied files go after it. An empty summary when there is no demo."""
    paths: list[Path] = []

    def work(session: Session) -> Summary:
        paths.clear()
        return _Removal(session).run(paths)

    summary = database.run(work, Actor(Door.DEMO))
    for path in paths:
        with suppress(FileNotFoundError):
            path.unlink()
    return summary


class _Removal:
    def __init__(self, session: Session) -> None:
        self.session = session
        self.demo: dict[str, Ids] = {}
        self.gone: dict[type[Any], Ids] = {}
        self.kept: list[str] = []

    def run(self, paths: list[Path]) -> Summary:
        remembered = SettingCRUD(self.session).find(KEY)
        if remembered is None:
            return Summary()
        self.demo = {table: from_ranges(ranges) for table, ranges in remembered["ids"].items()}
        self._lock()
        RevenueCRUD(self.session).reopen()
        self._sales()
        self._threads()
        self._catalogue()
        self._people()
        self._tags()
        folder = Path(remembered["media_dir"])
        paths += [folder / name for name in sorted(self._files())]
        with redacting(self.session, Event.DEMO_REMOVED) as redactor:
            self._history(redactor)
        own_name = SettingCRUD(self.session).find(SCHOOL_KEY) not in (None, SCHOOL)
        self._delete(Setting, Setting.key, [KEY] if own_name else [KEY, SCHOOL_KEY])
        rows = {model.__tablename__: len(ids) for model, ids in self.gone.items() if ids}
        return Summary(rows, tuple(self.kept))

    def _lock(self) -> None:
        """Nobody buys or writes here meanwhile."""
        for model in (User, Lesson, Course, PromoCode):
            self._find(
                lambda ids, model=model: select(model.id).where(model.id.in_(ids)).with_for_update(),  # type: ignore[misc] # bound now
                self.demo[model.__tablename__],
            )

    # -- what goes

    def _sales(self) -> None:
        orders = self._orders()
        lines, payments = self._of(OrderLine.order_id, orders), self._of(Payment.order_id, orders)
        refunds, redeemed = (
            self._of(Refund.payment_id, payments),
            self._of(PromoRedemption.order_id, orders),
        )
        bought = self._of(Purchase.order_line_id, lines) | self._gifts()
        buyers = self._values(Purchase.user_id, Purchase.id, bought)
        promos = self._values(PromoRedemption.promo_id, PromoRedemption.id, redeemed)
        self._remove(Refund, refunds)
        self._remove(Payment, payments)
        self._remove(Purchase, bought)
        EntitlementCRUD(self.session).recount(buyers)
        self._remove(PromoRedemption, redeemed)
        self._remove(OrderLine, lines)
        self._remove(Order, orders)
        self._recount(promos)

    def _orders(self) -> Ids:
        """All orders by demo people or for demo things, and test orders with demo codes; none that
        has real Stars.
        """
        by_promo = self._of(Order.promo_id, self.demo["promo_codes"])
        found = self._of(Order.user_id, self.demo["users"]) | self._kept_if(by_promo, Order.is_test)
        for column in (OrderLine.lesson_id, OrderLine.course_id):
            lines = self._of(column, self.demo[_table(column)])
            found |= self._values(OrderLine.order_id, OrderLine.id, lines)
        real = select(Payment.order_id).where(REAL)
        return found - self._find(lambda ids: real.where(Payment.order_id.in_(ids)), found)

    def _kept_if(self, orders: Ids, condition: Any) -> Ids:
        return self._find(lambda ids: select(Order.id).where(Order.id.in_(ids), condition), orders)

    def _gifts(self) -> Ids:
        """Purchases without an order: given to demo people, or of demo things."""
        found = Ids()
        for column in (Purchase.user_id, Purchase.lesson_id, Purchase.course_id):
            found |= self._of(column, self.demo[_table(column)])
        free = Purchase.order_line_id.is_(None)
        return self._find(lambda ids: select(Purchase.id).where(Purchase.id.in_(ids), free), found)

    def _threads(self) -> None:
        tickets = self._of(SupportTicket.user_id, self.demo["users"])
        chats = self._of(Chat.ticket_id, tickets)
        self._remove(Message, self._of(Message.chat_id, chats))
        self._remove(Chat, chats)
        self._remove(SupportTicket, tickets)

    def _catalogue(self) -> None:
        courses = self._unnamed(Course, OrderLine.course_id, Purchase.course_id)
        kept = self.demo["courses"] - courses
        # Whoever holds a course opens its lessons through it.
        inside = self._values(CourseLesson.lesson_id, CourseLesson.course_id, kept)
        lessons = self._unnamed(Lesson, OrderLine.lesson_id, Purchase.lesson_id, named=inside)
        places = self._of(CourseLesson.course_id, courses) | self._of(CourseLesson.lesson_id, lessons)
        self._remove(CourseLesson, places)
        self._remove(LessonTag, self._of(LessonTag.row_id, lessons))
        self._remove(Course, courses)
        self._remove(Lesson, lessons)
        self._remove(PromoCode, self._unnamed(PromoCode, Order.promo_id))

    def _people(self) -> None:
        people = self._unnamed(User, Order.user_id, Purchase.user_id)
        chats = self._values(User.telegram_id, User.id, people)
        self._delete(BotChat, BotChat.telegram_id, chats)
        self._remove(UserTag, self._of(UserTag.row_id, people))
        self._remove(User, people)

    def _tags(self) -> None:
        """The words that nothing carries any more."""
        mine = self.demo.get("tags", Ids())
        carried = (self._values(link.tag_id, link.tag_id, mine) for link in TAGGED.values())
        self._remove(Tag, mine.difference(*carried))

    def _files(self) -> set[str]:
        """Removes the videos that no lesson shows any more; their paths."""
        media = self.demo.get("media", Ids())
        unused = media - self._values(Lesson.media_id, Lesson.media_id, media)
        paths = self._values(Media.path, Media.id, unused)
        self._remove(Media, unused)
        return paths

    def _unnamed(self, model: type[Any], *by: Column, named: Iterable[int] = ()) -> Ids:
        """The demo rows that nothing names any more. The others stay, off sale."""
        mine = self.demo[model.__tablename__]
        kept = mine.intersection(named).union(*(self._values(column, column, mine) for column in by))
        for row in self.session.scalars(select(model).where(model.id.in_(kept)).order_by(model.id)):
            if isinstance(row, User):
                self.kept.append(_("%s has paid with real Stars and stays.") % row.name)
                continue
            row.is_active = False
            name = row.code if isinstance(row, PromoCode) else row.title
            self.kept.append(_("“%s” was sold for real Stars: it stays, off sale.") % name)
        self.session.flush()
        return mine - kept

    def _recount(self, promos: Ids) -> None:
        """The school's own codes get back the uses of the orders that went."""
        taken = select(func.count()).where(PromoRedemption.promo_id == PromoCode.id, PromoRedemption.state.in_(TAKEN))
        for ids in _chunks(promos):
            counted = update(PromoCode).where(PromoCode.id.in_(ids))
            self._execute(counted.values(current_uses=taken.scalar_subquery()))

    def _history(self, redactor: Redactor) -> None:
        touched = Ids()
        for model, ids in self.gone.items():
            for some in _chunks(ids):
                name = model.__tablename__
                mine = or_(
                    and_(Change.entity == name, Change.entity_id.in_(some)),
                    and_(Change.root == name, Change.root_id.in_(some)),
                )
                touched.update(self.session.scalars(select(Change.change_set_id).where(mine)))
                with redactor.touching("changes", self.session.scalars(select(Change.id).where(mine))):
                    self._execute(delete(Change).where(mine))
        empty = touched - self._values(Change.change_set_id, Change.change_set_id, touched)
        for some in _chunks(empty):
            undoing = ChangeSet.undoes_id.in_(some)
            with redactor.touching("change_sets", self.session.scalars(select(ChangeSet.id).where(undoing))):
                self._execute(update(ChangeSet).where(undoing).values(undoes_id=None))
        with redactor.touching("change_sets", empty):
            self._delete(ChangeSet, ChangeSet.id, empty)
        part = ChangeSetPart
        left = select(Change.id).where(
            Change.change_set_id == part.change_set_id, Change.root == part.root, Change.entity == part.entity
        )
        for some in _chunks(touched - empty):
            self._execute(delete(part).where(part.change_set_id.in_(some), ~left.exists()))

    # -- how

    def _remove(self, model: type[Any], ids: Ids) -> None:
        for prefix in NOTICES.get(model, ()):
            keys = [f"{prefix}:{row_id}" for row_id in ids]
            self._delete(Dispatch, Dispatch.dedupe_key, keys)
        self._delete(model, model.id, ids)
        self.gone[model] = ids

    def _delete(self, model: type[Any], column: Column, values: Iterable[Any]) -> None:
        for some in _chunks(values):
            self._execute(delete(model).where(column.in_(some)))

    def _execute(self, statement: Any) -> CursorResult[Any]:
        result = self.session.execute(statement, execution_options={"synchronize_session": False})
        assert isinstance(result, CursorResult)
        return result

    def _of(self, column: Column, parents: Iterable[int]) -> Ids:
        """The ids of the rows whose column names one of the parents."""
        return self._values(column.class_.id, column, parents)

    def _values(self, wanted: Column, column: Column, values: Iterable[Any]) -> set[Any]:
        return self._find(lambda some: select(wanted).where(column.in_(some)), values)

    def _find(self, look: Callable[[list[Any]], Select[Any]], values: Iterable[Any]) -> set[Any]:
        """What a query finds for values of any number; nulls left out."""
        found = {row for some in _chunks(values) for row in self.session.scalars(look(some))}
        return found - {None}


def _table(column: Column) -> str:
    """The table that a foreign key names."""
    (key,) = column.property.columns[0].foreign_keys
    return str(key.column.table.name)


def _chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    ordered = iter(sorted(values))
    while some := list(islice(ordered, CHUNK)):
        yield some
