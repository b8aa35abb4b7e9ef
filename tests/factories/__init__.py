"""Rows for tests, with believable defaults; each returns the committed row."""

import itertools
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.base import Base
from backend.database.crud.entitlements import EntitlementCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.courses import Course, CourseLesson
from backend.database.models.imports import Import, ImportRow
from backend.database.models.lessons import Lesson
from backend.database.models.orders import Order, OrderLine, Payment
from backend.database.models.promo_codes import PromoCode
from backend.database.models.purchases import Purchase
from backend.database.models.tickets import Chat, Message, SupportTicket
from backend.database.models.users import User
from backend.database.models.views import SavedView

numbers = itertools.count(1)


def save(db: Session, *rows: Base) -> None:
    db.add_all(rows)
    db.commit()


def make_user(db: Session, **fields: Any) -> User:
    n = next(numbers)
    values = {"telegram_id": 700_000_000 + n, "first_name": "Мария", "last_name": "Ковалёва", "username": f"student{n}"}
    user = User(**{"role_id": UserCRUD(db).student_role_id()} | values | fields)
    save(db, user)
    return user


def make_lesson(db: Session, **fields: Any) -> Lesson:
    values = {"title": "Свет из окна", "description": "Мягкий портрет у окна", "price": 100, "text_content": "Текст"}
    lesson = Lesson(**values | fields)
    save(db, lesson)
    return lesson


def make_course(db: Session, lessons: list[Lesson] | None = None, **fields: Any) -> Course:
    course = Course(**{"title": "Портрет", "description": "От идеи до печати", "total_price": 300} | fields)
    course.course_lessons = [
        CourseLesson(lesson_id=lesson.id, position=at) for at, lesson in enumerate(lessons or [], 1)
    ]
    save(db, course)
    return course


def make_promo(db: Session, **fields: Any) -> PromoCode:
    code = fields.pop("code", f"PROMO{next(numbers)}")
    promo = PromoCode(**{"code": code, "code_key": code.casefold(), "discount_percent": 10} | fields)
    save(db, promo)
    return promo


def make_view(db: Session, **fields: Any) -> SavedView:
    values = {"owner_id": 1, "list_name": "lessons", "name": f"View {next(numbers)}", "query": "is_active=true"}
    view = SavedView(**values | fields)
    save(db, view)
    return view


def make_order(db: Session, user: User, lesson: Lesson, **fields: Any) -> Order:
    total = fields.get("total", lesson.asked_price)
    values = {"payload": f"order-{next(numbers)}-{'x' * 24}", "user_id": user.id, "subtotal": total, "total": total}
    order = Order(**values | {"expires_at": clock.now() + timedelta(hours=1)} | fields)
    order.lines = [OrderLine(lesson_id=lesson.id, title=lesson.title, unit_price=total, total=total)]
    save(db, order)
    return order


def make_purchase(db: Session, user: User, lesson: Lesson, **fields: Any) -> Purchase:
    """A paid, completed sale with its order and payment."""
    amount = fields.pop("amount", lesson.asked_price or 1)
    charge = fields.pop("payment_id", f"charge-{next(numbers)}")
    order = make_order(db, user, lesson, total=amount, status="paid", paid_at=clock.now())
    payment = Payment(
        order_id=order.id,
        provider="stars",
        provider_charge_id=charge,
        amount=amount,
        currency="XTR",
        status="settled",
        payer_telegram_id=user.telegram_id,
    )
    values = {"user_id": user.id, "lesson_id": lesson.id, "payment_id": charge, "amount": amount}
    purchase = Purchase(**values | {"status": "completed", "order_line_id": order.lines[0].id} | fields)
    save(db, payment, purchase)
    EntitlementCRUD(db).recount([user.id])
    db.commit()
    return purchase


def make_ticket(db: Session, user: User, **fields: Any) -> SupportTicket:
    values = {"subject": "Не открывается урок", "message": "Крутится кружок, и всё.", "waiting_since": clock.now()}
    ticket = SupportTicket(**{"user_id": user.id} | values | fields)
    first = Message(side="student", sender_id=user.id, body=ticket.message)
    ticket.chat = Chat(kind="ticket", messages=[first])
    save(db, ticket)
    return ticket


def make_import(db: Session, target: str, rows: list[list[str]], columns: list[str], **fields: Any) -> Import:
    """A checked file of the admin; its rows would make records."""
    plan = {"columns": columns, "key": columns[0]}
    values = {"owner_id": 1, "filename": "table.csv", "state": "checked", "header": columns, "size": len(rows)}
    table = Import(**{"target": target, "plan": plan} | values | fields)
    save(db, table)
    save(db, *(ImportRow(import_id=table.id, number=n, cells=row, verdict="new") for n, row in enumerate(rows, 2)))
    return table
