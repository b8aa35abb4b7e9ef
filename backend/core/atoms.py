"""The few parts that a list draws for every row, in Python: a third of the time of a macro each.

components/ui.html names them as its own (`ui.person(...)`); everything larger is a template. What a
caller passes is escaped here, as a template would do it.
"""

from collections.abc import Callable
from functools import lru_cache

from markupsafe import Markup, escape

from backend.core.static import assets
from backend.core.text import initials

HUES = 6


# `typed`: a str and a Markup of the same letters are equal, but only one of them is to be escaped.
@lru_cache(maxsize=500, typed=True)
def icon(name: str, cls: str = "") -> Markup:
    """One symbol of the sprite, hidden from screen readers: the word beside it says the same."""
    tag = Markup('<svg class="{}" aria-hidden="true"><use href="{}#icon-{}"/></svg>')
    return tag.format(f"icon {cls}".strip(), assets.url("vendor/sprite.svg"), name)


@lru_cache(maxsize=500, typed=True)
def badge(kind: str, sign: str, text: str) -> Markup:
    """A state: a word and an icon, never colour alone."""
    tag = Markup('<span class="{}">{}{}</span>')
    return tag.format(f"badge is-{kind}" if kind else "badge", icon(sign), text)


@lru_cache(maxsize=2000, typed=True)
def avatar(user_id: int, name: str, size: str = "") -> Markup:
    letters, hue = escape(initials(name)), int(user_id) % HUES + 1
    cls = f"ly-ava {escape(size)}" if size else "ly-ava"
    tag = f'<span class="{cls}" data-hue="{hue}" aria-hidden="true">{letters}</span>'
    return Markup(tag)  # noqa: S704 - every part is escaped or a number


@lru_cache(maxsize=2000, typed=True)
def person(user_id: int, name: str, url: str = "", note: object = "") -> Markup:
    """Initials, the name (a link when there is an address) and a quiet second line."""
    if url:
        shown = f'<a class="ly-cut" href="{escape(url)}">{escape(name)}</a>'
    else:
        shown = f'<b class="ly-cut ly-strong">{escape(name)}</b>'
    small = f'<small class="ly-cut">{escape(note)}</small>' if note else ""
    tag = f'<span class="ly-person">{avatar(user_id, name)}<span>{shown}{small}</span></span>'
    return Markup(tag)  # noqa: S704 - every part is escaped


def menu(
    element_id: str,
    label: str,
    sign: str = "dots",
    cls: str = "btn btn-icon",
    *,
    caller: Callable[[], Markup],
) -> Markup:
    """A button with a popover of what the `call` block holds."""
    block = f"{_menu_head(element_id, label, sign, cls)}{caller()}</div>"
    return Markup(block)  # noqa: S704 - every part is escaped, the block is a template's


@lru_cache(maxsize=2000, typed=True)
def _menu_head(element_id: str, label: str, sign: str, cls: str) -> str:
    key, name = escape(element_id), escape(label)
    button = f'<button class="{escape(cls)}" type="button" popovertarget="{key}"'
    return f'{button} aria-label="{name}">{icon(sign)}</button><div class="ly-pop" id="{key}" popover>'
