"""The keys of the dashboard, in one registry: it makes the `?` sheet (templates/shell/_keys.html), and js/keys.js binds
what stands in the sheet. Codes are places on the keyboard, so that they work in the Russian layout.
"""

from dataclasses import dataclass

from backend.core.i18n import N_
from backend.core.navigation import FOOT, SECTIONS, Item


@dataclass(frozen=True)
class Shortcut:
    """`keys`: as the sheet shows them; `codes`: KeyboardEvent.code of each press, after "Shift+" with Shift.

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
            Shortcut(N_("Redo what was undone"), ("Shift", "Z"), "redo", "Shift+KeyZ"),
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
            Shortcut(N_("Select rows from the last selected"), ("Shift", "X"), "range", "Shift+KeyX"),
            Shortcut(N_("Select all rows on screen"), ("A",), "all", "KeyA"),
            Shortcut(N_("Actions for selected rows"), ("B",), "bar", "KeyB"),
            Shortcut(N_("From the actions or the search back to the list"), ("Esc",)),
            Shortcut(N_("From the search to the first row"), ("Enter",)),
            Shortcut(N_("Create"), ("C",), "create", "KeyC"),
            Shortcut(N_("Edit"), ("E",), "edit", "KeyE"),
            Shortcut(N_("Reply to ticket"), ("R",), "reply", "KeyR"),
        ),
    ),
)


def cap(action: str) -> str:
    """The key of an action as menus and `aria-keyshortcuts` show it: Shift+Z."""
    return CAPS[action]


CAPS = {key.action: "+".join(key.keys) for group in GROUPS for key in group.shortcuts if key.action}


def places() -> list[Item]:
    """The sections that a press of G and a letter opens."""
    return [item for section in (*SECTIONS, FOOT) for item in section.items if item.key]
