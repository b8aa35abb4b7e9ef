"""Texts as Telegram shows them: Markdown into its HTML, long texts into several messages.

A text is a list of runs, each with the tags that it stands in, so that cutting never breaks a tag.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

TEXT_UNITS = 4096  # of a message, counted in UTF-16 after the tags are read
QUOTE = "<blockquote>"
INLINE = {"strong": "<b>", "em": "<i>"}
_markdown = MarkdownIt("commonmark", {"html": False})  # what the CRM's preview shows


@dataclass(frozen=True)
class Run:
    text: str
    tags: tuple[str, ...] = ()


def units(text: str) -> int:
    """Length as Telegram counts it."""
    return len(text) + sum(char > "\uffff" for char in text)


def clip(text: str, limit: int) -> str:
    """At most `limit` UTF-16 units, with an ellipsis where something is missing."""
    text = text.strip()
    if units(text) <= limit:
        return text
    return f"{text[: _fitting(text, limit - 1)].rstrip()}…"


def html(runs: Iterable[Run]) -> Markup:
    parts: list[str] = []
    opened: tuple[str, ...] = ()
    for run in [*runs, Run("")]:
        kept = _common(opened, run.tags)
        parts += [_closing(tag) for tag in reversed(opened[kept:])]
        parts += run.tags[kept:]
        parts.append(escape(run.text, quote=False))
        opened = run.tags
    return Markup("".join(parts))  # noqa: S704 - every text is escaped above


def split(runs: Iterable[Run], limit: int = TEXT_UNITS) -> list[Markup]:
    """Messages of at most `limit` units, cut at a paragraph, a line or a word if there is one."""
    rest = [run for run in runs if run.text]
    pages: list[Markup] = []
    while rest := _trimmed(rest):
        at = _cut("".join(run.text for run in rest), limit)
        page, rest = _divided(rest, at)
        pages.append(html(page))
    return pages


def from_markdown(source: str) -> list[Run]:
    return _Reader().read(source)


def _trimmed(runs: list[Run]) -> list[Run]:
    """Without the white space at the start, which Telegram drops."""
    while runs and not runs[0].text.lstrip():
        runs = runs[1:]
    return [Run(runs[0].text.lstrip(), runs[0].tags), *runs[1:]] if runs else []


def _cut(text: str, limit: int) -> int:
    """Where the first message of `text` ends."""
    fits = _fitting(text, limit)
    if fits == len(text):
        return fits
    for mark in ("\n\n", "\n", " "):
        # A cut in the first half would make more messages than needed.
        at = text.rfind(mark, fits // 2, fits + 1)
        if at > 0:
            return at
    return fits


def _fitting(text: str, limit: int) -> int:
    """How many characters of `text` fit into `limit` units."""
    if units(text) <= limit:
        return len(text)
    left = limit
    for at, char in enumerate(text):
        left -= 2 if char > "\uffff" else 1
        if left < 0:
            return at
    return len(text)


def _divided(runs: list[Run], at: int) -> tuple[list[Run], list[Run]]:
    before: list[Run] = []
    for index, run in enumerate(runs):
        if at < len(run.text):
            head, tail = run.text[:at], run.text[at:]
            return [*before, Run(head, run.tags)], [Run(tail, run.tags), *runs[index + 1 :]]
        before.append(run)
        at -= len(run.text)
    return before, []


def _common(left: tuple[str, ...], right: tuple[str, ...]) -> int:
    pairs = enumerate(zip(left, right, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(left), len(right)))


def _closing(tag: str) -> str:
    return f"</{tag.strip('<>').partition(' ')[0]}>"


@dataclass
class _Reader:
    """Walks Markdown's tokens and keeps what Telegram has a tag or a sign for."""

    runs: list[Run] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    lists: list[int | None] = field(default_factory=list)  # the next number; None is a bullet

    def read(self, source: str) -> list[Run]:
        for token in _markdown.parse(source):
            self._block(token)
        return self.runs

    def _block(self, token: Token) -> None:
        kind, _sep, side = token.type.rpartition("_")
        if token.type == "inline":
            for child in token.children or []:
                self._inline(child)
        elif token.type in ("fence", "code_block"):
            self._gap("\n\n")
            language = escape(token.info.split()[0]) if token.info.split() else ""
            code = f'<code class="language-{language}">' if language else "<code>"
            self._add(token.content.rstrip("\n"), ("<pre>", code))
        elif token.type == "hr":
            self._gap("\n\n")
            self._add("———")
        elif side == "open":
            self._enter(kind, token)
        elif side == "close":
            self._leave(kind)

    def _enter(self, kind: str, token: Token) -> None:
        if kind in ("bullet_list", "ordered_list"):
            self._gap("\n" if self.lists else "\n\n")
            self.lists.append(int(token.attrGet("start") or 1) if kind == "ordered_list" else None)
        elif kind == "list_item":
            self._item()
        elif kind == "blockquote":
            self._gap("\n\n")
            self.tags.append(QUOTE)
        elif kind == "heading":
            self._gap("\n\n")
            self.tags.append("<b>")
        elif kind == "paragraph" and not token.hidden and not self._at_mark():
            self._gap("\n\n")

    def _leave(self, kind: str) -> None:
        if kind in ("bullet_list", "ordered_list"):
            self.lists.pop()
        elif kind in ("blockquote", "heading"):
            self.tags.pop()

    def _item(self) -> None:
        self._gap("\n")
        number = self.lists[-1]
        if number is not None:
            self.lists[-1] = number + 1
        mark = "•" if number is None else f"{number}."
        self._add(f"{'   ' * (len(self.lists) - 1)}{mark} ")

    def _at_mark(self) -> bool:
        """Whether only the bullet of a list item stands on the line so far."""
        line = "".join(run.text for run in self.runs).rpartition("\n")[2].strip()
        return bool(self.lists) and (line == "•" or line.removesuffix(".").isdigit())

    def _inline(self, token: Token) -> None:
        kind, _sep, side = token.type.rpartition("_")
        if token.type in ("text", "text_special"):
            self._add(token.content)
        elif token.type == "code_inline":
            self._add(token.content, ("<code>",))
        elif token.type in ("softbreak", "hardbreak"):
            self._add("\n")
        elif token.type == "image":
            self._add(token.content or str(token.attrGet("src") or ""))
        elif side == "open":
            self.tags.append(INLINE.get(kind) or _link(token))
        elif side == "close":
            self.tags.pop()

    def _add(self, text: str, code: tuple[str, ...] = ()) -> None:
        """Code stands in no other tag than a quotation: Telegram allows nothing else."""
        tags = tuple(_once(self.tags))
        if code:
            tags = tuple(tag for tag in tags if tag == QUOTE) + code
        self.runs.append(Run(text, tags))

    def _gap(self, wanted: str) -> None:
        """Ends the line, or the paragraph, unless nothing stands before."""
        if not self.runs:
            return
        before = "".join(run.text for run in self.runs[-3:])
        missing = len(wanted) - (len(before) - len(before.rstrip("\n")))
        if missing > 0:
            inside = self.runs[-1].tags
            shared = inside[: _common(inside, tuple(_once(self.tags)))]
            self.runs.append(Run("\n" * missing, shared))


def _once(tags: Iterable[str]) -> Iterator[str]:
    """Each tag once: Telegram knows neither a quotation in a quotation nor bold in bold."""
    seen: set[str] = set()
    for tag in tags:
        name = tag.partition(" ")[0]
        if tag and name not in seen:
            seen.add(name)
            yield tag


def _link(token: Token) -> str:
    """The opening tag of a link; empty for an address that Telegram would not open."""
    address = str(token.attrGet("href") or "")
    known = address.lower().startswith(("http://", "https://", "tg://"))
    return f'<a href="{escape(address)}">' if known else ""
