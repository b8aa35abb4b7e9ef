"""Search by fragments over one normalised column, indexed by trigrams on both databases.

SQLite: an FTS5 trigram table `<table>_search` kept by triggers. PostgreSQL: a GIN index on `search_key`. Terms under
three letters have no trigram: they match the beginning of the key, through the ordinary index.
"""

import unicodedata
from typing import Any

from sqlalchemy import ColumnElement, Connection, String, and_, column, event, select, table, true
from sqlalchemy.orm import Mapped, Mapper, Session, mapped_column

SEARCH_LENGTH = 500
TRIGRAM = 3
# The same order on both databases: by code point.
Key = String(SEARCH_LENGTH).with_variant(String(SEARCH_LENGTH, collation="C"), "postgresql")


def normalise(value: str) -> str:
    """Case, ё and compatibility forms folded; white space single."""
    folded = unicodedata.normalize("NFKC", value).casefold().replace("ё", "е")
    return " ".join(folded.split())[:SEARCH_LENGTH]


class Searchable:
    """A model that people look for by text; `search_text()` says what of it they may type."""

    search_key: Mapped[str] = mapped_column(Key, default="", index=True)

    def search_text(self) -> str:
        raise NotImplementedError

    def derive_keys(self) -> None:
        """Fills other columns that only mirror what a person typed, folded."""


def _fill(_mapper: Mapper[Any], _connection: Connection, row: Searchable) -> None:
    row.derive_keys()
    key = normalise(row.search_text())
    if row.search_key != key:
        row.search_key = key


event.listen(Searchable, "before_insert", _fill, propagate=True)
event.listen(Searchable, "before_update", _fill, propagate=True)


def matches(session: Session, model: type[Any], q: str) -> ColumnElement[bool]:
    """The rows of a searchable model that contain every word of `q`."""
    terms = normalise(q.replace("@", " ")).split()[:8]
    sqlite = session.get_bind().dialect.name == "sqlite"
    return and_(true(), *(_term(model, term, sqlite=sqlite) for term in terms))


def _term(model: type[Any], term: str, *, sqlite: bool) -> ColumnElement[bool]:
    key = model.search_key
    if len(term) < TRIGRAM:
        return and_(key >= term, key < term + "\U0010ffff")
    if not sqlite:
        return key.contains(term, autoescape=True)  # type: ignore[no-any-return] # column of an unknown model
    name = f"{model.__tablename__}_search"
    index = table(name, column("rowid"), column(name))
    quoted = '"' + term.replace('"', '""') + '"'
    return model.id.in_(select(index.c.rowid).where(index.c[name].match(quoted)))  # type: ignore[no-any-return] # as above
