"""How values read on a page: Stars, numbers, moments, names, user text.

All follow the request's language and time zone. Written by hand where a list calls them for every
row: Babel's formatters cost 10-50 us a call, these about 1.
"""

import datetime as dt
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from backend.core import clock
from backend.core.i18n import _, current_language, ngettext

NBSP = "\u00a0"
MINUS = "\u2212"
KILO = 1000
WEEK = timedelta(days=7)
current_timezone: ContextVar[str] = ContextVar("current_timezone", default="UTC")

_GROUP = {"ru": NBSP, "en": ","}
_POINT = {"ru": ",", "en": "."}
_MONTHS = {
    language: names.split()
    for language, names in (
        ("ru", "января февраля марта апреля мая июня июля августа сентября октября ноября декабря"),
        ("en", "January February March April May June July August September October November December"),
    )
}
_UNITS = {"ru": ("Б", "КБ", "МБ", "ГБ", "ТБ"), "en": ("B", "KB", "MB", "GB", "TB")}

# What a lesson, an article or a message may look like on a page (and what Telegram can show).
_TAGS = {
    "p",
    "b",
    "strong",
    "i",
    "em",
    "u",
    "s",
    "code",
    "pre",
    "br",
    "ul",
    "ol",
    "li",
    "blockquote",
    "a",
}
_ATTRIBUTES = {"a": {"href"}}
_SCHEMES = {"http", "https", "mailto", "tg"}
_markdown = MarkdownIt("commonmark", {"html": False})


def number(value: float | None, digits: int = 0) -> str:
    """1250 -> "1 250" (ru, no-break space) or "1,250" (en); a dash for None."""
    if value is None:
        return "\u2013"
    language = current_language.get()
    text = f"{abs(value):,.{digits}f}"
    text = text.replace(",", "\0").replace(".", _POINT[language]).replace("\0", _GROUP[language])
    return MINUS + text if value < 0 else text


def money(stars: int | None) -> Markup:
    """Stars with their sign, never broken over two lines."""
    if stars is None:
        return Markup("\u2013")
    star = f'<span class="ly-money">{number(stars)}{NBSP}<i>★</i></span>'
    return Markup(star)  # noqa: S704 - digits only


def money_text(stars: int | None) -> str:
    """The same for attributes, titles and messages: no markup."""
    return "\u2013" if stars is None else f"{number(stars)}{NBSP}★"


def percent(share: float | None, digits: int = 1) -> str:
    """0.124 -> "12,4 %" (ru) or "12.4%" (en)."""
    if share is None:
        return "\u2013"
    gap = NBSP if current_language.get() == "ru" else ""
    return f"{number(share * 100, digits)}{gap}%"


def ref(row_id: int) -> str:
    """What a record without a name is called: "№ 12" (ru) or "#12" (en)."""
    return _("#%(number)s") % {"number": row_id}


def capped(total: int | None, cap: int = 1000) -> str:
    """A count as a list shows it; None means that there are more than `cap`: "1 000+"."""
    return f"{number(cap)}+" if total is None else number(total)


def filesize(size: int | None) -> str:
    """Bytes -> "12,4 МБ"; decimal units, as Telegram counts its limits."""
    if size is None:
        return "\u2013"
    units, value, step = _UNITS[current_language.get()], float(size), 0
    while round(value) >= KILO and step < len(units) - 1:
        value, step = value / KILO, step + 1
    digits = 1 if step and value < KILO / 10 and round(value, 1) % 1 else 0
    return f"{number(value, digits)}{NBSP}{units[step]}"


@lru_cache(maxsize=600)
def zone(name: str) -> ZoneInfo:
    """The zone of an IANA name; UTC for one that this machine does not know."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def local(moment: datetime) -> datetime:
    """The moment on the reader's clock."""
    return moment.astimezone(zone(current_timezone.get()))


def _month(day: dt.date) -> str:
    return _MONTHS[current_language.get()][day.month - 1]


def date_text(moment: datetime) -> str:
    """21 ноября 2026 / 21 November 2026."""
    return whole_day(local(moment))


def whole_day(day: dt.date) -> str:
    """The same for a day of the calendar."""
    return f"{day.day}{NBSP}{_month(day)} {day.year}"


def datetime_text(moment: datetime) -> str:
    """21 ноября 2026, 11:12."""
    day = local(moment)
    return f"{day.day}{NBSP}{_month(day)} {day.year}, {_hour(day)}"


def day_text(moment: datetime) -> str:
    """The date without the year while it is this year's."""
    day, today = local(moment), local(clock.now())
    text = f"{day.day}{NBSP}{_month(day)}"
    return text if day.year == today.year else f"{text} {day.year}"


def short_day(day: dt.date) -> str:
    """21 ноя / 21 Nov, for the axis of a chart."""
    return f"{day.day}{NBSP}{_month(day)[:3]}"


def time_text(moment: datetime) -> str:
    return _hour(local(moment))


def _hour(day: datetime) -> str:
    return f"{day.hour:02}:{day.minute:02}"  # a fifth of what strftime costs


def ago_text(moment: datetime) -> str:
    """Relative within a week, else a date: "12 мин назад", "вчера", "14 марта"."""
    now = clock.now()
    passed = now - moment
    if passed < timedelta(seconds=-60):
        return _ahead(moment, -passed)
    if passed < timedelta(hours=1):
        minutes = max(0, passed.seconds // 60) if passed.days >= 0 else 0
        return _("%s min ago") % minutes if minutes else _("just now")
    days = (local(now).date() - local(moment).date()).days
    if days == 0 or passed < timedelta(hours=6):
        return _("%s h ago") % (passed.seconds // 3600)
    if days < WEEK.days:
        words = ngettext("%(num)s day ago", "%(num)s days ago", days) % {"num": days}
        return _("yesterday") if days == 1 else words
    return day_text(moment)


def _ahead(moment: datetime, left: timedelta) -> str:
    if left < timedelta(hours=1):
        return _("in %s min") % (left.seconds // 60)
    if left < timedelta(days=1):
        return _("in %s h") % (left.seconds // 3600)
    if left < WEEK:
        return ngettext("in %(num)s day", "in %(num)s days", left.days) % {"num": left.days}
    return day_text(moment)


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")[:19] + "Z"


def _time_tag(moment: datetime | None, text: Callable[[datetime], str], *, title: bool) -> Markup:
    if moment is None:
        return Markup("\u2013")
    head = _time_head(moment, current_language.get(), current_timezone.get(), title)
    tag = f"{head}{escape(text(moment))}</time>"
    return Markup(tag)  # noqa: S704 - digits and names of months, the words are escaped


@lru_cache(maxsize=4000)
def _time_head(moment: datetime, _language: str, _timezone: str, title: bool) -> str:
    exact = f' title="{datetime_text(moment)}"' if title else ""
    return f'<time datetime="{iso(moment)}"{exact}>'


def ago(moment: datetime | None) -> Markup:
    """`<time>`: relative for the eye, exact in its title and for machines; a dash for None."""
    return _time_tag(moment, ago_text, title=True)


def date(moment: datetime | None) -> Markup:
    return _time_tag(moment, date_text, title=True)


def datetime_(moment: datetime | None) -> Markup:
    return _time_tag(moment, datetime_text, title=False)


def clock_time(moment: datetime | None) -> Markup:
    """`<time>14:02</time>` with the whole date in the title."""
    return _time_tag(moment, time_text, title=True)


def local_input(value: object) -> object:
    """A moment as a `datetime-local` input holds it, on the reader's clock; other values as is."""
    return f"{local(value):%Y-%m-%dT%H:%M}" if isinstance(value, datetime) else value


def from_local_input(value: str, timezone: str) -> datetime:
    """What a `datetime-local` input sent, in UTC. Raises ValueError or OverflowError."""
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone(timezone))
    return moment.astimezone(UTC)


def sentences(parts: Iterable[str]) -> str:
    """One after the other, with a full stop between those that bring none."""
    told = ""
    for part in parts:
        told += f"{' ' if told.endswith(('.', '!', '?', '…')) else '. ' if told else ''}{part}"
    return told


def initials(name: str) -> str:
    """МК for Мария Ковалёва; one word gives one letter, no letters at all give "?"."""
    letters = [next((c for c in word if c.isalnum()), "") for word in name.split()]
    found = [letter for letter in letters if letter]
    return "".join(found[:1] + found[1:][-1:]).upper() or "?"


def markdown(source: str) -> Markup:
    """User text in Markdown as safe HTML. hx-ignore keeps htmx away from whatever is inside."""
    html = nh3.clean(
        _markdown.render(source),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer nofollow",
    )
    return Markup(f'<div class="ly-prose" hx-ignore>{html}</div>')  # noqa: S704 - nh3 made it safe


def plain(source: str) -> Markup:
    """User text as it was typed: escaped, line breaks kept by the stylesheet, fenced from htmx."""
    return Markup('<div class="ly-text" hx-ignore>{}</div>').format(source)


@lru_cache(maxsize=4)
def _cities(language: str) -> dict[str, str]:
    from babel.core import get_global  # noqa: PLC0415 - 8 MB for one select of one page
    from babel.dates import get_timezone_location  # noqa: PLC0415 - the same

    names = available_timezones() & set(get_global("zone_territories"))
    return {
        name: get_timezone_location(name, locale=language, return_city=True)
        for name in names
        if "/" in name and not name.startswith("Etc/")
    }


def timezones() -> list[tuple[str, str]]:
    """(IANA name, "Москва, UTC+3") for a select, in the order of the reader's alphabet."""
    now = clock.now()
    named = [(name, f"{city}, {_offset(now, name)}") for name, city in _cities(current_language.get()).items()]
    return [("UTC", "UTC"), *sorted(named, key=lambda pair: pair[1])]


def _offset(now: datetime, name: str) -> str:
    minutes = int((now.astimezone(zone(name)).utcoffset() or timedelta()).total_seconds()) // 60
    hours, rest = divmod(abs(minutes), 60)
    sign = MINUS if minutes < 0 else "+"
    return f"UTC{sign}{hours}" + (f":{rest:02}" if rest else "")


def mark(text: str, query: str) -> Markup:
    """The text with every occurrence of the query inside `<mark>`, as the palette shows matches."""
    if not query:
        return escape(text)
    folded, wanted = _folded(text), _folded(query)
    parts, start = [], 0
    while (at := folded.find(wanted, start)) >= 0:
        end = at + len(wanted)
        parts.append(Markup("{}<mark>{}</mark>").format(text[start:at], text[at:end]))
        start = end
    return Markup("").join([*parts, escape(text[start:])])


def _folded(text: str) -> str:
    """Letter for letter, so that a place found here is the same place in the text."""
    return "".join(folded if len(folded := char.casefold()) == 1 else char for char in text).replace("ё", "е")


FILTERS: dict[str, Callable[..., object]] = {
    "number": number,
    "money": money,
    "money_text": money_text,
    "percent": percent,
    "capped": capped,
    "ref": ref,
    "filesize": filesize,
    "ago": ago,
    "ago_text": ago_text,
    "date": date,
    "date_text": date_text,
    "day_text": day_text,
    "datetime": datetime_,
    "datetime_text": datetime_text,
    "clock_time": clock_time,
    "time_text": time_text,
    "short_day": short_day,
    "iso": iso,
    "local_input": local_input,
    "initials": initials,
    "markdown": markdown,
    "plain": plain,
    "mark": mark,
}
