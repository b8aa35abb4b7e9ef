"""Markdown becomes Telegram's HTML, and long texts several lawful messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.bot.markup import Run, clip, from_markdown, html, split, units
from backend.sandbox.entities import HtmlText
from backend.sandbox.entities import units as telegrams_units


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("plain <text> & more", "plain &lt;text&gt; &amp; more"),
        ("**bold** *italic* `code`", "<b>bold</b> <i>italic</i> <code>code</code>"),
        ("**bold *both* `code`**", "<b>bold <i>both</i> </b><code>code</code>"),
        ("# Title\n\nText", "<b>Title</b>\n\nText"),
        ("one\ntwo\\\nthree", "one\ntwo\nthree"),
        ("one\n\n\n\ntwo", "one\n\ntwo"),
        ("- a\n- b\n  - c\n  - d\n- e", "• a\n• b\n   • c\n   • d\n• e"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("text\n\n- a\n\ntext", "text\n\n• a\n\ntext"),
        ("> quote **b**\n>\n> > deeper", "<blockquote>quote <b>b</b>\n\ndeeper</blockquote>"),
        ("```py\nx < 1\n```", '<pre><code class="language-py">x &lt; 1</code></pre>'),
        ("    indented", "<pre><code>indented</code></pre>"),
        ("a\n\n---\n\nb", "a\n\n———\n\nb"),
        ("[site](https://a.ru/?x=1&y=2)", '<a href="https://a.ru/?x=1&amp;y=2">site</a>'),
        ("[me](tg://user?id=1)", '<a href="tg://user?id=1">me</a>'),
        ("[file](/etc/passwd)", "file"),
        ("[bad](javascript:alert(1))", "[bad](javascript:alert(1))"),
        ("![picture](https://a.ru/1.png)", "picture"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("\\*not bold\\* &copy;", "*not bold* ©"),
        ("", ""),
    ],
)
def test_markdown_as_telegram_shows_it(source: str, shown: str) -> None:
    assert html(from_markdown(source)) == shown


def test_a_long_text_is_cut_at_a_paragraph() -> None:
    source = f"{'a' * 60}\n\n{'b' * 30} {'c' * 30}"

    assert split([Run(source)], 100) == ["a" * 60, f"{'b' * 30} {'c' * 30}"]


def test_a_text_without_paragraphs_is_cut_at_a_line_a_word_or_anywhere() -> None:
    assert split([Run(f"{'a' * 8}\n{'b' * 8}")], 10) == ["a" * 8, "b" * 8]
    assert split([Run(f"{'a' * 8} {'b' * 8}")], 10) == ["a" * 8, "b" * 8]
    assert split([Run("a" * 25)], 10) == ["a" * 10, "a" * 10, "a" * 5]


def test_a_tag_is_closed_and_opened_again_where_it_is_cut() -> None:
    runs = [Run("bold " * 4, ("<b>",)), Run("link", ("<b>", '<a href="https://a.ru">'))]

    pages = split(runs, 12)

    assert pages == [
        "<b>bold bold</b>",
        "<b>bold bold</b>",
        '<b><a href="https://a.ru">link</a></b>',
    ]


def test_a_pair_of_surrogates_counts_twice_and_is_never_torn() -> None:
    assert units("a\U0001f600") == 3
    assert split([Run("\U0001f600" * 5)], 5) == ["\U0001f600" * 2, "\U0001f600" * 2, "\U0001f600"]
    assert clip("\U0001f600" * 5, 5) == "\U0001f600\U0001f600…"


def test_clip_leaves_what_fits() -> None:
    assert clip("  word ", 4) == "word"
    assert clip("two words", 7) == "two wo…"


@given(st.text(max_size=400), st.integers(min_value=2, max_value=50))
def test_any_text_becomes_lawful_messages_and_loses_nothing(source: str, limit: int) -> None:
    pages = [HtmlText(str(page)).parse().plain for page in split([Run(source, ("<i>",))], limit)]

    assert all(telegrams_units(page) <= limit for page in pages)
    assert "".join("".join(page.split()) for page in pages) == "".join(source.split())


@given(
    st.text(alphabet="ab *_`#>-[]()\n1.<&\U0001f600", max_size=200),
    st.integers(min_value=8, max_value=60),
)
def test_any_markdown_becomes_lawful_messages(source: str, limit: int) -> None:
    for page in split(from_markdown(source), limit):
        assert telegrams_units(HtmlText(str(page)).parse().plain) <= limit
