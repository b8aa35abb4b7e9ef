"""Every screen in both languages: lawful for Telegram, and whole however long the data are."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from aiogram.types import InlineKeyboardMarkup
from markupsafe import Markup

from backend.bot.client import Item, Ticket, TicketMessage
from backend.bot.keyboards import Act
from backend.bot.screen import Screen
from backend.bot.texts import account, catalogue, checkout, library, menu, support
from backend.bot.texts.catalogue import Offer, Shown
from backend.bot.texts.library import Owned
from backend.core import i18n
from backend.database.schemas.courses import CourseLessonResponse, CourseResponse
from backend.database.schemas.lessons import LessonContent, LessonResponse
from backend.database.schemas.media import MediaContent
from backend.database.schemas.orders import OrderResponse
from backend.database.schemas.users import UserResponse
from backend.sandbox.entities import HtmlText, units

NOW = datetime(2026, 11, 21, 8, 12, tzinfo=UTC)
HOSTILE = "<b>&amp;</i> \U0001f600 %s %(x)s {y} "
NAME = 128
TITLE = 200
TEXT = 4096


def long(limit: int) -> str:
    return (HOSTILE * limit)[:limit]


def user(**changes: object) -> UserResponse:
    values: dict[str, object] = {
        "id": 1,
        "telegram_id": 7,
        "username": "olga",
        "first_name": long(NAME),
        "last_name": long(NAME),
        "language_code": "ru",
        "ui_language": None,
        "is_active": True,
        "terms_accepted_at": None,
        "created_at": NOW,
        "updated_at": NOW,
        "version": 1,
    }
    return UserResponse.model_validate(values | changes)


def lesson(number: int = 2**63 - 1, **changes: object) -> LessonResponse:
    values: dict[str, object] = {
        "id": number,
        "title": long(TITLE),
        "description": long(3000),
        "price": 1_000_000,
        "is_free": False,
        "is_active": True,
        "has_text": True,
        "has_video": True,
        "created_at": NOW,
        "updated_at": NOW,
        "version": 1,
    }
    return LessonResponse.model_validate(values | changes)


def course(**changes: object) -> CourseResponse:
    inside = [
        CourseLessonResponse(
            lesson_id=2**63 - 1 - n,
            title=long(TITLE),
            position=n,
            is_active=True,
            is_free=n == 1,
            price=5,
        )
        for n in range(1, 41)
    ]
    values: dict[str, object] = {
        "id": 2**63 - 1,
        "title": long(TITLE),
        "description": long(3000),
        "total_price": 1_000_000,
        "discount_price": 999_999,
        "is_active": True,
        "lessons": inside,
        "created_at": NOW,
        "updated_at": NOW,
        "version": 1,
    }
    return CourseResponse.model_validate(values | changes)


def ticket(messages: int = 3, size: int = TEXT) -> Ticket:
    said = [
        TicketMessage.model_validate({"from": "student" if n % 2 else "staff", "text": long(size), "created_at": NOW})
        for n in range(messages)
    ]
    return Ticket(
        id=2**63 - 1,
        subject=long(TITLE),
        status="open",
        waiting_since=NOW,
        created_at=NOW,
        messages=said,
    )


def content(**changes: object) -> LessonContent:
    values: dict[str, object] = {
        "lesson_id": 1,
        "title": long(TITLE),
        "text_content": None,
        "video_path": None,
        "media": None,
    }
    return LessonContent.model_validate(values | changes)


def order() -> OrderResponse:
    return OrderResponse(
        id=1,
        payload="x" * 32,
        amount=1_000_000,
        currency="XTR",
        title=long(TITLE),
        description=long(3000),
        status="awaiting_payment",
        expires_at=NOW,
        user_id=1,
        lesson_id=1,
        course_id=None,
        full_price=1_000_000,
        discount=0,
        is_test=True,
        purchase_id=None,
    )


ITEM = Item("course", 2**63 - 1)
FAR = f"c{2**63 - 1}.9999"  # the longest way back
BUY = Act.on("agree", ITEM, full=True, via=FAR)
NOTE = Markup("note")
LOTS = Shown(9999, 10000)
ROWS = [lesson(n) for n in range(1, 9)]
SCREENS: dict[str, Callable[[], Screen]] = {
    "menu": lambda: menu.menu(user(), long(100), lesson(), promo=long(64), note=NOTE),
    "menu without gift": lambda: menu.menu(user(), "Lyceum", None),
    "help": lambda: menu.help_(long(100)),
    "not understood": lambda: menu.not_understood(draft=True),
    "not understood, no draft": lambda: menu.not_understood(draft=False),
    "trouble": lambda: menu.trouble(long(500)),
    "gone": lambda: menu.gone(long(500)),
    "course gone": lambda: menu.gone(long(500), "course"),
    "ticket gone": lambda: menu.gone(long(500), "ticket"),
    "lessons": lambda: catalogue.lessons(ROWS, LOTS, frozenset({1})),
    "no lessons": lambda: catalogue.lessons([], Shown(0, 1), frozenset()),
    "courses": lambda: catalogue.courses([course()], LOTS, frozenset()),
    "courses owned": lambda: catalogue.courses([course()], LOTS, frozenset({2**63 - 1})),
    "no courses": lambda: catalogue.courses([], Shown(0, 1), frozenset()),
    "lesson": lambda: catalogue.lesson(lesson(), Offer(9, 9), owned=False, note=NOTE),
    "lesson from a course": lambda: catalogue.lesson(lesson(), Offer(9, 9, long(64)), owned=False, via=FAR),
    "lesson owned": lambda: catalogue.lesson(lesson(has_video=False), Offer(9, 9), owned=True),
    "lesson free": lambda: catalogue.lesson(lesson(is_free=True, has_text=False), Offer(0, 0), owned=False),
    "lesson cheaper": lambda: catalogue.lesson(lesson(), Offer(9, 5, long(64)), owned=False),
    "lesson for nothing": lambda: catalogue.lesson(lesson(), Offer(9, 0, "GIFT"), owned=False),
    "lesson, bad code": lambda: catalogue.lesson(lesson(), Offer(9, 9, long(64), long(200)), owned=False),
    "course": lambda: catalogue.course(course(), Offer(9, 9), owned=False, number=2, note=NOTE),
    "course from the library": lambda: catalogue.course(course(), Offer(9, 9), owned=False, via="m9999"),
    "course owned": lambda: catalogue.course(course(), Offer(9, 9), owned=True),
    "course, its lessons owned": lambda: catalogue.course(
        course(description="", discount_price=None),
        Offer(9, 9),
        owned=False,
        lessons_owned=frozenset({2**63 - 2}),
    ),
    "course of nothing": lambda: catalogue.course(course(lessons=[]), Offer(9, 9), owned=False),
    "terms": lambda: checkout.terms(long(100), accepted=False),
    "terms accepted": lambda: checkout.terms("Lyceum", accepted=True),
    "consent": lambda: checkout.consent(long(100), BUY),
    "ask promo": checkout.ask_promo,
    "ask promo again": lambda: checkout.ask_promo(refusal=long(200)),
    "payment revoked": lambda: checkout.revoked(199),
    "payment refunded": lambda: checkout.refunded(199),
    "payment strange": lambda: checkout.refused("payment_mismatch", 199),
    **{
        f"payment {code}": lambda code=code: checkout.refused(code, 199)  # type: ignore[misc] # bound now
        for code in (
            "unknown_order",
            "foreign_payer",
            "currency_mismatch",
            "amount_mismatch",
            "already_paid",
            "already_owned",
            "promo_used_up",
        )
    },
    "paysupport": checkout.paysupport,
    "library": lambda: library.library([Owned(ITEM, long(TITLE))] * 8, LOTS),
    "library empty": lambda: library.library([], Shown(0, 1)),
    "after a lesson": lambda: library.after_content(content()),
    "after a lesson of a course": lambda: library.after_content(content(), via=FAR),
    "after an empty lesson": lambda: library.after_content(content(), empty=True),
    "after a lost video": lambda: library.after_content(content(), without_video=True),
    "support": support.support,
    "ask subject": support.ask_subject,
    "ask subject again": lambda: support.ask_subject(too_long=True),
    "ask message": lambda: support.ask_message(long(TITLE)),
    "tickets": lambda: support.tickets([ticket()] * 8, LOTS),
    "no tickets": lambda: support.tickets([], Shown(0, 1)),
    "ticket": lambda: support.ticket(ticket(), note=NOTE),
    "ticket, older": lambda: support.ticket(ticket(), number=2),
    "ticket without messages": lambda: support.ticket(ticket(0)),
    "reply": lambda: support.ask_reply(ticket()),
    "text only": support.text_only,
    "profile": lambda: account.profile(user(), purchases=10_000),
    "profile, chosen language": lambda: account.profile(user(ui_language="ru", username=None), purchases=0),
    "language": lambda: account.language("ru", note=account.language_chosen()),
    "suspended": account.suspended,
}


@pytest.fixture(params=i18n.LANGUAGES)
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    token = i18n.current_language.set(request.param)
    yield request.param
    i18n.current_language.reset(token)


def check_keyboard(markup: InlineKeyboardMarkup) -> None:
    rows = markup.inline_keyboard
    assert rows
    assert all(1 <= len(row) <= 4 for row in rows)
    for button in (button for row in rows for button in row):
        assert 1 <= len(button.text) <= 64
        assert button.pay or 1 <= len((button.callback_data or "").encode()) <= 64


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_is_lawful_in_every_language(name: str, language: str) -> None:
    screen = SCREENS[name]()

    parsed = HtmlText(str(screen.text)).parse()

    assert 1 <= units(parsed.plain) <= TEXT
    assert parsed.plain.strip() == parsed.plain
    check_keyboard(screen.keyboard)


@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_speaks_the_language_of_the_moment(name: str) -> None:
    said = {}
    for language in i18n.LANGUAGES:
        token = i18n.current_language.set(language)
        screen = SCREENS[name]()
        i18n.current_language.reset(token)
        labels = [button.text for row in screen.keyboard.inline_keyboard for button in row]
        said[language] = f"{screen.text} {labels}"

    own_words = said["ru"].replace("Русский", "")
    assert any("а" <= char <= "я" for char in own_words.lower())
    foreign = said["en"].replace("Русский", "")
    assert [char for char in foreign.lower() if "а" <= char <= "я"] == []


def test_every_place_of_money_is_within_telegrams_limits(language: str) -> None:
    invoice = checkout.invoice(order(), ITEM)

    assert 1 <= units(invoice.title) <= 32
    assert 1 <= units(invoice.description) <= 255
    assert invoice.start_parameter == "course_9223372036854775807"
    assert [[button.pay for button in row] for row in invoice.keyboard.inline_keyboard] == [
        [True],
        [None],
    ]


def test_an_invoice_without_a_description_repeats_its_title(language: str) -> None:
    bare = order().model_copy(update={"title": "Свет", "description": "  "})

    invoice = checkout.invoice(bare, ITEM)

    assert (invoice.title, invoice.description) == ("Свет", "Свет")


def test_words_of_a_student_are_shown_as_they_are(language: str) -> None:
    shown = HtmlText(str(support.ticket(ticket(1, 60)).text)).parse().plain

    assert long(60).strip() in shown


def test_nothing_of_a_long_thread_is_lost(language: str) -> None:
    whole = ticket(5, TEXT)
    pages = [HtmlText(str(page)).parse().plain for page in support.thread(whole)]

    assert len(pages) >= 7
    kept = "".join("".join(page.split()) for page in pages)
    assert kept.count("".join(long(TEXT).split())) == 5


def test_the_newest_page_of_a_thread_comes_first(language: str) -> None:
    said = [
        TicketMessage.model_validate({"from": "student", "text": f"{n} {'x' * 2000}", "created_at": NOW})
        for n in range(4)
    ]
    whole = ticket(0).model_copy(update={"messages": said})

    texts = [str(support.ticket(whole, number=n).text) for n in (0, 1, 99)]

    assert ["3 xxx" in text for text in texts] == [True, False, False]
    assert "0 xxx" in texts[2]


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"text_content": None}, 0),
        ({"text_content": "x"}, 1),
        ({"text_content": "слово " * 3333}, 5),
    ],
)
def test_a_lesson_takes_as_many_messages_as_it_needs(changes: dict[str, str], count: int) -> None:
    messages = library.content(content(**changes))

    assert len(messages) == count
    assert all(units(HtmlText(str(text)).parse().plain) <= TEXT for text in messages)


def test_the_title_stands_above_the_text_unless_a_video_carries_it() -> None:
    media = MediaContent(id=1, url="/", path="x", filename="x.mp4", mime="video/mp4", size=1)
    bare = content(title="Свет", text_content="Тень")

    assert library.content(bare) == ["<b>Свет</b>\n\nТень"]
    assert library.content(bare.model_copy(update={"media": media})) == ["Тень"]


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("https://video.example/1?a=1&b=2", True),
        ("http://video.example/1", True),
        ("folder/file.mp4", False),
        ("javascript:alert(1)", False),
        (None, False),
    ],
)
def test_a_video_elsewhere_is_given_as_a_link(path: str | None, given: bool) -> None:
    link = library.link(content(title="T", video_path=path))

    assert (link is not None) == given
    if link is not None:
        entities = HtmlText(str(link)).parse().entities
        assert entities[1]["url"] == path


@pytest.mark.parametrize(
    ("title", "stars", "owned", "label"),
    [
        ("Свет", 199, False, "Свет · 199\xa0★"),
        ("Свет", 0, False, "Свет · free"),
        ("Свет", 199, True, "✓ Свет"),
        ("Свет из окна " * 9, 1250, False, f"{'Свет из окна ' * 3}С… · 1,250\xa0★"),
    ],
)
def test_a_button_shows_the_whole_price(title: str, stars: int, owned: bool, label: str) -> None:
    assert catalogue.row_label(title, stars, owned=owned) == label


def test_commands_are_lawful_and_answered_in_both_languages(language: str) -> None:
    commands = menu.commands()

    assert [name for name, _words in commands] == [
        "start",
        "lessons",
        "courses",
        "my",
        "promo",
        "support",
        "paysupport",
        "profile",
        "language",
        "terms",
        "help",
        "cancel",
    ]
    assert all(1 <= len(words) <= 256 for _name, words in commands)
