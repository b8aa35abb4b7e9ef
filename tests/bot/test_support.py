"""Questions to the school and its answers."""

from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.crud.tickets import TicketCRUD
from backend.database.models.tickets import SupportTicket
from backend.sandbox.student import Student
from tests.bot.conftest import School
from tests.bot.test_story import tap
from tests.factories import make_ticket, make_user

Fresh = Callable[[], Session]
PNG = bytes.fromhex("89504e470d0a1a0a0000000d494844520000001000000010080200000090916836") + b"\0" * 20


def asked(student: Student, subject: str = "No sound", message: str = "The video is silent.") -> None:
    student.ask("/support")
    tap(student, "Ask a question")
    student.ask(subject)
    student.ask(message)


def test_a_question_reaches_the_school(olga: Student, fresh: Fresh) -> None:
    home = olga.ask("/support")
    assert home.rows == [["Ask a question"], ["My questions", "‹ Menu"]]
    assert tap(olga, "Ask a question").rows == [["Cancel"]]
    assert olga.ask("No  sound\nat all").text.startswith("Subject: No sound at all\n\n")

    sent = olga.ask("The video is <b>silent</b>.")

    ticket = fresh().scalars(select(SupportTicket)).one()
    assert (ticket.subject, ticket.message, ticket.status) == (
        "No sound at all",
        "The video is <b>silent</b>.",
        "open",
    )
    assert sent.text.startswith(f"№{ticket.id}. No sound at all\n🟡 waiting for our reply\n\nYou · ")
    assert sent.text.endswith("\nThe video is <b>silent</b>.\n\n✓ Sent. The reply will arrive in this chat.")
    assert sent.rows == [["Write more"], ["‹ My questions", "‹ Menu"]]


def test_my_questions_show_which_are_answered_the_latest_first(olga: Student, fresh: Fresh) -> None:
    for subject in ("Old", "Waiting", "New"):
        asked(olga, subject)
    session = fresh()
    first, _waiting, last = session.scalars(select(SupportTicket.id).order_by(SupportTicket.id)).all()
    TicketCRUD(session).set_status(last, "in_progress")
    session.commit()
    TicketCRUD(session).reply(first, "Here.", None)
    session.commit()

    listed = tap(olga, "‹ My questions")

    assert [row[0].rpartition(" · ")[0] for row in listed.rows[:3]] == ["🟢 Old", "🟡 New", "🟡 Waiting"]
    assert listed.text.endswith("🟡 waiting for our reply, 🟢 answered, ⚪ closed. The latest is on top.")
    assert "🟢 answered" in tap(olga, "Old").text


def test_an_answer_comes_into_the_chat_and_can_be_answered(olga: Student, running: School, fresh: Fresh) -> None:
    asked(olga)
    session = fresh()
    ticket = session.scalars(select(SupportTicket)).one()
    TicketCRUD(session).reply(ticket.id, "Which phone is it?", None)
    session.commit()
    since = olga.last.rev
    assert running.deliver_outbox() == 1
    answer = olga.wait("Which phone is it?", since=since)

    shown = tap(olga, "Open the conversation")
    assert "The school · " in shown.text
    asking = tap(olga, "Write more")
    assert shown.id != answer.id
    assert asking.text.endswith("✏️ Write your message: it will be added to this conversation.")
    sent = olga.ask("An old one")

    assert "Which phone is it?" in sent.text
    assert sent.text.endswith("An old one\n\n✓ Sent. The reply will arrive in this chat.")
    session = fresh()
    said = TicketCRUD(session).messages_of([ticket.id], notes=True)[ticket.id]
    assert [(message.side, message.body) for message in said] == [
        ("student", "The video is silent."),
        ("staff", "Which phone is it?"),
        ("student", "An old one"),
    ]
    assert answer.id in [message.id for message in olga.from_bot()]


def test_my_questions_show_their_state(olga: Student, fresh: Fresh) -> None:
    asked(olga, "First")
    asked(olga, "Second")
    session = fresh()
    first = session.scalars(select(SupportTicket.id).where(SupportTicket.subject == "First")).one()
    TicketCRUD(session).set_status(first, "closed")
    session.commit()

    olga.ask("/support")
    rows = tap(olga, "My questions").rows

    assert rows[:2] == [["🟡 Second · №2"], ["⚪ First · №1"]]
    closed = tap(olga, "First")
    assert closed.text.startswith("№1. First\n⚪ closed")
    tap(olga, "Write more")
    assert olga.ask("Still silent").text.startswith("№1. First\n🟡 waiting for our reply")


def test_a_dialogue_can_be_left_at_every_step(olga: Student, fresh: Fresh) -> None:
    for leave in ("button", "/cancel", "/start", "/help"):
        olga.ask("/support")
        tap(olga, "Ask a question")
        if leave == "button":
            tap(olga, "Cancel")
        else:
            olga.ask(leave)
        assert "I am a bot" in olga.ask("The video is silent.").text
    assert fresh().scalars(select(SupportTicket)).all() == []


def test_words_without_a_button_can_be_handed_to_support(olga: Student, fresh: Fresh) -> None:
    shown = olga.ask("The video is silent.\nWhat shall I do?")
    assert shown.rows[0] == ["Send this to support"]

    sent = tap(olga, "Send this to support")

    assert sent.text.endswith("✓ Sent. The reply will arrive in this chat.")
    ticket = fresh().scalars(select(SupportTicket)).one()
    assert (ticket.subject, ticket.message) == (
        "The video is silent.",
        "The video is silent.\nWhat shall I do?",
    )


def test_a_picture_is_declined_in_words(olga: Student, fresh: Fresh) -> None:
    olga.ask("/support")
    tap(olga, "Ask a question")
    olga.ask("No sound")

    olga.send_photo(PNG)
    assert olga.wait().text == "I can only pass on text for now. Please describe it in words."

    olga.ask("The video is silent.")
    assert len(fresh().scalars(select(SupportTicket)).all()) == 1


def test_a_subject_that_is_too_long_is_asked_again(olga: Student) -> None:
    olga.ask("/support")
    tap(olga, "Ask a question")

    assert olga.ask("x" * 201).text.startswith("That is too long for a subject")
    assert olga.ask("x" * 200).text.startswith("Subject: xxx")


def test_a_whole_message_of_telegram_passes_through(olga: Student, fresh: Fresh) -> None:
    asked(olga, "Long", "\U0001f600" * 2000 + "x" * 96)

    assert fresh().scalars(select(SupportTicket.message)).one() == "\U0001f600" * 2000 + "x" * 96
    assert "‹ Earlier" in [button for row in olga.last.rows for button in row]
    assert tap(olga, "‹ Earlier").rows[1] == ["Later ›"]


def test_another_students_ticket_is_not_found(olga: Student, db: Session, fresh: Fresh) -> None:
    ticket = make_ticket(db, make_user(db), subject="A secret")
    olga.ask("/start")

    for data in (f"s1:ticket:{ticket.id}:0", f"ticket:{ticket.id}", f"r1:{ticket.id}"):
        answer = olga.press_data(data)
        assert answer is not None
        assert "secret" not in answer.text
    assert [m.text for m in olga.from_bot() if "secret" in m.text] == []


def test_the_duties_of_a_seller_are_kept(running: School) -> None:
    student = running.student("Olga")
    assert student.duties() == {"/terms": True, "/support": True, "/paysupport": True}

    words = student.ask("/paysupport").text
    assert "Telegram's support cannot help with them." in words
