"""The normalised column that is searched, and what a typed text may mean."""

import re
import unicodedata
from typing import Any, ClassVar

from sqlalchemy import Connection, String, event
from sqlalchemy.orm import Mapped, Mapper, mapped_column

SEARCH_LENGTH = 500
TRIGRAM = 3
TERMS = 8
# Stands before the second half of a key, how it sounds; lower than any letter, so that keys sort by the first.
SOUND = "\x01"
# The same order on both databases: by code point.
Key = String(SEARCH_LENGTH).with_variant(String(SEARCH_LENGTH, collation="C"), "postgresql")

# One Latin spelling of every Russian and Ukrainian letter, and of every way in which people write them in Latin.
LETTERS = str.maketrans(
    dict(zip("абвгґдезийіїклмнопрстуфхыэє", "abvggdeziiiiklmnoprstufhiee", strict=True))
    | {"ж": "zh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "sh", "ъ": "", "ь": "", "ю": "iu", "я": "ia"}
)
SPELLINGS = {
    "shch": "sh", "sch": "sh", "ch": "ch", "kh": "h", "ph": "f", "tz": "ts", "ck": "k", "ye": "e", "yo": "e",
    "x": "ks", "w": "v", "q": "k", "y": "i", "j": "i", "c": "k",
}  # fmt: skip
SPELLED = re.compile("|".join(SPELLINGS))
# The same keys in the two layouts of a keyboard.
LATIN = "`qwertyuiop[]asdfghjkl;'zxcvbnm,."
CYRILLIC = "ейцукенгшщзхъфывапролджэячсмитьбю"
TO_CYRILLIC, TO_LATIN = str.maketrans(LATIN, CYRILLIC), str.maketrans(CYRILLIC[1:], LATIN[1:])
# A number as people write it down: "+418 220-907", "(418) 220.907".
NUMBER = re.compile(r"\+?[\d(][\d\s().\-\u2010-\u2015]{3,}\d")

HANDLE_MARK = "@"  # before a username, typed and in the key
Term = tuple[str, ...]  # the words of which one must be there
Way = tuple[Term, ...]  # the terms of which each must be there


def normalise(value: str) -> str:
    """Case, ё and compatibility forms folded; white space single."""
    folded = unicodedata.normalize("NFKC", value).casefold().replace("ё", "е")
    return " ".join(folded.split())[:SEARCH_LENGTH]


def sound(key: str) -> str:
    """A normalised text as it is spelled in Latin, one way for all: "юлия", "yulia" and "julija" are "iulia"."""
    latin = key.replace("йо", "е").translate(LETTERS)
    plain = "".join(char for char in unicodedata.normalize("NFD", latin) if not unicodedata.combining(char))
    return re.sub("ii+", "i", SPELLED.sub(lambda found: SPELLINGS[found[0]], plain))


def key_of(value: str) -> str:
    """What `search_key` holds: the normalised text, then how it sounds when that is something else.

    A space stands around every word: with it a word's beginning of two letters has a trigram.
    """
    key = normalise(value)
    told = sound(key)
    whole = f" {key} " if told == key else f" {key} {SOUND} {told} "
    return whole[:SEARCH_LENGTH] if key else ""


def alternatives(term: str) -> Term:
    """What a typed word may have meant: itself, its other spellings, and the same keys in the other layout.

    "@masha" is a username that begins so and nothing else.
    """
    if term.startswith(HANDLE_MARK):
        return (term,)
    cyrillic = any("а" <= char <= "я" for char in term)
    other = term.translate(TO_LATIN if cyrillic else TO_CYRILLIC)
    found = dict.fromkeys((term, sound(term), other))
    return tuple(word for word in found if len(word) >= min(len(term), TRIGRAM))


def ways(q: str) -> tuple[Way, ...]:
    """How a text can be read: word by word, and as one number when it is written like one."""
    text = normalise(q)
    read = tuple(alternatives(term) for term in text.split()[:TERMS] if term.strip(HANDLE_MARK))
    digits = re.sub(r"\D", "", text) if NUMBER.fullmatch(text) else text
    return (read,) if digits == text else (((digits,),), read)


class Searchable:
    """A model that people look for by text; `search_text()` says what of it they may type."""

    # The column of usernames, of which lower(column) has an index.
    __handle__: ClassVar[str] = ""

    search_key: Mapped[str] = mapped_column(Key, default="", index=True)

    def search_text(self) -> str:
        raise NotImplementedError

    def derive_keys(self) -> None:
        """Fills other columns that only mirror what a person typed, folded."""


def _fill(_mapper: Mapper[Any], _connection: Connection, row: Searchable) -> None:
    fill(row)


def fill(row: Searchable) -> None:
    """Makes the keys of a row anew from what a person reads of it."""
    row.derive_keys()
    key = key_of(row.search_text())
    if row.search_key != key:
        row.search_key = key


event.listen(Searchable, "before_insert", _fill, propagate=True)
event.listen(Searchable, "before_update", _fill, propagate=True)
