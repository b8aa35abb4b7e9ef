"""The sidebar as data. A domain adds its Item here; an item shows when its route exists and the person holds its right."""

from dataclasses import dataclass

from backend.core.i18n import N_
from backend.core.permissions import Permission as P


@dataclass(frozen=True)
class Item:
    """`badge` is a key of `request.state.badges`: how much waits there, and `waiting` says it to a screen reader."""

    label: str
    icon: str
    route: str
    permission: str
    badge: str = ""
    waiting: str = ""


@dataclass(frozen=True)
class Section:
    """A heading with its items; the first section has none, the last stands at the foot of the sidebar."""

    title: str
    items: tuple[Item, ...]


SECTIONS: tuple[Section, ...] = (
    Section(
        "",
        (
            Item(N_("Overview"), "layout-dashboard", "crm:dashboard:index", P.DASHBOARD_READ),
            Item(N_("Tickets"), "message-2", "crm:tickets:index", P.TICKETS_READ, "tickets", N_("waiting:")),
        ),
    ),
    Section(
        N_("Sales"),
        (
            Item(N_("Purchases"), "receipt", "crm:sales:index", P.PURCHASES_READ),
            Item(N_("Payments"), "cash", "crm:payments:index", P.PURCHASES_READ),
            Item(N_("Promo codes"), "discount", "crm:promo_codes:index", P.PROMO_CODES_READ),
        ),
    ),
    Section(
        N_("School"),
        (
            Item(N_("Lessons"), "video", "crm:lessons:index", P.LESSONS_READ),
            Item(N_("Courses"), "books", "crm:courses:index", P.COURSES_READ),
        ),
    ),
    Section(
        N_("People"),
        (
            Item(N_("Students"), "users", "crm:users:index", P.USERS_READ),
            Item(N_("Staff"), "user-shield", "crm:staff:index", P.USERS_WRITE),
        ),
    ),
)

FOOT: tuple[Item, ...] = (
    Item(N_("Sandbox"), "flask", "sandbox:index", P.DASHBOARD_READ),
    Item(N_("Settings"), "settings", "crm:settings:index", P.PROFILE_WRITE),
)


@dataclass(frozen=True)
class Link:
    """An Item as this page shows it."""

    label: str
    icon: str
    url: str
    current: bool
    count: int
    waiting: str
