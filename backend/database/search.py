"""Search by fragments over one normalised column, indexed by trigrams on both databases.

SQLite: an FTS5 trigram table `<table>_search` kept by triggers. PostgreSQL: a GIN index on `search_key`. Terms under
three letters have no trigram: they match the beginning of the key, through the ordinary index, or beside a longer term
the beginning of any word.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, String, and_, column, event, or_, select, table, true
from sqlalchemy.orm import Mapped, Mapper, Session, mapped_column

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
    """What `search_key` holds: the normalised text, then how it sounds when that is something else."""
    key = normalise(value)
    told = sound(key)
    return key if told == key else f"{key}{SOUND}{told}"[:SEARCH_LENGTH]


def alternatives(term: str) -> list[str]:
    """What a typed word may have meant: itself, its other spellings, and the same keys in the other layout."""
    cyrillic = any("а" <= char <= "я" for char in term)
    other = term.translate(TO_LATIN if cyrillic else TO_CYRILLIC)
    told = sound(term)
    # Too short for a trigram; with the mark before it, it finds the beginning of the second half.
    found = dict.fromkeys((term, told, other, f"{SOUND}{told}" if len(term) == len(told) == TRIGRAM - 1 else term))
    return [word for word in found if len(word) >= min(len(term), TRIGRAM)]


class Searchable:
    """A model that people look for by text; `search_text()` says what of it they may type."""

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


def matches(session: Session, model: type[Any], q: str) -> ColumnElement[bool]:
    """The rows of a searchable model that contain every word of `q`, in one of its spellings."""
    terms = normalise(q.replace("@", " ")).split()[:TERMS]
    sqlite = session.get_bind().dialect.name == "sqlite"
    narrowed = any(len(term) >= TRIGRAM for term in terms)
    return and_(true(), *(_term(model, alternatives(term), sqlite=sqlite, narrowed=narrowed) for term in terms))


def _term(model: type[Any], words: Iterable[str], *, sqlite: bool, narrowed: bool) -> ColumnElement[bool]:
    """`narrowed`: another term has a trigram, a short one looks at what that finds for the beginning of a word."""
    key = model.search_key
    short = [word for word in words if len(word) < TRIGRAM]
    long = [word for word in words if len(word) >= TRIGRAM]
    found: list[ColumnElement[bool]] = [and_(key >= word, key < word + "\U0010ffff") for word in short]
    if narrowed:
        found += [key.contains(f"{before}{word}", autoescape=True) for word in short for before in (" ", SOUND)]
    if long and sqlite:
        name = f"{model.__tablename__}_search"
        index = table(name, column("rowid"), column(name))
        quoted = " OR ".join('"' + word.replace('"', '""') + '"' for word in long)
        found.append(model.id.in_(select(index.c.rowid).where(index.c[name].match(quoted))))
    else:
        found += [key.contains(word, autoescape=True) for word in long]
    return or_(*found)
