"""Text with entities: read as Telegram reads it, shown so that nothing of it can act."""

import random
from html.parser import HTMLParser

import pytest

from backend.sandbox.entities import HtmlText, detect, trim, units, valid_link
from backend.sandbox.errors import Json, TelegramError
from backend.sandbox.render import paragraphs, to_page


def parse(source: str) -> tuple[str, list[tuple[str, int, int]]]:
    parsed = HtmlText(source).parse()
    return parsed.plain, [(e["type"], e["offset"], e["length"]) for e in parsed.entities]


@pytest.mark.parametrize(
    ("source", "plain", "entities"),
    [
        ("a <b>b</b> c", "a b c", [("bold", 2, 1)]),
        ("<B>x</b >", "x", [("bold", 0, 1)]),
        ("😀<i>x</i>", "😀x", [("italic", 2, 1)]),
        ("<b>a<i>b</i></b>", "ab", [("bold", 0, 2), ("italic", 1, 1)]),
        ("&lt;b&gt; &amp; &quot;&#39;&#x1F600; &nbsp;", "<b> & \"'😀 &nbsp;", []),
        ('<a href="https://a.example/?x=1&amp;y">l</a>', "l", [("text_link", 0, 1)]),
        ("<a>https://a.example</a>", "https://a.example", [("text_link", 0, 17)]),
        ('<a href="http://localhost">l</a>', "l", []),
        ('<a href="tg://user?id=5">l</a>', "l", [("text_mention", 0, 1)]),
        ('<pre><code class="language-py">x</code></pre>', "x", [("pre", 0, 1)]),
        ('<span class="tg-spoiler">x</span>', "x", [("spoiler", 0, 1)]),
        ("<blockquote expandable>x</blockquote>", "x", [("expandable_blockquote", 0, 1)]),
        ('<tg-emoji emoji-id="53">x</tg-emoji>', "x", [("custom_emoji", 0, 1)]),
        ("<u></u>x", "x", []),
    ],
)
def test_html_is_read(source: str, plain: str, entities: list[tuple[str, int, int]]) -> None:
    assert parse(source) == (plain, entities)


def test_the_language_of_code_is_kept() -> None:
    source = '<pre><code class="language-py">x</code></pre>'
    assert HtmlText(source).parse().entities[0]["language"] == "py"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("<b>x</i>", 'Unmatched end tag at byte offset 4, expected "</b>", found "</i>"'),
        ("<br>", 'Unsupported start tag "br" at byte offset 0'),
        ("<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
        ("<a href>x</a>", "Expected equal sign in declaration of an attribute of the tag"),
        ("<b", "Unclosed start tag at byte offset 0"),
        ("<b>x</b", "Unclosed end tag at byte offset 4"),
        ("<tg-emoji>x</tg-emoji>", "Invalid custom emoji identifier specified"),
        ("<a href='x>l</a>", 'Unsupported start tag "a" at byte offset 0'),
        ("5 <6> 7", 'Unsupported start tag "6" at byte offset 2'),
    ],
)
def test_broken_html_is_refused(source: str, said: str) -> None:
    with pytest.raises(TelegramError) as caught:
        HtmlText(source).parse()
    assert caught.value.description.startswith(f"Bad Request: can't parse entities: {said}")


def test_plain_text_is_searched() -> None:
    text = "/help@school_bot see https://a.example/x. or @anna #урок me@a.example 7/8"
    found = [(e["type"], text[e["offset"] : e["offset"] + e["length"]]) for e in detect(text, [])]
    assert found == [
        ("bot_command", "/help@school_bot"),
        ("url", "https://a.example/x"),
        ("mention", "@anna"),
        ("hashtag", "#урок"),
        ("email", "me@a.example"),
    ]


def test_nothing_is_found_in_code() -> None:
    known: list[Json] = [{"type": "code", "offset": 0, "length": 5}]
    assert detect("/help", known) == known


def test_white_space_is_cut_and_entities_move() -> None:
    entities: list[Json] = [{"type": "bold", "offset": 0, "length": 5}]
    assert trim("  ab  ", entities) == ("ab", [{"type": "bold", "offset": 0, "length": 2}])


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://a.example", "https://a.example/"),
        ("a.example/x", "http://a.example/x"),
        ("tg://resolve?domain=x", "tg://resolve?domain=x"),
        ("javascript:alert(1)", None),
        ("https://[bad", None),
        ("ftp://a.example/", None),
    ],
)
def test_links_are_kept_or_dropped(url: str, kept: str | None) -> None:
    assert valid_link(url) == kept


# --- showing


def show(text: str, *entities: Json) -> str:
    inside = to_page("school_bot", {"bot": 1, "student": 2})
    return str(paragraphs(text, list(entities), inside))


def test_entities_become_our_tags() -> None:
    assert show("a<b", {"type": "bold", "offset": 0, "length": 3}) == "<b>a&lt;b</b>"
    assert show("😀x", {"type": "code", "offset": 2, "length": 1}) == "😀<code>x</code>"


def test_overlapping_entities_stay_well_formed() -> None:
    shown = show(
        "abc",
        {"type": "bold", "offset": 0, "length": 2},
        {"type": "italic", "offset": 1, "length": 2},
    )
    assert shown == "<b>a</b><b><i>b</i></b><i>c</i>"


@pytest.mark.parametrize(
    ("url", "href"),
    [
        ("https://a.example/?a=1&b", "https://a.example/?a=1&amp;b"),
        ("https://t.me/school_bot?start=lesson_3", "?bot=1&amp;student=2&amp;start=lesson_3"),
        ("https://t.me/$abc-1", "?bot=1&amp;student=2&amp;link=%24abc-1"),
        ("https://t.me/other_bot?start=x", "https://t.me/other_bot?start=x"),
    ],
)
def test_links_lead_where_they_say(url: str, href: str) -> None:
    shown = show("l", {"type": "text_link", "offset": 0, "length": 1, "url": url})
    assert f'href="{href}"' in shown


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//evil", "vbscript:x"])
def test_other_addresses_are_no_links(url: str) -> None:
    assert show("l", {"type": "text_link", "offset": 0, "length": 1, "url": url}) == "l"


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _value in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


TAGS = {"b", "i", "u", "s", "code", "pre", "blockquote", "a", "span"}
ATTRIBUTES = {"href", "target", "rel", "class", "tabindex"}
PIECES = [
    "<script>",
    '"',
    "'",
    "<b>",
    "&lt;",
    "😀",
    "ё",
    "\n",
    "onload=x",
    "</div>",
    "hx-get",
    "/a",
]
KINDS = ["bold", "italic", "url", "text_link", "spoiler", "pre", "mention", "unknown", "email"]


def test_no_text_can_bring_its_own_markup() -> None:
    chance = random.Random(7)
    for _ in range(500):
        text = "".join(chance.choices(PIECES, k=6))
        length = units(text)
        entities: list[Json] = [
            {
                "type": chance.choice(KINDS),
                "offset": chance.randrange(length),
                "length": chance.randrange(1, length + 3),
                "url": 'https://a.example/"><script>',
            }
            for _ in range(4)
        ]
        seen = Seen()
        seen.feed(show(text, *entities))
        seen.close()
        assert seen.tags <= TAGS
        assert seen.attributes <= ATTRIBUTES
