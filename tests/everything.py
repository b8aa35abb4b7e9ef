"""A school with one of each record, for whoever asks every route."""

from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.crud.letters import LetterCRUD
from backend.database.models.dispatches import Dispatch
from backend.database.models.jobs import Job
from backend.database.models.media import Media
from tests.factories import (
    make_course,
    make_import,
    make_lesson,
    make_promo,
    make_purchase,
    make_ticket,
    make_user,
    make_view,
    save,
)


def everything(db: Session) -> dict[str, str]:
    """The path parameter of each record -> its id."""
    maria, lesson = make_user(db), make_lesson(db)
    file = Media(path="x.mp4", filename="x.mp4", mime="video/mp4", size=1, sha256="0" * 64)
    sent = Dispatch(dedupe_key="x", chat_id=maria.telegram_id or 0, user_id=maria.id, method="sendMessage", params={})
    letter = LetterCRUD(db).post("email_changed", to="m@s.example", language="ru", name="Мария", email="n@x.example")
    save(db, file, sent)
    course, promo = make_course(db, [lesson]), make_promo(db)
    table = make_import(db, "users", [["700000001", "Мария"]], ["telegram_id", "first_name"])
    purchase, ticket = make_purchase(db, maria, lesson), make_ticket(db, maria)
    view = make_view(db, owner_id=1, is_shared=True)
    job = Job(records="users", verb="close_access", state="done", ended_at=clock.now())
    save(db, job)
    records = {
        "user_id": maria.id, "lesson_id": lesson.id, "course_id": course.id, "promo_id": promo.id, "media_id": file.id,
        "purchase_id": purchase.id, "payment_id": 1, "ticket_id": ticket.id, "message_id": 1, "dispatch_id": sent.id,
        "letter_id": letter.id, "credential_id": 999_999, "identity_id": 999_999, "provider": "x", "event_id": 999_999,
        "change_set_id": 1, "order_id": 1, "import_id": table.id, "session_id": 999_999, "token_id": 999_999,
        "role_id": 999_999, "telegram_id": maria.telegram_id, "view_id": view.id, "job_id": job.id,
    }  # fmt: skip
    return {name: str(value) for name, value in records.items()} | {"token": "x", "name": "x", "row_id": "1"}
