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
            Shortcut(N_("Search and commands"), ("Ctrl", "K")),
            Shortcut(N_("Search this list"), ("/",), "search", "Slash"),
            Shortcut(N_("Undo last change"), ("Z",), "undo", "KeyZ"),
            Shortcut(N_("Submit form from a text field"), ("Ctrl", "Enter")),
            Shortcut(N_("Show shortcuts"), ("?",), "sheet", "?"),
        ),
    ),
    Group(
        N_("Lists and tickets"),
        (
            Shortcut(N_("Next row"), ("J",), "next", "KeyJ"),
            Shortcut(N_("Previous row"), ("K",), "previous", "KeyK"),
            Shortcut(N_("Open row"), ("Enter",)),
            Shortcut(N_("Select row"), ("X",), "choose", "KeyX"),
            Shortcut(N_("Create"), ("C",), "create", "KeyC"),
            Shortcut(N_("Edit"), ("E",), "edit", "KeyE"),
            Shortcut(N_("Reply to ticket"), ("R",), "reply", "KeyR"),
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
