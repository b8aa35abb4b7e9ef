"""The sidebar as data. A domain adds its Item here; it shows when its route exists and the person
holds its right."""

from collections.abc import Sequence
from dataclasses import dataclass

from backend.core.i18n import N_
from backend.core.permissions import Permission


@dataclass(frozen=True)
class Item:
    """`badge`: a key of `request.state.badges`, how much waits there; `waiting` says it aloud.

    `lists`: other lists of the item, by the names of their tables. `holds`: routes of its other pages.
    The route `crm:<badge>:badge`, where there is one, keeps the figure up to date. `key`: G and this letter open it.
    """

    label: str
    icon: str
    route: str
    permission: str
    badge: str = ""
    waiting: str = ""
    key: str = ""
    lists: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """A heading with its items; the first section has no heading."""

    title: str
    items: tuple[Item, ...]


SECTIONS: tuple[Section, ...] = (
    Section(
        "",
        (
            Item(N_("Overview"), "layout-dashboard", "crm:dashboard:index", Permission.DASHBOARD_READ, key="O"),
            Item(
                N_("Tickets"),
                "message-2",
                "crm:tickets:index",
                Permission.TICKETS_READ,
                "tickets",
                N_("waiting:"),
                key="T",
                lists=("ticket_list",),
            ),
        ),
    ),
    Section(
        N_("Sales"),
        (
            Item(N_("Purchases"), "receipt", "crm:sales:index", Permission.PURCHASES_READ, key="P"),
            Item(N_("Payments"), "cash", "crm:payments:index", Permission.PURCHASES_READ, key="M"),
            Item(N_("Promo codes"), "discount", "crm:promo_codes:index", Permission.PROMO_CODES_READ, key="D"),
        ),
    ),
    Section(
        N_("School"),
        (
            Item(N_("Lessons"), "video", "crm:lessons:index", Permission.LESSONS_READ, key="L"),
            Item(N_("Courses"), "books", "crm:courses:index", Permission.COURSES_READ, key="C"),
        ),
    ),
    Section(
        N_("People"),
        (
            Item(N_("Students"), "users", "crm:users:index", Permission.USERS_READ, key="S"),
            Item(
                N_("Staff"),
                "user-shield",
                "crm:staff:index",
                Permission.STAFF_WRITE,
                holds=("crm:roles:index", "crm:audit:index"),
            ),
        ),
    ),
)

FOOT = Section(
    "",
    (
        Item(N_("Jobs"), "hourglass", "crm:jobs:index", Permission.DASHBOARD_READ),
        Item(N_("History"), "history", "crm:history:index", Permission.HISTORY_READ, key="H"),
        Item(N_("Outbox"), "send", "crm:outbox:index", Permission.OPERATIONS_READ, key="X"),
        Item(N_("Sandbox"), "flask", "sandbox:index", Permission.DASHBOARD_READ, key="B"),
        Item(N_("Settings"), "settings", "crm:settings:index", Permission.PROFILE_WRITE),
    ),
)


@dataclass(frozen=True)
class Pin:
    """A saved view that a person keeps below the item of its list."""

    label: str
    url: str
    current: bool


@dataclass(frozen=True)
class Link:
    """An Item as this page shows it."""

    label: str
    icon: str
    url: str
    current: bool
    count: int | None  # None: this page has not counted
    waiting: str
    badge: str = ""
    live: str = ""  # asked for the figure
    pins: Sequence[Pin] = ()
    key: str = ""
