"""A message's text as safe HTML: every piece is escaped, every tag is one of ours."""

import itertools
import re
from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

from markupsafe import Markup, escape

from backend.sandbox.errors import Json

# Outermost first: a quote holds a link, a link holds bold words.
ORDER = (
    "blockquote",
    "expandable_blockquote",
    "pre",
    "text_link",
    "url",
    "email",
    "text_mention",
    "mention",
    "hashtag",
    "bot_command",
    "code",
    "bold",
    "italic",
    "underline",
    "strikethrough",
    "spoiler",
)
TAGS = {
    "bold": Markup("<b>{}</b>"),
    "italic": Markup("<i>{}</i>"),
    "underline": Markup("<u>{}</u>"),
    "strikethrough": Markup("<s>{}</s>"),
    "code": Markup("<code>{}</code>"),
    "pre": Markup("<pre>{}</pre>"),
    "blockquote": Markup("<blockquote>{}</blockquote>"),
    "expandable_blockquote": Markup("<blockquote>{}</blockquote>"),
    "spoiler": Markup('<span class="ly-spoiler" tabindex="0">{}</span>'),
    "mention": Markup('<span class="ly-mention">{}</span>'),
    "text_mention": Markup('<span class="ly-mention">{}</span>'),
    "hashtag": Markup('<span class="ly-mention">{}</span>'),
    "bot_command": Markup('<span class="ly-mention">{}</span>'),
}
OUTSIDE = Markup('<a href="{}" target="_blank" rel="noopener noreferrer nofollow">{}</a>')
INSIDE = Markup('<a href="{}">{}</a>')
WEB = {"http", "https", "mailto"}

Inside = Callable[[str], str | None]


def paragraphs(text: str, entities: list[Json], inside: Inside) -> Markup:
    """`inside` turns an address that leads to this very bot into one of this page."""
    raw = text.encode("utf-16-le")
    cuts = {0, len(raw) // 2}
    for entity in entities:
        cuts |= {entity["offset"], entity["offset"] + entity["length"]}
    marks = sorted(cut for cut in cuts if 0 <= cut <= len(raw) // 2)
    pieces = [
        _piece(raw[start * 2 : end * 2], _covering(entities, start, end), text, inside)
        for start, end in itertools.pairwise(marks)
    ]
    return Markup().join(pieces)


def _covering(entities: list[Json], start: int, end: int) -> list[Json]:
    found = [e for e in entities if e["offset"] <= start and end <= e["offset"] + e["length"]]
    known = [entity for entity in found if entity["type"] in ORDER]
    return sorted(known, key=lambda entity: ORDER.index(entity["type"]))


def _piece(raw: bytes, covering: list[Json], text: str, inside: Inside) -> Markup:
    shown = escape(raw.decode("utf-16-le", "replace"))
    for entity in reversed(covering):
        if entity["type"] in TAGS:
            shown = TAGS[entity["type"]].format(shown)
        else:
            shown = _link(address(entity, text), shown, inside)
    return shown


def address(entity: Json, text: str) -> str:
    """Where a link entity leads."""
    if entity["type"] == "text_link":
        return str(entity["url"])
    raw = text.encode("utf-16-le")
    start, end = entity["offset"] * 2, (entity["offset"] + entity["length"]) * 2
    word = raw[start:end].decode("utf-16-le", "replace")
    return f"mailto:{word}" if entity["type"] == "email" else word


def _link(url: str, shown: Markup, inside: Inside) -> Markup:
    own = inside(url)
    if own is not None:
        return INSIDE.format(own, shown)
    return OUTSIDE.format(url, shown) if safe(url) else shown


def safe(url: str) -> bool:
    try:
        return urlsplit(url).scheme.lower() in WEB
    except ValueError:
        return False


def to_page(username: str, place: dict[str, object]) -> Inside:
    """t.me/<our bot>?start=x and t.me/$invoice open in this chat, not at Telegram."""

    def inside(url: str) -> str | None:
        match = re.fullmatch(r"(?:https?://)?t\.me/([^/?#]+)/?(?:\?start=([\w-]{1,64}))?", url)
        if match is None:
            return None
        if match[1].startswith("$"):
            return f"?{urlencode({**place, 'link': match[1]})}"
        if match[1].lower() == username.lower() and match[2]:
            return f"?{urlencode({**place, 'start': match[2]})}"
        return None

    return inside
