"""Tags: a word put on many records, to find them again by it."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, ScalarSelect, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from backend.core.errors import ConflictError
from backend.database import history
from backend.database.crud.base import CHOICES, BaseCRUD, Filter
from backend.database.history import Told
from backend.database.models.tags import TAGGED, Tag
from backend.database.rows import among
from backend.database.schemas.tags import TagName
from backend.database.verbs import Outcome, Verb

OFFERED = 200


class TagCRUD(BaseCRUD[Tag]):
    """`target`: the table whose tags are offered; "" is all."""

    model = Tag
    target: ClassVar[str] = ""

    def find(self, name: str) -> Tag | None:
        return self.session.scalars(select(Tag).where(Tag.name_key == name.strip().casefold())).one_or_none()

    def get(self, name: str) -> Tag:
        """The tag of this name, made when there is none."""
        found = self.find(name)
        if found is None:
            try:
                with self.session.begin_nested():
                    found = self.add(Tag(name=name.strip(), name_key=name.strip().casefold()))
            except IntegrityError:  # someone made it just now
                found = self.find(name)
        assert found is not None
        return found

    def options(self, q: str, row_id: int | None = None) -> list[tuple[int, str]]:
        statement = select(Tag.id, Tag.name).order_by(Tag.name_key).limit(CHOICES)
        if self.target:
            statement = statement.where(_carried(self.target))
        if row_id is not None:
            statement = statement.where(Tag.id == row_id)
        elif q:
            statement = statement.where(Tag.name_key.contains(q.strip().casefold(), autoescape=True))
        return [(tag_id, name) for tag_id, name in self.session.execute(statement)]

    def known(self, table: str) -> list[str]:
        """What a field offers, by name: what other kinds of records carry is told to who may read those."""
        known = select(Tag.name).where(_carried(table)).order_by(Tag.name_key)
        return list(self.session.scalars(known.limit(OFFERED)))

    def of(self, table: str, ids: Sequence[int]) -> Mapping[int, list[str]]:
        """The names on each of these records; one query."""
        link: Any = TAGGED[table]
        statement = select(link.row_id, Tag.name).join(Tag, Tag.id == link.tag_id)
        found: dict[int, list[str]] = {}
        for row_id, name in self.session.execute(
            statement.where(among(self.session, link.row_id, ids)).order_by(Tag.name_key)
        ):
            found.setdefault(row_id, []).append(name)
        return found

    def put(self, table: str, ids: Sequence[int], name: str) -> int:
        """The tag on these records; how many had not got it yet."""
        link: Any = TAGGED[table]
        tag = self.get(name)
        having = select(link.row_id).where(link.tag_id == tag.id, among(self.session, link.row_id, ids))
        missing = sorted(set(ids) - set(self.session.scalars(having)))
        if missing:
            rows = [{"tag_id": tag.id, "row_id": row_id} for row_id in missing]
            made = self.session.connection().execute(insert(link).returning(link.id, link.row_id), rows).all()
            self._tell(table, "create", [(link_id, row_id, tag.id) for link_id, row_id in made])
        return len(missing)

    def take(self, table: str, ids: Sequence[int], name: str) -> int:
        """The tag off these records; how many had it."""
        tag = self.find(name)
        return self._drop(table, ids, tag.id) if tag is not None else 0

    def clear(self, table: str, row_id: int) -> None:
        """All tags off a record that goes: an undo brings them back with it."""
        self._drop(table, [row_id])

    def _drop(self, table: str, ids: Sequence[int], tag_id: int | None = None) -> int:
        link: Any = TAGGED[table]
        mine = [among(self.session, link.row_id, ids), *([link.tag_id == tag_id] if tag_id else [])]
        going = [tuple(row) for row in self.session.execute(select(link.id, link.row_id, link.tag_id).where(*mine))]
        if going:
            gone = delete(link).where(among(self.session, link.id, [link_id for link_id, *_rest in going]))
            self.session.connection().execute(gone)
            self._tell(table, "delete", going)
        return len(going)

    def _tell(self, table: str, op: str, links: Sequence[Any]) -> None:
        name = TAGGED[table].__tablename__
        images = [{"id": link_id, "tag_id": tag_id, "row_id": row_id} for link_id, row_id, tag_id in links]
        history.record_all(
            self.session,
            [
                Told((name, row["id"]), (table, row["row_id"]), op, *((row, {}) if op == "delete" else ({}, row)))
                for row in images
            ],
        )


class UserTagCRUD(TagCRUD):
    target = "users"


class LessonTagCRUD(TagCRUD):
    target = "lessons"


def _carried(table: str) -> ColumnElement[bool]:
    link: Any = TAGGED[table]
    return select(link.id).where(link.tag_id == Tag.id).exists()


def tags_of(model: Any) -> ScalarSelect[str | None]:
    """A column of a list: the names that a row carries, one in each line and in no order; None for none."""
    link: Any = TAGGED[model.__tablename__]
    names = select(func.aggregate_strings(Tag.name, "\n")).join(link, link.tag_id == Tag.id)
    return names.where(link.row_id == model.id).correlate(model).scalar_subquery()


def tagged(model: Any) -> Filter:
    """A filter "carries the tag of this number"."""
    link = TAGGED[model.__tablename__]
    return lambda tag_id: model.id.in_(select(link.row_id).where(link.tag_id == tag_id))


def _many(act: str) -> Any:
    def many(crud: BaseCRUD[Any], ids: Sequence[int], given: TagName) -> Outcome:
        model: Any = crud.model
        known = crud.list_statement().with_only_columns(model.id).where(among(crud.session, model.id, ids))
        standing = set(crud.session.scalars(known.order_by(None)))
        closed = crud.closed(standing)
        left = sorted(standing - closed.keys())
        done = getattr(TagCRUD(crud.session), act)(model.__tablename__, left, given.tag)
        refused = [(row_id, closed.get(row_id)) for row_id in ids if row_id not in standing or row_id in closed]
        return Outcome(done, len(left) - done, [(row_id, why or crud.missing(row_id)) for row_id, why in refused])

    return many


def _verb(name: str, act: str) -> Verb:
    many = _many(act)

    def run(crud: Any, row_id: int, given: TagName) -> None:
        for _row_id, words in many(crud, [row_id], given).errors:
            raise ConflictError(words)

    return Verb(name, run, TagName, many=many)


TAG, UNTAG = _verb("tag", "put"), _verb("untag", "take")
