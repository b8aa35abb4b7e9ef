"""The catalogue, and the names of months: as Babel has them."""

from datetime import date
from io import BytesIO, StringIO

import pytest
from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from backend.core import text
from backend.core.i18n import LANGUAGES, LOCALES, Catalogue, current_language, translations


def test_each_text_is_what_babel_reads() -> None:
    ours = translations("ru")
    with (LOCALES / "ru" / "LC_MESSAGES" / "messages.po").open("rb") as source:
        messages = [message for message in read_po(source, locale="ru") if message.id]
    assert len(messages) > 1000
    for message in messages:
        if isinstance(message.id, str):
            assert ours.gettext(message.id) == message.string
        else:
            shown = [ours.ngettext(*message.id, number) for number in (1, 2, 5, 11, 21, 104)]
            one, few, many = message.string
            assert shown == [one, few, many, many, one, few]


def test_what_is_not_translated_or_in_doubt_stays_english() -> None:
    catalogue = Catalog(locale="ru", charset="utf-8", fuzzy=False)
    catalogue.add('Open\t"now"\\\n', "Открыть\t«сейчас»\\\n")
    catalogue.add("Close", "Закрыто?", flags=["fuzzy", "python-format"])
    catalogue.add("Later", "")
    catalogue.add(("%(num)s day", "%(num)s days"), ("", "", ""))
    catalogue.add("Gone", "Нет больше")
    catalogue.obsolete["Gone"] = catalogue["Gone"]
    catalogue.delete("Gone")
    written = BytesIO()
    write_po(written, catalogue)

    read = Catalogue(StringIO(written.getvalue().decode()))
    assert read.gettext('Open\t"now"\\\n') == "Открыть\t«сейчас»\\\n"
    assert [read.gettext(message) for message in ("Close", "Later", "Gone", "Unknown", "")] == [
        "Close", "Later", "Gone", "Unknown", "",
    ]  # fmt: skip
    assert read.ngettext("%(num)s day", "%(num)s days", 5) == "%(num)s days"


@pytest.mark.parametrize("language", LANGUAGES)
def test_months_are_called_as_babel_calls_them(language: str) -> None:
    named = Locale(language).months["format"]
    token = current_language.set(language)
    days = [date(2026, month, 1) for month in range(1, 13)]
    shown = [text.short_day(day).split(text.NBSP)[1] for day in days]
    current_language.reset(token)
    assert text._MONTHS[language] == list(named["wide"].values())
    assert shown == [name[:3] for name in named["abbreviated"].values()]
