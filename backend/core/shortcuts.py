"""The keys of the dashboard, in one registry: it makes the `?` sheet (templates/shell/_keys.html), and js/keys.js binds
what stands in the sheet. Codes are places on the keyboard, so that they work in the Russian layout.
"""

from dataclasses import dataclass

from backend.core.i18n import N_
from backend.core.navigation import FOOT, SECTIONS, Item


@dataclass(frozen=True)
class Shortcut:
    """`keys`: as the sheet shows them; `codes`: KeyboardEvent.code of each press, alternatives after a bar.

    `action` names a function of keys.js; without one the browser or another module does it.
    """

    label: str
    keys: tuple[str, ...]
    action: str = ""
    codes: str = ""


@dataclass(frozen=True)
class Group:
    title: str
    shortcuts: tuple[Shortcut, ...]


GROUPS: tuple[Group, ...] = (
    Group(
        N_("Everywhere"),
        (
            Shortcut(N_("Find or do"), ("Ctrl", "K")),
            Shortcut(N_("Search this list"), ("/",), "search", "Slash"),
            Shortcut(N_("Take back the last change"), ("Z",), "undo", "KeyZ"),
            Shortcut(N_("Send the form from a text field"), ("Ctrl", "Enter")),
            Shortcut(N_("This sheet"), ("?",), "sheet", "?"),
        ),
    ),
    Group(
        N_("Lists and tickets"),
        (
            Shortcut(N_("Next row"), ("J",), "next", "KeyJ"),
            Shortcut(N_("Previous row"), ("K",), "previous", "KeyK"),
            Shortcut(N_("Open the row"), ("Enter",)),
            Shortcut(N_("Choose the row"), ("X",), "choose", "KeyX"),
            Shortcut(N_("Create"), ("C",), "create", "KeyC"),
            Shortcut(N_("Edit"), ("E",), "edit", "KeyE"),
            Shortcut(N_("Answer the ticket"), ("R",), "reply", "KeyR"),
        ),
    ),
)


def cap(action: str) -> str:
    """The key of an action as menus show it."""
    return CAPS[action]


CAPS = {key.action: " ".join(key.keys) for group in GROUPS for key in group.shortcuts if key.action}


def places() -> list[Item]:
    """The sections that a press of G and a letter opens."""
    return [item for section in (*SECTIONS, FOOT) for item in section.items if item.key]
