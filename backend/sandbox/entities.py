"""Text with entities: Telegram's HTML subset, and what Telegram finds in plain text by itself.

Offsets and lengths are UTF-16 code units, as everywhere in the Bot API. Messages of the errors and
the set of tags follow https://core.telegram.org/bots/api#html-style.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from backend.sandbox.errors import Json, bad_request

TYPES = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "span": "spoiler",
    "tg-spoiler": "spoiler",
    "tg-emoji": "custom_emoji",
    "a": "text_link",
    "pre": "pre",
    "code": "code",
    "blockquote": "blockquote",
}
NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
REFERENCE = re.compile(r"&(?:#x([0-9a-fA-F]{1,6})|#([0-9]{1,7})|(lt|gt|amp|quot));?")
ATTRIBUTE = re.compile(r"""([^\s=>]+)(?:\s*=\s*("[^"]*"|'[^']*'|[A-Za-z0-9.\-]+))?\s*""")
START = re.compile(r"<([^\s>/][^\s>]*)\s*((?:[^>\"']|\"[^\"]*\"|'[^']*')*)>")
END = re.compile(r"</\s*([^\s>]*)\s*>")
FOUND = re.compile(
    r"(?P<bot_command>(?<![\w/<>])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?(?![\w/<>]))"
    r"|(?P<email>(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+)"
    r"|(?P<url>https?://[^\s<>\"]+[^\s<>\".,;:!?)])"
    r"|(?P<mention>(?<!\w)@[A-Za-z0-9_]{4,32}(?!\w))"
    r"|(?P<hashtag>(?<!\w)\#(?=\w*[^\W\d])\w{1,255})"
)
OPAQUE = frozenset({"code", "pre", "text_link"})


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def valid_link(url: str) -> str | None:
    """The address as Telegram would keep it; None when it would drop the link."""
    if re.match(r"(tg|ton)://\w", url, re.IGNORECASE):
        return url
    if "://" not in url:
        url = f"http://{url}"
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return None
    if parts.scheme.lower() not in {"http", "https"} or "." not in host.strip("."):
        return None
    return url if parts.path else f"{url}/"


@dataclass
class _Open:
    tag: str
    argument: str
    offset: int
    start: int


@dataclass
class HtmlText:
    """Parses one text; `plain` and `entities` are the result."""

    source: str
    plain: str = ""
    entities: list[Json] = field(default_factory=list)
    _stack: list[_Open] = field(default_factory=list)

    def parse(self) -> "HtmlText":
        position = 0
        while position < len(self.source):
            position = self._step(position)
        if self._stack:
            tag = self._stack[-1].tag
            raise self._error(f'Can\'t find end tag corresponding to start tag "{tag}"')
        self.entities.sort(key=lambda e: (e["offset"], -e["length"]))
        return self

    def _step(self, position: int) -> int:
        rest = self.source[position]
        if rest == "&" and (match := REFERENCE.match(self.source, position)):
            self.plain += _character(match)
            return match.end()
        if rest != "<":
            self.plain += rest
            return position + 1
        if self.source.startswith("</", position):
            return self._close(position)
        return self._open(position)

    def _open(self, position: int) -> int:
        match = START.match(self.source, position)
        if match is None:
            name = re.match(r"<([^\s>]*)", self.source[position:])
            if name and ">" in self.source[position:]:
                raise self._unsupported(name[1], position)
            raise self._error(f"Unclosed start tag at byte offset {self._byte(position)}")
        tag = match[1].lower()
        if tag not in TYPES:
            raise self._unsupported(tag, position)
        argument = self._argument(tag, match[2], position)
        self._stack.append(_Open(tag, argument, units(self.plain), len(self.plain)))
        return match.end()

    def _argument(self, tag: str, attributes: str, position: int) -> str:
        wanted = {"a": "href", "code": "class", "span": "class", "tg-emoji": "emoji-id"}.get(tag)
        argument = ""
        for name, raw in ATTRIBUTE.findall(attributes):
            if not raw and not (tag == "blockquote" and name.lower() == "expandable"):
                raise self._error(
                    "Expected equal sign in declaration of an attribute of the tag"
                    f' "{tag}" at byte offset {self._byte(position)}'
                )
            if name.lower() == wanted:
                argument = REFERENCE.sub(_character, raw.strip("\"'"))
            elif tag == "blockquote" and name.lower() == "expandable":
                argument = "expandable"
        if tag == "span" and argument != "tg-spoiler":
            raise self._error(f'Tag "span" must have class "tg-spoiler" at byte offset {self._byte(position)}')
        return argument

    def _close(self, position: int) -> int:
        if not self._stack:
            raise self._error(f"Unexpected end tag at byte offset {self._byte(position)}")
        match = END.match(self.source, position)
        if match is None:
            raise self._error(f"Unclosed end tag at byte offset {self._byte(position)}")
        opened, tag = self._stack.pop(), match[1].lower()
        if tag and tag != opened.tag:
            raise self._error(
                f'Unmatched end tag at byte offset {self._byte(position)}, expected "</{opened.tag}>", found "</{tag}>"'
            )
        length = units(self.plain) - opened.offset
        if length:
            self._add(opened, length)
        return match.end()

    def _add(self, opened: _Open, length: int) -> None:
        entity: Json = {"type": TYPES[opened.tag], "offset": opened.offset, "length": length}
        if opened.tag == "a" and not self._link(entity, opened):
            return
        if opened.tag == "tg-emoji":
            if not opened.argument.isdigit():
                raise self._error("Invalid custom emoji identifier specified")
            entity["custom_emoji_id"] = opened.argument
        if opened.argument == "expandable":
            entity["type"] = "expandable_blockquote"
        if opened.tag == "pre" and (code := self._same_code(entity)):
            self.entities.remove(code)
            if code.get("language"):
                entity["language"] = code["language"]
        if opened.tag == "code" and opened.argument.startswith("language-"):
            entity["language"] = opened.argument.removeprefix("language-")
        self.entities.append(entity)

    def _link(self, entity: Json, opened: _Open) -> bool:
        url = opened.argument or self.plain[opened.start :]
        if match := re.fullmatch(r"tg://user\?id=(\d+)", url):
            user = {"id": int(match[1]), "is_bot": False, "first_name": self.plain[opened.start :]}
            entity |= {"type": "text_mention", "user": user}
            return True
        link = valid_link(url)
        if link:
            entity["url"] = link
        return bool(link)

    def _same_code(self, entity: Json) -> Json | None:
        span = (entity["offset"], entity["length"])
        for other in self.entities:
            if other["type"] == "code" and (other["offset"], other["length"]) == span:
                return other
        return None

    def _byte(self, position: int) -> int:
        return len(self.source[:position].encode())

    def _unsupported(self, tag: str, position: int) -> Exception:
        return self._error(f'Unsupported start tag "{tag.lower()}" at byte offset {self._byte(position)}')

    @staticmethod
    def _error(text: str) -> Exception:
        return bad_request(f"can't parse entities: {text}")


def _character(match: re.Match[str]) -> str:
    if match[3]:
        return NAMED[match[3]]
    code = int(match[1], 16) if match[1] else int(match[2])
    if code == 0 or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        return match[0]
    return chr(code)


def detect(text: str, known: list[Json]) -> list[Json]:
    """Adds the commands, links, mentions and tags that Telegram finds by itself."""
    taken = [(e["offset"], e["offset"] + e["length"]) for e in known if e["type"] in OPAQUE]
    found = [dict(entity) for entity in known]
    for entity in found:
        if entity["type"] == "code":
            entity.pop("language", None)
    for match in FOUND.finditer(text):
        offset, length = units(text[: match.start()]), units(match[0])
        if not any(start < offset + length and offset < end for start, end in taken):
            found.append({"type": match.lastgroup, "offset": offset, "length": length})
    return sorted(found, key=lambda e: (e["offset"], -e["length"]))


def trim(text: str, entities: list[Json]) -> tuple[str, list[Json]]:
    """Telegram cuts white space at both ends and moves the entities along."""
    kept = text.rstrip()
    lead = units(kept) - units(kept.lstrip())
    kept = kept.lstrip()
    end = units(kept)
    moved = []
    for entity in entities:
        start = max(0, entity["offset"] - lead)
        stop = min(end, entity["offset"] - lead + entity["length"])
        if stop > start:
            moved.append(entity | {"offset": start, "length": stop - start})
    return kept, moved
