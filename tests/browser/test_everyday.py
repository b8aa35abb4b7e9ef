"""Twenty-five everyday tasks done by keyboard alone, in the English and in the Russian layout."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Error, Page, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.models.courses import Course
from backend.database.models.lessons import Lesson
from backend.database.models.promo_codes import PromoCode
from backend.database.models.tickets import Message
from backend.database.models.users import User
from backend.database.models.views import SavedView
from tests.factories import make_course, make_lesson, make_promo, make_purchase, make_ticket, make_user

pytestmark = pytest.mark.browser
CTRL, SHIFT = 2, 8
# What a key types in the Russian layout.
RUSSIAN = {
    "KeyC": "с", "KeyD": "в", "KeyE": "у", "KeyG": "п", "KeyJ": "о", "KeyK": "л", "KeyL": "д", "KeyM": "ь", "KeyO": "щ",
    "KeyP": "з", "KeyR": "к", "KeyS": "ы", "KeyT": "е", "KeyX": "ч", "KeyZ": "я", "Slash": ".",
}  # fmt: skip
MOST = 90  # presses of Tab on the way to anything
NAMED = """() => {
  const at = document.activeElement;
  return (at.ariaLabel || at.labels?.[0]?.innerText || at.innerText || at.placeholder || '').trim();
}"""


class Hands:
    """A keyboard in one layout."""

    def __init__(self, page: Page, layout: str) -> None:
        self.page, self.layout = page, layout
        self.board = page.keyboard

    def do(self, step: str) -> None:
        """`j` `g s` presses letters; `^k` with Ctrl; `'text` types; `>Name` `<Name` go there by Tab or Shift+Tab."""
        if step.startswith("'"):
            self.board.type(step[1:])
        elif step[0] in "<>" and len(step) > 1:
            self.walk("Tab" if step[0] == ">" else "Shift+Tab", step[1:])
        elif step.startswith("^") and len(step) == 2:
            self.press(f"Key{step[1].upper()}", CTRL)
        elif step == "/":
            self.press("Slash")
        elif step == "?":
            self.press("Digit7" if self.layout == "ru" else "Slash", SHIFT, "?")
        elif all(len(letter) == 1 for letter in step.split()):
            for letter in step.split():
                self.press(f"Key{letter.upper()}")
        else:
            self.board.press(step)

    def press(self, code: str, modifiers: int = 0, letter: str = "") -> None:
        english = code.removeprefix("Key").lower() if code.startswith("Key") else "/"
        letter = letter or (RUSSIAN[code] if self.layout == "ru" else english)
        keyboard = self.page.context.new_cdp_session(self.page)
        for kind in ("rawKeyDown", "keyUp"):
            keyboard.send("Input.dispatchKeyEvent", {"type": kind, "code": code, "key": letter, "modifiers": modifiers})
        keyboard.detach()

    def walk(self, key: str, name: str) -> None:
        seen = []
        for _ in range(MOST):
            self.board.press(key)
            seen.append(self.page.evaluate(NAMED).split("\n")[0])
            if seen[-1].startswith(name):
                return
        raise AssertionError(f"{key} does not come to {name!r}: {seen}")


Proof = Callable[[Page, Session], object]


@dataclass(frozen=True)
class Task:
    title: str
    start: str
    steps: tuple[str, ...]
    proof: Proof


def at(address: str) -> Proof:
    return lambda page, _db: page.wait_for_url(address)


def shows(text: str, where: str = "main") -> Proof:
    return lambda page, _db: expect(page.locator(where).first).to_contain_text(text)


def stored(column: Any, *where: Any, value: Any) -> Proof:
    """What the database holds in the end."""

    def prove(page: Page, db: Session) -> None:
        for _ in range(60):
            found = db.scalars(select(column).where(*where)).all()
            if found == [value]:
                return
            page.wait_for_timeout(50)
        assert found == [value]

    return prove


TASKS = (
    Task("go to the students", "/dashboard/", ("g s",), at("**/dashboard/users/")),
    Task(
        "go to the tickets and back to the overview",
        "/dashboard/users/",
        ("g t", "@**/tickets/", "g o"),
        at("**/dashboard/"),
    ),
    Task("read which keys there are", "/dashboard/", ("?",), shows("Next row", "#keys[open]")),
    Task(
        "find a student anywhere",
        "/dashboard/lessons/",
        ("^k", "'сафин", "~#palette [aria-selected=true]:has-text('Тимур')", "Enter"),
        at("**/users/*"),
    ),
    Task(
        "make a lesson from the palette",
        "/dashboard/",
        ("^k", "'new lesson", "~#palette [aria-selected=true]:has-text('lesson')", "Enter"),
        at("**/lessons/new"),
    ),
    Task("search a list", "/dashboard/users/", ("/", "'ljubimova"), shows("Любимова", "#list-rows > :only-child")),
    Task("open the second row", "/dashboard/lessons/?sort=title", ("j", "j", "Enter"), at("**/dashboard/lessons/*")),
    Task("walk down and up", "/dashboard/lessons/?sort=title", ("j", "j", "j", "k", "Enter"), shows("Lesson 1", "h1")),
    Task("sort a list", "/dashboard/lessons/", ("/", ">Price", ">Lesson", ">Price", "Enter"), at("**sort=-price*")),
    Task(
        "filter a list", "/dashboard/lessons/", ("/", ">Status", "Enter", ">Hidden", "Enter"), at("**is_active=false*")
    ),
    Task(
        "take the filters off",
        "/dashboard/lessons/?is_active=false",
        ("/", ">Clear", "Enter"),
        shows("Lesson 1", "#list-rows"),
    ),
    Task(
        "choose columns",
        "/dashboard/lessons/",
        ("/", ">View", "Enter", ">Revenue", "Space", ">Apply", "Enter"),
        at("**cols=*"),
    ),
    Task(
        "save what is filtered",
        "/dashboard/lessons/?is_active=true",
        ("/", ">Saved views", "Enter", ">Name", "'On sale now", "Enter", "@**view=*"),
        stored(SavedView.name, value="On sale now"),
    ),
    Task(
        "open what was saved",
        "/dashboard/lessons/",
        ("/", ">Saved views", "Enter", ">On sale now", "Enter"),
        at("**is_active=true&view=*"),
    ),
    Task(
        "change a price where it stands",
        "/dashboard/lessons/?sort=title",
        ("j", ">100", "Enter", "~#cell-value", "'777", "Enter"),
        stored(Lesson.price, Lesson.title == "Lesson 0", value=777),
    ),
    Task(
        "think better of it",
        "/dashboard/lessons/?sort=title",
        ("j", "j", ">101", "Enter", "~#cell-value", "'999", "Escape"),
        stored(Lesson.price, Lesson.title == "Lesson 1", value=101),
    ),
    Task(
        "edit a record from its row",
        "/dashboard/promo-codes/",
        ("j", "e"),
        at("**/promo-codes/*/edit"),
    ),
    Task(
        "rename a course",
        "/dashboard/courses/",
        (
            "j",
            "Enter",
            "~a[href$='/edit']",
            "e",
            "~#course-form",
            ">Title",
            "ControlOrMeta+a",
            "'Portrait",
            "Enter",
            "@**/courses/1",
        ),
        stored(Course.title, value="Portrait"),
    ),
    Task(
        "make a promo code",
        "/dashboard/promo-codes/",
        ("c", ">Code", "'MAY", ">Percent off", "'15", "Enter", "@**/promo-codes/2"),
        stored(PromoCode.discount_percent, PromoCode.code == "MAY", value=15),
    ),
    Task(
        "hide two lessons at once",
        "/dashboard/lessons/?sort=-title",
        ("j", "x", "j", "x", ">Hide", "Enter", "~[data-undo]"),
        stored(Lesson.is_active, Lesson.title == "Lesson 4", value=False),
    ),
    Task(
        "take a change back",
        "/dashboard/lessons/?sort=-title",
        ("j", "j", "j", "x", ">Hide", "Enter", "~[data-undo]", "z", "~Undone"),
        stored(Lesson.is_active, Lesson.title == "Lesson 2", value=True),
    ),
    Task(
        "answer a ticket",
        "/dashboard/tickets/",
        ("j", "Enter", "~.ly-compose", "r", "'It works now", "ControlOrMeta+Enter"),
        stored(Message.body, Message.side == "staff", value="It works now"),
    ),
    Task(
        "close a student's access",
        "/dashboard/users/?q=safin",
        ("j", "x", ">More", "Enter", ">Close access", "Enter"),
        stored(User.is_active, User.first_name == "Тимур", value=False),
    ),
    Task(
        "refund a purchase",
        "/dashboard/sales/",
        (
            "j",
            ">Lesson 0",
            "Enter",
            "~[commandfor=refund]",
            ">Refund",
            "Enter",
            ">Reason",
            "'Twice",
            "ControlOrMeta+Enter",
        ),
        shows("Twice"),
    ),
    Task(
        "switch to the dark theme",
        "/dashboard/",
        ("^k", "Escape", ">Theme", "Enter", ">Dark", "Enter"),
        lambda page, _db: expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark"),
    ),
)


@pytest.fixture
def page(context: BrowserContext) -> Page:
    page = context.new_page()
    page.set_default_timeout(8000)
    page.set_default_navigation_timeout(20_000)
    return page


@pytest.fixture
def school(db: Session) -> None:
    lessons = [make_lesson(db, title=f"Lesson {number}", price=100 + number) for number in range(5)]
    make_lesson(db, title="Old one", is_active=False)
    make_course(db, lessons[:2])
    make_promo(db, code="SPRING")
    timur = make_user(db, first_name="Тимур", last_name="Сафин")
    make_user(db, first_name="Вера", last_name="Любимова")
    make_purchase(db, timur, lessons[0], amount=100)
    make_ticket(db, timur)


def perform(task: Task, hands: Hands, db: Session) -> str:
    """What went wrong, "" when nothing did."""
    page = hands.page
    try:
        page.goto(task.start)
        for step in task.steps:
            if step.startswith("@"):
                page.wait_for_url(step[1:])
            elif step.startswith("~"):  # what a person waits to see
                wanted = step[1:]
                found = page.locator(wanted) if wanted[0] in "#.[a" else page.get_by_text(wanted)
                found.first.wait_for()
            else:
                hands.do(step)
        task.proof(page, db)
        page.wait_for_load_state("networkidle")  # or the next task is torn from the page that comes
    except (AssertionError, Error) as error:
        return f"{task.title}: {str(error)[:400]} (at {page.url})"
    return ""


@pytest.mark.usefixtures("school")
@pytest.mark.parametrize("layout", ["en", "ru"])
def test_everyday_tasks_are_done_by_keyboard_alone(page: Page, db: Session, layout: str) -> None:
    assert len(TASKS) == 25
    hands = Hands(page, layout)
    failed = [told for task in TASKS if (told := perform(task, hands, db))]
    assert failed == [], "\n".join(failed)
