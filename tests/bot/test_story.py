"""What a student does, from the first word to a lesson in the chat."""

from collections.abc import Callable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.database.crud.purchases import PurchaseCRUD
from backend.database.models.orders import Order, Payment
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from backend.sandbox.student import ChatMessage, Student
from tests.bot.conftest import School
from tests.factories import make_course, make_lesson, make_promo, make_user

Fresh = Callable[[], Session]


def tap(student: Student, button: str) -> ChatMessage:
    """Presses and returns what the bot shows then; the button must not be left spinning."""
    assert student.press(button) is not None
    return student.wait()


def shown(student: Student) -> list[str]:
    """The texts of the bot's messages that stand in the chat."""
    return [message.text for message in student.from_bot()]


def test_the_first_word_registers_and_shows_the_menu(olga: Student, db: Session) -> None:
    make_lesson(db, title="First frame", is_free=True, price=0)

    menu = olga.ask("/start")

    assert menu.text == (
        "Olga, welcome to Window Light.\n\n"
        "The lessons live right here in the chat: choose one, pay with Telegram Stars,"
        " learn whenever it suits you.\n\n"
        "What shall we open?"
    )
    assert menu.rows == [
        ["🎁 Free lesson"],
        ["Lessons", "Courses"],
        ["My lessons", "Support"],
        ["Profile", "Help"],
    ]
    known = db.scalars(select(User).where(User.telegram_id == olga.id)).one()
    assert (known.first_name, known.language_code, known.source) == ("Olga", "en", None)


def test_a_lesson_is_bought_and_read_in_russian(ivan: Student, running: School, db: Session, fresh: Fresh) -> None:
    lesson = make_lesson(db, title="Свет из окна", price=199, text_content="Встаньте **боком**.")

    ivan.start()
    assert ivan.wait().rows[1] == ["Мои уроки", "Поддержка"]
    assert tap(ivan, "Уроки").rows == [["Свет из окна · 199\xa0★"], ["Курсы", "‹ Меню"]]
    card = tap(ivan, "Свет из окна")
    assert card.text == ("Свет из окна\n\nМягкий портрет у окна\n\nВнутри: текст.\n\nЦена: 199\xa0★")
    assert card.rows == [["Купить за 199\xa0★"], ["У меня есть промокод"], ["‹ Уроки", "‹ Меню"]]
    assert "примите их" in tap(ivan, "Купить").text
    invoice = tap(ivan, "Принимаю")
    assert invoice.invoice == {
        "title": "Свет из окна",
        "description": "Мягкий портрет у окна",
        "start_parameter": f"lesson_{lesson.id}",
        "currency": "XTR",
        "total_amount": 199,
    }
    assert invoice.rows == [["Заплатить 199\xa0★"], ["‹ Назад"]]

    paid = ivan.pay()

    assert paid.status == "paid"
    after = ivan.wait("Урок «Свет из окна» выше")
    assert after.rows == [["Задать вопрос"], ["Мои уроки", "‹ Меню"]]
    content = ivan.from_bot()[-2]
    assert (content.text, content.protected) == ("Свет из окна\n\nВстаньте боком.", True)
    assert [entity["type"] for entity in content.entities] == ["bold", "bold"]
    bought = fresh().scalars(select(Purchase)).one()
    assert (bought.payment_id, bought.amount, bought.lesson_id, bought.status) == (
        paid.charge_id,
        199,
        lesson.id,
        "completed",
    )
    assert running.deliver_outbox() == 1  # the receipt
    assert tap(ivan, "Мои уроки").rows == [["▶ Свет из окна"], ["‹ Меню"]]


def test_one_message_lives_in_the_chat(olga: Student, db: Session) -> None:
    make_lesson(db, title="Window light", price=199)
    olga.ask("/start")
    for button in ("Lessons", "Window light", "‹ Lessons", "‹ Menu", "Help"):
        tap(olga, button)
    assert len(shown(olga)) == 1

    olga.ask("/my")
    olga.client.wait_until(lambda: len(shown(olga)) == 1)
    assert [message.by_bot for message in olga.messages()] == [False, False, True]
    assert shown(olga)[0].startswith("My lessons")


def test_back_from_an_invoice_takes_it_away(olga: Student, db: Session) -> None:
    make_lesson(db, title="Window light", price=199)
    olga.ask("/start lesson_1")
    tap(olga, "Buy")
    assert tap(olga, "I accept").invoice is not None

    card = tap(olga, "‹ Back")

    assert card.text.startswith("Window light")
    assert [message.invoice for message in olga.from_bot()] == [None]


def test_consent_is_asked_once(olga: Student, db: Session, fresh: Fresh) -> None:
    make_lesson(db, title="First", price=10)
    make_lesson(db, title="Second", price=20)
    olga.ask("/start lesson_1")
    tap(olga, "Buy")
    tap(olga, "I accept")
    student = fresh().scalars(select(User).where(User.telegram_id == olga.id)).one()
    assert student.terms_accepted_at is not None

    olga.ask("/start lesson_2")
    assert tap(olga, "Buy").invoice is not None


def test_a_promo_code_from_a_link_waits_for_the_next_purchase(olga: Student, db: Session, fresh: Fresh) -> None:
    make_lesson(db, title="Window light", price=199)
    promo = make_promo(db, code="SPRING", discount_percent=50, max_uses=1)
    menu = olga.ask("/start promo_spring")
    assert "Promo code SPRING is saved for your next purchase." in menu.text

    tap(olga, "Lessons")
    card = tap(olga, "Window light")
    assert card.text.endswith("Price: 199\xa0★ 99\xa0★ with promo code SPRING")
    assert card.rows[:2] == [["Buy for 99\xa0★"], ["Remove code SPRING"]]
    tap(olga, "Buy for 99")
    invoice = tap(olga, "I accept")
    assert invoice.invoice is not None
    assert invoice.invoice["total_amount"] == 99
    assert olga.pay().status == "paid"
    olga.wait("The lesson “")

    session = fresh()
    session.refresh(promo)
    assert promo.current_uses == 1
    order = session.scalars(select(Order)).one()
    assert (order.subtotal, order.discount, order.total, order.status) == (199, 100, 99, "paid")
    assert "saved" not in olga.ask("/start").text


def test_a_promo_code_is_typed_in_on_the_card(olga: Student, db: Session) -> None:
    make_lesson(db, title="Window light", price=200)
    make_promo(db, code="МАЙ", discount_percent=0, discount_amount=50)
    olga.ask("/start lesson_1")
    assert tap(olga, "I have a promo code").text == "Send me the promo code as a message."

    assert olga.ask("nonsense").text == ("⚠️ There is no such code.\n\nSend me the promo code as a message.")
    card = olga.ask(" май ")
    assert card.text.startswith("Promo code МАЙ applied.\n\nWindow light")
    assert card.rows[0] == ["Buy for 150\xa0★"]

    dropped = tap(olga, "Remove code")
    assert dropped.text.startswith("The promo code is removed.")
    assert dropped.rows[:2] == [["Buy for 200\xa0★"], ["I have a promo code"]]


def test_a_code_that_does_not_count_here_is_no_obstacle(olga: Student, db: Session) -> None:
    make_lesson(db, title="Window light", price=200)
    old = make_promo(db, code="OLD", discount_percent=50)
    olga.ask("/start promo_OLD")
    old.is_active = False
    db.commit()
    card = olga.ask("/start lesson_1")
    assert card.text.endswith("Price: 200\xa0★\nPromo code OLD: This code is turned off.")
    tap(olga, "Buy for 200")

    invoice = tap(olga, "I accept")

    assert invoice.invoice is not None
    assert invoice.invoice["total_amount"] == 200


def test_a_code_that_is_none_is_told_at_once(olga: Student, db: Session) -> None:
    """Also where no lesson is chosen yet: from a link, and typed in."""
    make_lesson(db, title="Window light", price=200)
    make_promo(db, code="OLD", discount_percent=50, is_active=False)
    make_promo(db, code="MAY", discount_percent=50)
    menu = olga.ask("/start promo_OLD").text
    assert (menu.startswith("The promo code was not applied: This code is turned off."), "saved" in menu) == (
        True,
        False,
    )
    assert "saved" not in olga.ask("/start promo_nonsense").text
    olga.ask("/promo")
    assert olga.ask("nonsense").text == "⚠️ There is no such code.\n\nSend me the promo code as a message."
    assert "Promo code MAY is saved for your next purchase." in olga.ask("may").text


def test_a_code_used_up_meanwhile_is_said_before_the_invoice(olga: Student, db: Session, fresh: Fresh) -> None:
    make_lesson(db, title="Window light", price=200)
    promo = make_promo(db, code="LAST", discount_percent=50, max_uses=5)
    olga.ask("/start promo_LAST")
    olga.ask("/start lesson_1")
    session = fresh()
    promo.current_uses = 5
    session.commit()

    card = tap(olga, "Buy for 100")

    assert card.text.startswith("The promo code was not applied: This code has been used up.")
    assert card.rows[0] == ["Buy for 200\xa0★"]


def test_a_free_lesson_opens_at_once(olga: Student, db: Session) -> None:
    make_lesson(db, title="First frame", is_free=True, price=0, text_content="Hold still.")
    olga.ask("/start")
    card = tap(olga, "🎁 Free lesson")
    assert card.text.endswith("Free.")

    olga.press("▶ Open the lesson")
    olga.wait("The lesson “")

    assert shown(olga)[-2] == "First frame\n\nHold still."


def test_a_code_that_pays_everything_gives_the_lesson_without_consent(olga: Student, db: Session, fresh: Fresh) -> None:
    make_lesson(db, title="Window light", price=200, text_content="Turn.")
    make_promo(db, code="GIFT", discount_percent=100)
    olga.ask("/start promo_GIFT")
    olga.ask("/start lesson_1")

    olga.press("Get it free")
    olga.wait("The lesson “")

    bought = fresh().scalars(select(Purchase)).one()
    assert (bought.amount, bought.payment_id.partition(":")[0]) == (0, "free")


def test_a_course_opens_its_lessons(olga: Student, db: Session) -> None:
    lessons = [make_lesson(db, title=f"Part {n}", price=100, text_content="…") for n in (1, 2, 3)]
    make_course(db, lessons, title="Portrait", total_price=300, discount_price=240)
    olga.ask("/start")
    assert tap(olga, "Courses").rows == [["Portrait · 240\xa0★"], ["Lessons", "‹ Menu"]]
    card = tap(olga, "Portrait")
    assert card.text == "Portrait\n\nОт идеи до печати\n\nIncludes 3 lessons.\n\nPrice: 240\xa0★"
    assert card.rows == [
        ["1. Part 1"],
        ["2. Part 2"],
        ["3. Part 3"],
        ["Buy for 240\xa0★"],
        ["I have a promo code"],
        ["‹ Courses", "‹ Menu"],
    ]
    tap(olga, "Buy")
    tap(olga, "I accept")
    olga.pay()
    mine = olga.wait("Thank you! The course “Portrait” is yours.")
    assert mine.rows[0] == ["✓ 1. Part 1"]
    assert [row[0] for row in mine.rows if "Buy" in row[0]] == []

    tap(olga, "Part 2")
    olga.press("▶ Open the lesson")
    olga.wait("The lesson “Part 2”")
    assert tap(olga, "My lessons").rows == [["📚 Portrait"], ["‹ Menu"]]


def test_the_catalogue_has_pages(olga: Student, db: Session) -> None:
    for number in range(1, 20):
        make_lesson(db, title=f"Lesson {number:02}", price=number)
    olga.ask("/lessons")
    first = olga.last
    assert [row[0] for row in first.rows[:8]] == [f"Lesson {n:02} · {n}\xa0★" for n in range(1, 9)]
    assert first.rows[8] == ["1 / 3", "›"]

    assert tap(olga, "›").rows[8] == ["‹", "2 / 3", "›"]
    last = tap(olga, "›")
    assert [row[0][:9] for row in last.rows[:3]] == ["Lesson 17", "Lesson 18", "Lesson 19"]
    assert last.rows[3] == ["‹", "3 / 3"]


def test_what_is_hidden_is_not_sold_but_stays_with_its_owners(
    olga: Student, running: School, db: Session, fresh: Fresh
) -> None:
    lesson = make_lesson(db, title="Window light", price=0, is_free=True, text_content="Turn.")
    olga.ask("/start lesson_1")
    olga.press("▶ Open the lesson")
    olga.wait("The lesson “")
    session = fresh()
    lesson.is_active = False
    session.commit()

    assert running.student("Nora").ask("/start lesson_1").text == "This is not available right now."
    assert olga.ask("/start lesson_1").text.endswith("✓ You own this.")
    assert olga.ask("/start lesson_77").text == "Lesson 77 no longer exists."


def test_a_gift_of_the_school_is_opened_from_its_notice(olga: Student, running: School, db: Session) -> None:
    make_lesson(db, title="Window light", price=200, text_content="Turn.")
    olga.ask("/start")
    student = db.scalars(select(User).where(User.telegram_id == olga.id)).one()
    PurchaseCRUD(db).grant(student.id, lesson_id=1)
    db.commit()
    assert running.deliver_outbox() == 1

    olga.press("Open")
    olga.wait("The lesson “")

    assert shown(olga)[-2] == "Window light\n\nTurn."


def test_two_students_see_their_own_things(running: School, db: Session) -> None:
    make_lesson(db, title="Window light", price=0, is_free=False, text_content="Turn.")
    one, other = running.student("One"), running.student("Other")
    for student in (one, other):
        student.ask("/start lesson_1")
    one.press("Get it free")
    one.wait("The lesson “")

    assert one.ask("/my").rows[0] == ["▶ Window light"]
    assert "Nothing here yet" in other.ask("/my").text
    assert db.scalar(select(func.count()).select_from(Payment)) == 0
    assert make_user(db).id > 2
