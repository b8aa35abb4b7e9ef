"""The outbox page: what waits or failed, sent again or called off by whoever runs the school."""

import csv
import io
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.permissions import SUPPORT
from backend.database.crud.dispatches import DispatchCRUD
from backend.database.crud.letters import LetterCRUD
from backend.database.crud.tickets import TicketCRUD
from backend.database.models.dispatches import Dispatch
from backend.database.models.orders import Payment, Refund
from backend.database.models.tickets import Message
from tests.conftest import SignIn
from tests.factories import make_lesson, make_purchase, make_ticket, make_user

OUTBOX = "/dashboard/outbox/"
PART = {"HX-Request": "true", "HX-Request-Type": "partial"}


def queue(db: Session, text: str, chat_id: int = 1, **values: int) -> int:
    made = DispatchCRUD(db).enqueue(
        text,
        chat_id=chat_id,
        method="sendMessage",
        params={"text": text},
        **values,  # type: ignore[arg-type] # ids only
    )
    db.commit()
    return made.id


def fail(db: Session, dispatch_id: int, error: str = "refused: Bad Request: no") -> None:
    DispatchCRUD(db).fail(dispatch_id, 0, error)
    db.commit()


def states(db: Session) -> list[str]:
    found = list(db.scalars(select(Dispatch.state).order_by(Dispatch.id)))
    db.commit()
    return found


def test_empty_outbox_says_so(admin: TestClient) -> None:
    assert "Everything has been sent" in admin.get(OUTBOX).text


def test_what_waits_or_failed_stands_first(admin: TestClient, db: Session) -> None:
    student = make_user(db, first_name="Мария")
    queue(db, "Waiting one", user_id=student.id)
    fail(db, queue(db, "Failed one", 2), "refused: Bad Request: <b>chat</b> not found")
    DispatchCRUD(db).finish(queue(db, "Sent one", 3), 0)
    db.commit()
    page = admin.get(OUTBOX).text
    assert [text in page for text in ("Waiting one", "Failed one", "Sent one")] == [
        True,
        True,
        False,
    ]
    assert "Telegram refused the message: <span hx-ignore>Bad Request: &lt;b&gt;chat&lt;/b&gt;" in page
    assert "Мария" in page
    assert "The bot is off." in page
    shown = admin.get(OUTBOX, params={"state": "sent"}).text
    assert [text in shown for text in ("Waiting one", "Sent one")] == [False, True]


def test_failed_messages_leave_again_and_waiting_ones_are_called_off(admin: TestClient, db: Session) -> None:
    failed, waiting = queue(db, "a"), queue(db, "b", 2)
    fail(db, failed)
    assert admin.post(f"{OUTBOX}{failed}/resend").status_code == 303
    part = admin.post(f"{OUTBOX}bulk?state=all", data={"verb": "cancel", "ids": str(waiting)}, headers=PART)
    assert (part.status_code, f'<tr id="dispatch-{waiting}" data-not="resend cancel"' in part.text) == (200, True)
    assert f'id="dispatch-{waiting}"' not in admin.get(OUTBOX).text
    assert states(db) == ["pending", "cancelled"]
    assert admin.post(f"{OUTBOX}{waiting}/resend").status_code == 409
    assert admin.post(f"{OUTBOX}999/resend").status_code == 404


def test_calling_off_an_answer_takes_it_out_of_its_thread(admin: TestClient, db: Session) -> None:
    ticket = make_ticket(db, make_user(db))
    TicketCRUD(db).reply(ticket.id, "Too soon", None)
    db.commit()
    row = db.scalars(select(Dispatch.id)).one()
    db.commit()
    assert admin.post(f"{OUTBOX}{row}/cancel").status_code == 303
    assert db.scalars(select(Message.body)).all() == [ticket.message]
    assert states(db) == ["cancelled"]


@pytest.mark.parametrize("verb", ["resend", "cancel"])
def test_a_refund_is_neither_sent_again_nor_called_off_here(admin: TestClient, db: Session, verb: str) -> None:
    purchase = make_purchase(db, make_user(db, telegram_id=9), make_lesson(db))
    payment = db.scalars(select(Payment).where(Payment.provider_charge_id == purchase.payment_id)).one()
    refund = Refund(payment_id=payment.id, amount=payment.amount, status="failed")
    db.add(refund)
    db.commit()
    row = queue(db, "refund", refund_id=refund.id)
    fail(db, row)
    answer = admin.post(f"{OUTBOX}{row}/{verb}")
    many = admin.post(f"{OUTBOX}bulk", data={"verb": verb, "ids": str(row)}, headers=PART)
    db.refresh(refund)
    assert (answer.status_code, many.status_code, refund.status, states(db)) == (409, 409, "failed", ["failed"])
    assert f'href="/dashboard/sales/payments/{payment.id}"' in admin.get(OUTBOX).text  # where it is asked for again


@pytest.fixture
def warnings(db: Session) -> dict[str, int]:
    """An alert by e-mail and in a chat, and what an address is told when another takes its place."""
    owner = make_user(db, email="olga@school.example")
    letters, said = LetterCRUD(db), {"what": "A second factor was removed", "details": "Olga · 203.0.113.9"}
    made = {
        "alert": letters.write_to(owner, "alert", dedupe="alert:7:1", link="https://school.example/x", **said).id,
        "changed": letters.write_to(owner, "email_changed", email="new@school.example").id,
        "replaced": letters.write_to(owner, "email_replaced", who="Boris", email="new@school.example").id,
    }
    db.commit()
    return made | {"chat": queue(db, "alert:7:1:chat")}


CALLED_OFF = {
    "alert": "A security alert cannot be cancelled.",
    "chat": "A security alert cannot be cancelled.",
    "changed": "A notice that an email is changed cannot be cancelled.",
    "replaced": "A notice that an email is changed cannot be cancelled.",
}


@pytest.mark.parametrize("kind", CALLED_OFF)
def test_what_warns_somebody_is_not_called_off(
    admin: TestClient, db: Session, warnings: dict[str, int], kind: str
) -> None:
    """Be it by the very one of whom it warns."""
    row, other = warnings[kind], queue(db, "anything else", 2)
    assert f'<tr id="dispatch-{row}" data-not="resend cancel"' in admin.get(OUTBOX).text
    assert f'<tr id="dispatch-{other}" data-not="resend"' in admin.get(OUTBOX).text
    answer = admin.post(f"{OUTBOX}{row}/cancel")
    alone = admin.post(f"{OUTBOX}bulk", data={"verb": "cancel", "ids": str(row)}, headers=PART)
    assert [answer.status_code, alone.status_code] == [409, 409]
    assert [CALLED_OFF[kind] in refused.text for refused in (answer, alone)] == [True, True]
    fail(db, row)
    assert admin.post(f"{OUTBOX}{row}/cancel").status_code == 409
    assert admin.post(f"{OUTBOX}bulk", data={"verb": "cancel", "ids": f"{row},{other}"}).status_code == 303
    told = admin.get(OUTBOX).text
    assert ("rejected: 1" in told, CALLED_OFF[kind] in told) == (True, True)
    state = dict(db.execute(select(Dispatch.id, Dispatch.state)).all())
    assert [state.pop(row), state.pop(other), *state.values()] == ["failed", "cancelled", *["pending"] * 3]
    assert admin.post(f"{OUTBOX}{row}/resend").status_code == 303


def test_a_pause_is_told(admin: TestClient, db: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    DispatchCRUD(db).pause(clock.now() + timedelta(minutes=5))
    db.commit()
    assert DispatchCRUD(db).paused_until() is not None
    db.commit()
    later = clock.now() + timedelta(minutes=6)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert DispatchCRUD(db).paused_until() is None


def test_only_those_who_run_the_school_come_here(staff: SignIn) -> None:
    support = staff(SUPPORT)
    assert support.get(OUTBOX).status_code == 403
    assert support.post(f"{OUTBOX}1/resend").status_code == 403


def test_its_file_says_what_the_screen_says(admin: TestClient, db: Session) -> None:
    student = make_user(db, first_name="Мария")
    fail(db, queue(db, "=1+1", 42, user_id=student.id), "refused: Bad Request: no")
    DispatchCRUD(db).finish(queue(db, "Sent one", 3), 0)
    db.commit()
    header, *lines = csv.reader(io.StringIO(admin.get(f"{OUTBOX}export.csv").text.lstrip("\ufeff")))
    row = dict(zip(header, lines[0], strict=True))
    assert len(lines) == 1  # as the list: what has not left
    assert (row["recipient"], row["channel"], row["address"], row["state"]) == (
        "Мария Ковалёва", "telegram", "42", "failed",
    )  # fmt: skip
    assert (row["message"], row["error"], row["attempts"]) == ("'=1+1", "refused: Bad Request: no", "0")
    everything = admin.get(f"{OUTBOX}export.csv?state=all&cols=message,state").text.lstrip("\ufeff").splitlines()
    assert (everything[0], len(everything)) == ("id,recipient,channel,address,message,state,error", 3)
