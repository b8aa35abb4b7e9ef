"""The demo school goes in whole and comes out without a trace; what real Stars bought stays."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import delete, func, inspect, select
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.config import Settings
from backend.core.media import sniff
from backend.database.base import Base
from backend.database.chain.sealing import HEAD, seal
from backend.database.chain.verifying import verify
from backend.database.crud.history import HistoryCRUD
from backend.database.crud.ledger import LedgerCRUD
from backend.database.crud.tags import TagCRUD
from backend.database.crud.tickets import TicketCRUD
from backend.database.models.courses import Course, CourseLesson
from backend.database.models.history import Change, ChangeSet, ChangeSetPart
from backend.database.models.lessons import Lesson
from backend.database.models.media import Media
from backend.database.models.orders import Order, OrderLine, Payment, Refund
from backend.database.models.promo_codes import PromoCode, PromoRedemption
from backend.database.models.purchases import Purchase
from backend.database.models.system import Setting
from backend.database.models.tags import Tag
from backend.database.models.tickets import Message, SupportTicket
from backend.database.models.users import User
from backend.database.session import Database
from backend.demo import Summary, load, remove
from backend.demo.content import MEDIA, ZONE
from tests.factories import (
    make_course,
    make_lesson,
    make_order,
    make_promo,
    make_purchase,
    make_user,
)

NOW = datetime(2030, 11, 23, 12, 0, tzinfo=UTC)  # a Saturday that the clock of this machine has not reached
OURS = (User, Lesson, Course, CourseLesson, PromoCode, Order, OrderLine, Payment, Refund, Purchase)


# That a demo was removed, and what the chain of the history must know of it, stays.
AUDIT = {"security_events", "audit_redactions", "audit_blocks"}


def counts(db: Session) -> dict[str, int]:
    tables = [table for table in Base.metadata.sorted_tables if table.name not in AUDIT]
    return {table.name: db.scalar(select(func.count()).select_from(table)) or 0 for table in tables}


def told(db: Session, model: type[Any], *left_out: str) -> list[tuple[Any, ...]]:
    """The rows of a table in their order, without their numbers."""
    names = [
        attr.key
        for attr in inspect(model).column_attrs
        if attr.key not in left_out and attr.key != "id" and not attr.key.endswith("_id")
    ]
    rows = db.scalars(select(model).order_by(model.id))
    return [tuple(getattr(row, name) for name in names) for row in rows]


@pytest.fixture
def before(db: Session) -> dict[str, int]:
    return counts(db)


@pytest.fixture
def loaded(before: dict[str, int], database: Database, settings: Settings) -> Summary:
    return load(database, settings, NOW)


def check_it_is_as_large_as_promised(loaded: Summary, db: Session) -> None:
    exact = {name: loaded.rows[name] for name in ("users", "lessons", "courses", "media")}
    assert exact == {"users": 203, "lessons": 12, "courses": 3, "media": 2}
    free = select(func.count()).where(Lesson.is_free)
    shared = select(CourseLesson.lesson_id).group_by(CourseLesson.lesson_id).having(func.count() > 1)
    english = select(func.count()).where(User.language_code == "en", User.telegram_id.is_not(None))
    assert (db.scalar(free), len(db.scalars(shared).all()), db.scalar(english)) == (2, 3, 30)
    assert loaded.rows["purchases"] > 300
    assert loaded.rows["refunds"] == 7
    assert all(300 <= len(text or "") <= 900 for text in db.scalars(select(Lesson.text_content)))
    assert db.scalars(select(User).where(User.password_hash.is_not(None), User.login != "admin")).all() == []


def check_every_form_of_code_and_ticket(db: Session) -> None:
    codes = db.scalars(select(PromoCode)).all()
    assert any(code.discount_percent for code in codes)
    assert any(code.discount_amount for code in codes)
    assert [code.code for code in codes if code.max_uses == code.current_uses] == ["ПЕРВЫЕ15"]
    assert [code.code for code in codes if code.expires_at and code.expires_at < NOW] == ["ШКОЛА1"]
    assert [code.code for code in codes if not code.is_active] == ["BLACKFRIDAY"]
    states = db.execute(select(SupportTicket.status, SupportTicket.waiting_since.is_not(None))).all()
    assert Counter(map(tuple, states)) == {
        ("open", True): 8,
        ("in_progress", True): 4,
        ("in_progress", False): 6,
        ("closed", False): 16,
    }


def check_lessons_and_students_are_tagged(db: Session) -> None:
    lessons, students = TagCRUD(db).of("lessons", range(1, 10_000)), TagCRUD(db).of("users", range(1, 10_000))
    assert len(lessons) == 12
    assert ["портрет", "свет"] in lessons.values()
    told = Counter(name for names in students.values() for name in names)
    assert (told["отзыв в канале"], told["разбор работ"]) == (11, 7)
    paid = select(Purchase.user_id).where(Purchase.amount > 0, Purchase.status == "completed")
    often = db.scalars(paid.group_by(Purchase.user_id).having(func.count() >= 4)).all()
    assert {row_id for row_id, names in students.items() if "постоянный" in names} == set(often)
    assert len(often) > 5


def check_tickets_say_what_their_threads_say(database: Database) -> None:
    names = ("admin_response", "first_reply_at", "waiting_since", "last_message_at")
    with database.transaction() as session:
        tickets = TicketCRUD(session)
        for ticket in session.scalars(select(SupportTicket)):
            told_before = [getattr(ticket, name) for name in names]
            tickets._follow_thread(ticket)
            assert [getattr(ticket, name) for name in names] == told_before
            first = tickets.messages_of([ticket.id], notes=True)[ticket.id][0]
            assert (first.body, first.sender_id) == (ticket.message, ticket.user_id)
            assert (ticket.admin_response is None) == (ticket.assignee_id is None)


def check_nothing_happens_in_the_future_or_before_its_cause(db: Session) -> None:
    for model in (
        User,
        Lesson,
        Order,
        Payment,
        Purchase,
        SupportTicket,
        Message,
        ChangeSet,
        Refund,
    ):
        column = ChangeSet.at if model is ChangeSet else model.created_at
        assert db.scalar(select(func.max(column)).where(column > NOW)) is None, model.__name__
    early = select(Order.id).join(User, User.id == Order.user_id).where(Order.created_at < User.created_at)
    assert db.scalars(early).all() == []
    refunds = select(Refund.id).join(Payment).where(Refund.created_at < Payment.created_at)
    assert db.scalars(refunds).all() == []
    consent = select(Order.id).join(User, User.id == Order.user_id)
    assert db.scalars(consent.where(Order.total > 0, User.terms_accepted_at.is_(None))).all() == []


def check_sales_grow_and_follow_the_week(db: Session) -> None:
    paid = db.scalars(select(Purchase.created_at).where(Purchase.amount > 0)).all()
    assert min(paid) > NOW - timedelta(days=61)
    late = sum(at > NOW - timedelta(days=30) for at in paid)
    assert late > 1.2 * (len(paid) - late)
    week = Counter(at.astimezone(ZONE).weekday() for at in paid)
    assert week[5] + week[6] > 1.3 * (week[0] + week[1])


def test_it_is_a_believable_school(loaded: Summary, database: Database, settings: Settings, db: Session) -> None:
    """One school for all that only looks: making one takes longest."""
    assert LedgerCRUD(db).problems() == []
    check_it_is_as_large_as_promised(loaded, db)
    check_every_form_of_code_and_ticket(db)
    check_lessons_and_students_are_tagged(db)
    check_tickets_say_what_their_threads_say(database)
    check_nothing_happens_in_the_future_or_before_its_cause(db)
    check_sales_grow_and_follow_the_week(db)
    check_videos_are_small_and_lie_in_the_media_folder(settings, db)
    check_each_record_tells_its_own_history(db)


def test_the_same_moment_gives_the_same_school(
    loaded: Summary, database: Database, settings: Settings, db: Session
) -> None:
    first = {model: told(db, model) for model in (*OURS, Message, SupportTicket)}
    remove(database)
    db.expunge_all()
    load(database, settings, NOW)
    for model, rows in first.items():
        assert told(db, model) == rows, model.__name__


@pytest.mark.parametrize("hours", [0, 31, 77])
def test_it_can_be_loaded_at_any_time(database: Database, settings: Settings, db: Session, hours: int) -> None:
    load(database, settings, NOW + timedelta(hours=hours, minutes=hours))
    assert LedgerCRUD(db).problems() == []
    assert db.scalar(select(func.count()).where(PromoCode.max_uses == PromoCode.current_uses)) == 1


def test_a_second_load_and_a_second_removal_do_nothing(
    loaded: Summary, database: Database, settings: Settings, db: Session
) -> None:
    standing, files = counts(db), sorted(settings.media_dir.iterdir())
    assert load(database, settings) == Summary()
    assert (counts(db), sorted(settings.media_dir.iterdir())) == (standing, files)
    assert remove(database).rows == loaded.rows
    assert remove(database) == Summary()


def test_removal_leaves_no_trace(
    before: dict[str, int], loaded: Summary, database: Database, settings: Settings, db: Session
) -> None:
    assert counts(db)["changes"] > 1000
    assert len(list(settings.media_dir.iterdir())) == 2
    seal(database, settings)
    summary = remove(database)
    assert verify(database, settings).problem is None
    db.execute(delete(Setting).where(Setting.key == HEAD))
    assert counts(db) == before
    assert list(settings.media_dir.iterdir()) == []
    assert (summary.rows, summary.kept) == (loaded.rows, ())


def check_videos_are_small_and_lie_in_the_media_folder(settings: Settings, db: Session) -> None:
    originals = sorted(path.read_bytes() for path in MEDIA.glob("*.mp4"))
    stored = sorted((settings.media_dir / path).read_bytes() for path in db.scalars(select(Media.path)))
    assert stored == originals
    assert [sniff(video[:64]) for video in stored] == ["video/mp4"] * 2
    assert all(len(video) < 300_000 for video in stored)


def test_a_failed_load_leaves_no_file(
    database: Database, settings: Settings, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setattr("backend.demo.journal.write", fail)
    standing = counts(db)
    with pytest.raises(RuntimeError):
        load(database, settings)
    assert (counts(db), list(settings.media_dir.iterdir())) == (standing, [])


def check_each_record_tells_its_own_history(db: Session) -> None:
    lesson = db.scalars(select(Lesson).where(Lesson.title == "Свет из окна")).one()
    changed, portrait, light, made = HistoryCRUD(db).of_record("lessons", lesson.id)
    assert [(step.change_set.label, step.changes[0].op) for step in (light, portrait)] == [("tag", "create")] * 2
    assert [made.change_set.door, made.change_set.at] == ["demo", lesson.created_at]
    assert made.change_set.actor is not None
    assert made.change_set.actor.name == "Вера Лунина"
    assert made.changes[0].after["price"] == 179
    assert (changed.changes[0].before, changed.changes[0].after) == ({"price": 179}, {"price": 199})
    ticket = db.scalars(select(SupportTicket).where(SupportTicket.status == "closed")).first()
    assert ticket is not None
    last = HistoryCRUD(db).of_record("support_tickets", ticket.id)[0]
    assert last.changes[0].after["status"] == "closed"


def test_what_test_sales_hung_on_it_goes_too(
    loaded: Summary, before: dict[str, int], database: Database, db: Session
) -> None:
    """A student of the sandbox bought a demo lesson with a code of the school's own."""
    student, own = make_user(db), make_promo(db, current_uses=1)
    window = db.scalars(select(Lesson).where(Lesson.title == "Свет из окна")).one()
    purchase_id = make_purchase(db, student, window, is_test=True).id
    order = db.scalars(select(Order).where(Order.user_id == student.id)).one()
    order.is_test, order.promo_id = True, own.id
    payment = db.scalars(select(Payment).where(Payment.order_id == order.id)).one()
    payment.is_test = True
    db.add(
        PromoRedemption(
            promo_id=own.id,
            user_id=student.id,
            order_id=order.id,
            state="used",
            reserved_until=clock.now(),
        )
    )
    course = make_course(db, [make_lesson(db)])
    db.add(CourseLesson(course_id=course.id, lesson_id=window.id, position=2))
    db.commit()
    summary = remove(database)
    db.expire_all()
    assert summary.kept == ()
    assert db.get(Purchase, purchase_id) is None
    assert db.scalars(select(PromoCode.current_uses)).all() == [0]
    assert db.scalars(select(CourseLesson.position).where(CourseLesson.course_id == course.id)).all() == [1]
    made = {"users": 1, "lessons": 1, "courses": 1, "course_lessons": 1, "promo_codes": 1}
    assert "orders" not in db.scalars(select(Change.entity)).all()
    assert "orders" not in db.scalars(select(ChangeSetPart.entity)).all()
    after = {name: number for name, number in counts(db).items() if not name.startswith("change")}
    assert after == {name: before[name] + made.get(name, 0) for name in after}


def test_what_real_stars_bought_stays_off_sale(
    loaded: Summary, database: Database, settings: Settings, db: Session
) -> None:
    student = make_user(db, telegram_id=41)
    window = db.scalars(select(Lesson).where(Lesson.title == "Свет из окна")).one()
    code = db.scalars(select(PromoCode).where(PromoCode.code == "СВЕТ10")).one()
    course = db.scalars(select(Course).where(Course.title == "Цвет и вечер")).one()
    lesson_sale = make_purchase(db, student, window)
    make_order(db, student, window)  # not paid
    order = make_order(
        db,
        student,
        make_lesson(db, title="Третий"),
        total=90,
        subtotal=100,
        discount=10,
        promo_id=code.id,
    )
    line = db.scalars(select(OrderLine).where(OrderLine.order_id == order.id)).one()
    line.unit_price = line.total = 100
    course_sale = make_purchase(db, student, make_lesson(db, title="Другой"), payment_id="tg-2")
    paid_line = db.get_one(OrderLine, course_sale.order_line_id)
    paid_line.lesson_id, paid_line.course_id = None, course.id
    course_sale.lesson_id, course_sale.course_id = None, course.id
    db.commit()

    summary = remove(database)
    db.expire_all()

    titles = [
        "Цвет и вечер",
        "Свет из окна",
        "Цвет и настроение",
        "Ночной город",
        "Обработка за десять минут",
    ]
    assert summary.kept == tuple(
        f"“{name}” was sold for real Stars: it stays, off sale." for name in (*titles, "СВЕТ10")
    )
    assert set(db.scalars(select(Purchase.id))) == {lesson_sale.id, course_sale.id}
    demo_lessons = db.scalars(select(Lesson).where(Lesson.title.in_(titles))).all()
    assert [lesson.is_active for lesson in demo_lessons] == [False] * 4
    assert (db.get_one(Course, course.id).is_active, db.get_one(PromoCode, code.id).is_active) == (
        False,
        False,
    )
    assert db.get_one(PromoCode, code.id).current_uses == 0
    assert len(list(settings.media_dir.iterdir())) == 1  # the video of the lesson that was sold
    assert LedgerCRUD(db).problems() == []
    # What stayed keeps its tags, and they are used again.
    assert load(database, settings, NOW).rows == {**loaded.rows, "tags": loaded.rows["tags"] - 6}


def test_a_code_that_the_school_has_already_is_no_obstacle(database: Database, settings: Settings, db: Session) -> None:
    make_promo(db, code="свет10")
    load(database, settings, NOW)
    assert sorted(code for code in db.scalars(select(PromoCode.code)) if "10" in code) == [
        "СВЕТ10X",
        "свет10",
    ]


def test_the_dashboard_shows_it(admin: TestClient, database: Database, settings: Settings, db: Session) -> None:
    load(database, settings)
    page = admin.get("/dashboard/", headers={"Accept-Language": "ru"})
    assert page.status_code == 200
    assert "Цвет и настроение" in page.text  # among the best lessons
    assert "Хочу купить для команды из шести" in page.text  # waits longest
    student = db.scalars(select(User).where(User.last_name == "Ковалёва")).first()
    assert student is not None
    assert admin.get(f"/dashboard/users/{student.id}").status_code == 200


def test_a_tag_that_the_school_has_already_stays_its_own(database: Database, settings: Settings, db: Session) -> None:
    lesson = make_lesson(db)
    db.commit()
    with database.transaction() as session:
        TagCRUD(session).put("lessons", [lesson.id], "Свет")
    load(database, settings, NOW)
    remove(database)
    assert db.scalars(select(Tag.name)).all() == ["Свет"]
    assert TagCRUD(db).of("lessons", [lesson.id]) == {lesson.id: ["Свет"]}
