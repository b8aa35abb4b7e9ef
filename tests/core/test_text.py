"""How values read, in both languages."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from backend.core import text
from backend.core.i18n import current_language

NOW = datetime(2026, 11, 21, 8, 12, 30, tzinfo=UTC)


@pytest.fixture(params=["ru", "en"])
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    token = current_language.set(request.param)
    yield request.param
    current_language.reset(token)


@pytest.fixture
def moscow() -> Iterator[None]:
    token = text.current_timezone.set("Europe/Moscow")
    yield
    text.current_timezone.reset(token)


def pick(language: str, russian: str, english: str) -> str:
    return russian if language == "ru" else english


@pytest.mark.parametrize(
    ("value", "russian", "english"),
    [
        (0, "0", "0"),
        (999, "999", "999"),
        (1250, "1\u00a0250", "1,250"),
        (1_000_000, "1\u00a0000\u00a0000", "1,000,000"),
        (-1250, "\u22121\u00a0250", "\u22121,250"),
        (None, "\u2013", "\u2013"),
    ],
)
def test_numbers_are_grouped_without_a_break(language: str, value: int | None, russian: str, english: str) -> None:
    assert text.number(value) == pick(language, russian, english)


def test_money_carries_its_star_and_never_breaks(language: str) -> None:
    figure = pick(language, "48\u00a0250", "48,250")
    assert text.money(48250) == f'<span class="ly-money">{figure}\u00a0<i>★</i></span>'
    assert text.money_text(48250) == f"{figure}\u00a0★"
    assert (text.money(None), text.money_text(None)) == ("\u2013", "\u2013")


def test_percent_follows_the_language(language: str) -> None:
    assert text.percent(0.124) == pick(language, "12,4\u00a0%", "12.4%")
    assert text.percent(-0.5, 0) == pick(language, "\u221250\u00a0%", "\u221250%")
    assert text.percent(None) == "\u2013"


def test_a_capped_count_says_that_there_are_more(language: str) -> None:
    assert text.capped(386) == "386"
    assert text.capped(None) == pick(language, "1\u00a0000+", "1,000+")


@pytest.mark.parametrize(
    ("size", "russian", "english"),
    [
        (0, "0\u00a0Б", "0\u00a0B"),
        (999, "999\u00a0Б", "999\u00a0B"),
        (1000, "1\u00a0КБ", "1\u00a0KB"),
        (12_400_000, "12,4\u00a0МБ", "12.4\u00a0MB"),
        (999_600, "1\u00a0МБ", "1\u00a0MB"),
        (50_000_000, "50\u00a0МБ", "50\u00a0MB"),
        (123_456_789, "123\u00a0МБ", "123\u00a0MB"),
        (None, "\u2013", "\u2013"),
    ],
)
def test_sizes_use_decimal_units(language: str, size: int | None, russian: str, english: str) -> None:
    assert text.filesize(size) == pick(language, russian, english)


@pytest.mark.usefixtures("moscow")
def test_dates_are_on_the_readers_clock(language: str) -> None:
    late = datetime(2026, 11, 20, 22, 5, tzinfo=UTC)
    assert text.date_text(late) == pick(language, "21\u00a0ноября 2026", "21\u00a0November 2026")
    assert text.datetime_text(late) == pick(language, "21\u00a0ноября 2026, 01:05", "21\u00a0November 2026, 01:05")
    assert text.time_text(late) == "01:05"
    assert text.datetime_(late) == f'<time datetime="2026-11-20T22:05:00Z">{text.datetime_text(late)}</time>'


AGO = [
    (timedelta(seconds=5), "только что", "just now"),
    (timedelta(minutes=12), "12 мин назад", "12 min ago"),
    (timedelta(minutes=59, seconds=59), "59 мин назад", "59 min ago"),
    (timedelta(hours=2), "2 ч назад", "2 h ago"),
    (timedelta(hours=20), "вчера", "yesterday"),
    (timedelta(days=2), "2 дня назад", "2 days ago"),
    (timedelta(days=5), "5 дней назад", "5 days ago"),
    (timedelta(days=7), "14\u00a0ноября", "14\u00a0November"),
    (timedelta(days=400), "17\u00a0октября 2025", "17\u00a0October 2025"),
    (timedelta(minutes=-5), "через 5 мин", "in 5 min"),
    (timedelta(hours=-3), "через 3 ч", "in 3 h"),
    (timedelta(days=-2), "через 2 дня", "in 2 days"),
    (timedelta(days=-30), "21\u00a0декабря", "21\u00a0December"),
]


@pytest.mark.parametrize(("passed", "russian", "english"), AGO)
@time_machine.travel(NOW, tick=False)
def test_ago_is_relative_within_a_week(language: str, passed: timedelta, russian: str, english: str) -> None:
    assert text.ago_text(NOW - passed) == pick(language, russian, english)


@time_machine.travel(NOW, tick=False)
def test_ago_carries_the_exact_moment(language: str) -> None:
    words = pick(language, "12 мин назад", "12 min ago")
    exact = pick(language, "21\u00a0ноября 2026, 08:00", "21\u00a0November 2026, 08:00")
    assert (
        text.ago(NOW - timedelta(minutes=12)) == f'<time datetime="2026-11-21T08:00:30Z" title="{exact}">{words}</time>'
    )
    assert text.ago(None) == "\u2013"


@pytest.mark.usefixtures("moscow")
def test_a_local_input_goes_there_and_back() -> None:
    moment = datetime(2026, 11, 21, 8, 12, tzinfo=UTC)
    assert text.local_input(moment) == "2026-11-21T11:12"
    assert text.from_local_input("2026-11-21T11:12", "Europe/Moscow") == moment
    assert (text.local_input("typed"), text.local_input("")) == ("typed", "")
    with pytest.raises(ValueError, match="isoformat"):
        text.from_local_input("tomorrow", "Europe/Moscow")


def test_an_unknown_zone_is_utc() -> None:
    assert [text.zone(name).key for name in ("Mars/Base", "../etc/passwd", "")] == [
        "UTC",
        "UTC",
        "UTC",
    ]


@time_machine.travel(NOW, tick=False)
def test_zones_have_names_for_people(language: str) -> None:
    zones = dict(text.timezones())
    assert zones["Europe/Moscow"] == pick(language, "Москва, UTC+3", "Moscow, UTC+3")
    assert zones["America/St_Johns"].endswith("UTC\u22123:30")
    assert next(iter(zones)) == "UTC"


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("Мария Ковалёва", "МК"),
        ("Анна Мария де ла Роса", "АР"),
        ("cher", "C"),
        ("🙂 @lex", "L"),
        ("", "?"),
        ("🙂", "?"),
    ],
)
def test_initials(name: str, letters: str) -> None:
    assert text.initials(name) == letters


def test_markdown_becomes_what_telegram_can_show() -> None:
    assert text.markdown("Тень **мягкая**\n\n1. Раз\n2. [два](https://example.org)") == (
        '<div class="ly-prose" hx-ignore><p>Тень <strong>мягкая</strong></p>\n<ol>\n<li>Раз</li>\n'
        '<li><a href="https://example.org" rel="noopener noreferrer nofollow">два</a></li>\n'
        "</ol>\n</div>"
    )


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        '<div hx-post="/x" hx-trigger="load">',
        "[a](javascript:alert(1))",
        "[a](data:text/html;base64,PHNjcmlwdD4=)",
        "![a](https://evil.example/x.png)",
        "<a href='//x' hx-get='/y'>",
        '</div><form action="https://evil.example">',
        "<hx-partial hx-target='body'>",
    ],
)
def test_hostile_markdown_stays_text(hostile: str) -> None:
    html = str(text.markdown(hostile)).removeprefix('<div class="ly-prose" hx-ignore>').removesuffix("</div>")
    for part in (
        "<script",
        "<img",
        "<div",
        "<form",
        "<hx-",
        "</div",
        "<svg",
        "<iframe",
        'src="',
        'href="java',
        'href="data',
    ):
        assert part not in html


@given(st.text())
def test_no_text_breaks_out_of_its_fence(source: str) -> None:
    html = str(text.plain(source))
    assert html.startswith('<div class="ly-text" hx-ignore>')
    assert "<" not in html[len('<div class="ly-text" hx-ignore>') : -len("</div>")]
    assert "<script" not in str(text.markdown(source)).lower()


@pytest.mark.parametrize(
    ("source", "query", "marked"),
    [
        ("Мария Ковалёва", "мар", "<mark>Мар</mark>ия Ковалёва"),
        ("Тамара Мартынова", "мар", "Та<mark>мар</mark>а <mark>Мар</mark>тынова"),
        ("Ковалёва", "ковале", "<mark>Ковалё</mark>ва"),
        ("<b>", "b", "&lt;<mark>b</mark>&gt;"),
        ("Anna", "", "Anna"),
    ],
)
def test_matches_are_marked(source: str, query: str, marked: str) -> None:
    assert text.mark(source, query) == marked
