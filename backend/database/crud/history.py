"""Reading the history: of a record, of the school, of one change set."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, ClassVar, get_args

from sqlalchemy import ColumnElement, ScalarSelect, func, literal, or_, select
from sqlalchemy.orm import Session, aliased, joinedload

from backend.core.errors import NotFoundError
from backend.core.i18n import _
from backend.database.crud import blockers
from backend.database.crud.base import BaseCRUD, Filter, exact
from backend.database.crud.names import COLUMNS, NAMED, Record, name_in, named_in, names
from backend.database.listing import AnyRow, AnySelect, Dressed, Page, within
from backend.database.models.auth import ApiToken
from backend.database.models.history import Change, ChangeSet, ChangeSetPart
from backend.database.models.users import STUDENT_ROLE, User
from backend.database.rows import ask_within
from backend.database.schemas.base import ListParams
from backend.database.schemas.history import ChangesPage, HistoryFilters, Kind

TIMELINE = 50
SHOWN = 3  # changes of a set that a list names
CAP = 1000  # a set with more has "1 000+" changes
LINKS = {"course_lessons": "lesson_id", "user_tags": "tag_id", "lesson_tags": "tag_id"}  # and what they lead to
RARE = 2000  # sets of a kind; of more, walking all of them by time finds a page soon enough
LOOKER = aliased(User)  # who was at the keyboard while the actor's account was borrowed


@dataclass(frozen=True)
class Entry:
    """One change set as a record's page shows it, with the changes of that record only.

    `why`: why it cannot be undone; "" when it can. `taken`: it was undone, though perhaps done again since.
    `names`: of the records that what changed names.
    """

    change_set: ChangeSet
    changes: Sequence[Change]
    undone: bool
    why: str
    taken: bool
    names: Mapping[Record, str]


class HistoryCRUD:
    def __init__(self, session: Session) -> None:
        self.session = session

    def of_record(self, root: str, root_id: int, limit: int = TIMELINE, *, undo: bool = True) -> list[Entry]:
        """The latest change sets that touched a record or its children, whatever else they touched.

        `undo`: whether to find out what can be undone.
        """
        mine = Change.root == root, Change.root_id == root_id
        newest = (
            select(Change.change_set_id)
            .where(*mine)
            .group_by(Change.change_set_id)
            .order_by(Change.change_set_id.desc())
            .limit(limit)
        )
        sets = self.session.scalars(
            select(ChangeSet)
            .where(ChangeSet.id.in_(newest))
            .options(joinedload(ChangeSet.actor), joinedload(ChangeSet.impersonator))
            .order_by(ChangeSet.id.desc())
        ).all()
        ids = [found.id for found in sets]
        changes: dict[int, list[Change]] = {}
        touched = select(Change).where(*mine, Change.change_set_id.in_(ids)).order_by(Change.id)
        for change in self.session.scalars(touched):
            changes.setdefault(change.change_set_id, []).append(change)
        times, why = (self.times_undone(ids), blockers.reasons(self.session, sets)) if undo and ids else ({}, {})
        known = names(self.session, _named(change for some in changes.values() for change in some))
        return [
            Entry(
                made,
                changes[made.id],
                undone=times.get(made.id, 0) % 2 == 1,
                why=why.get(made.id, ""),
                taken=made.id in times,
                names=known,
            )
            for made in sets
        ]

    def undone(self, ids: Collection[int]) -> set[int]:
        """The sets of these whose changes do not hold now: undone, and the undo not undone in its turn."""
        return {set_id for set_id, times in self.times_undone(ids).items() if times % 2}

    def times_undone(self, ids: Collection[int]) -> dict[int, int]:
        """How many undos and redos, each of the one before, follow each set that was undone."""
        undo = aliased(ChangeSet)
        first = select(ChangeSet.undoes_id.label("set_id"), ChangeSet.id.label("last"))
        chain = first.where(ChangeSet.undoes_id.in_(ids)).cte("chain", recursive=True)
        chain = chain.union_all(select(chain.c.set_id, undo.id).join(undo, undo.undoes_id == chain.c.last))
        counted = self.session.execute(select(chain.c.set_id, func.count()).group_by(chain.c.set_id))
        return dict(counted.all())


def _named(changes: Iterable[Change]) -> set[Record]:
    """The records that a record's page names: in what changed, and at the other end of a link."""
    found, changed = set[Record](), list[Change]()
    for change in changes:
        if change.op == "update":
            changed.append(change)
        elif change.entity in LINKS:
            column = LINKS[change.entity]
            found.add((NAMED[column], (change.after or change.before)[column]))
    return found | named_in(changed)


@dataclass(frozen=True)
class Line(Dressed):
    """A change set as the list shows it: who, when, and the first of its changes with their records' names."""

    changes: Sequence[AnyRow]
    undone: bool
    names: Mapping[tuple[str, int], str]

    def values(self) -> tuple[Any, ...]:
        called = tuple(self.names.get((change.root, change.root_id)) for change in self.changes)
        return (*self.row, *map(tuple, self.changes), called, self.undone)


@dataclass(frozen=True)
class Sight:
    """Whose changes a reader may see: `kinds` are tables of records, None is all; of people the staff only if told."""

    kinds: frozenset[str] | None = None
    staff: bool = True

    def covers(self, table: str) -> bool:
        return self.kinds is None or table in self.kinds

    @property
    def whole(self) -> bool:
        return self.kinds is None and self.staff

    def of(self, statement: AnySelect) -> AnySelect:
        """The changes of a statement that may be seen."""
        if self.kinds is not None:
            statement = statement.where(Change.root.in_(sorted(self.kinds)))
        if self.staff:
            return statement
        return statement.where(or_(Change.root != User.__tablename__, Change.root_id.not_in(_staff())))


def _staff() -> AnySelect:
    return select(User.id).where(User.role_id != STUDENT_ROLE)


class HistoryListCRUD(BaseCRUD[ChangeSet]):
    """All that has happened, as far as the reader's `sight` goes."""

    model = ChangeSet
    sorts: ClassVar[Mapping[str, Any]] = {"at": ChangeSet.at}
    default_sort = "-at"
    filters: ClassVar[Mapping[str, Filter]] = {
        "actor_id": exact(ChangeSet.actor_id),
        "door": exact(ChangeSet.door),
        "since": ChangeSet.at.__ge__,
        "until": ChangeSet.at.__lt__,
    }

    def __init__(self, session: Session, sight: Sight | None = None) -> None:
        super().__init__(session)
        self.sight = sight or Sight()

    def missing(self, row_id: int) -> str:
        return _("There is no change with number %s.") % row_id

    @classmethod
    def list_statement(cls) -> AnySelect:
        return (
            select(
                *(ChangeSet.id, ChangeSet.at, ChangeSet.door, ChangeSet.label, ChangeSet.undoes_id),
                *(ChangeSet.actor_id, ChangeSet.ip, ChangeSet.request_id, User.first_name, User.last_name),
                *(ApiToken.name.label("token"), LOOKER.first_name.label("by_first"), LOOKER.last_name.label("by_last")),
                *(_size().label("size"), _followed().label("followed")),
            )
            .outerjoin(User, User.id == ChangeSet.actor_id)
            .outerjoin(LOOKER, LOOKER.id == ChangeSet.impersonator_id)
            .outerjoin(ApiToken, ApiToken.id == ChangeSet.token_id)
        )

    def conditions(self, params: ListParams) -> list[ColumnElement[bool]]:
        found = super().conditions(params)
        if not isinstance(params, HistoryFilters):
            return found
        if not self.sight.staff:
            seen = self.sight.of(select(Change.id).where(Change.change_set_id == ChangeSet.id))
            found.append(seen.correlate(ChangeSet).exists())
        kinds = self.sight.kinds
        if params.kind is not None:
            kinds = frozenset({params.kind} if self.sight.covers(params.kind) else ())
        if params.record is not None:
            roots = [params.kind] if params.kind else [kind for kind in get_args(Kind) if self.sight.covers(kind)]
            mine = Change.root.in_(roots), Change.root_id == params.record
            found.append(ChangeSet.id.in_(select(Change.change_set_id).where(*mine)))
            if params.kind and self.sight.covers(params.kind):
                return found  # a record is of its kind
        return found if kinds is None else [*found, self._of_kinds(kinds)]

    def _of_kinds(self, kinds: Collection[str]) -> ColumnElement[bool]:
        """Few sets are named one by one; among many a walk through all of them by time finds some soon."""
        part = ChangeSetPart
        some = select(part.change_set_id).where(part.root.in_(kinds), part.lead).limit(RARE + 1)
        ids = set(self.session.scalars(some))
        if len(ids) <= RARE:
            return ChangeSet.id.in_(ids)
        return select(part.root).where(part.change_set_id == ChangeSet.id, part.root.in_(kinds)).exists()

    def dressed(self, rows: Sequence[Any]) -> Sequence[Line]:
        """With the first changes of each: one query and a few more for the names, whatever the sizes."""
        changes = self._first([row.id for row in rows])
        undone = self._undone(rows)
        flat = [change for some in changes.values() for change in some]
        called = names(self.session, {(change.root, change.root_id) for change in flat})
        called |= self._last_names([c.id for c in flat if c.entity == c.root and (c.root, c.root_id) not in called])
        return [Line(row, changes.get(row.id, ()), row.id in undone, called) for row in rows]

    def _undone(self, rows: Iterable[Any]) -> set[int]:
        followed = [row.id for row in rows if row.followed]
        return HistoryCRUD(self.session).undone(followed) if followed else set()

    def _first(self, ids: Collection[int]) -> dict[int, list[AnyRow]]:
        """A few changes of each set, however many it has."""
        found: dict[int, list[AnyRow]] = {}
        for change in ask_within(self.session, partial(_first_changes, self.sight), ids):
            found.setdefault(change.change_set_id, []).append(change)
        return found

    def _last_names(self, change_ids: Collection[int]) -> dict[Record, str]:
        """What records that are gone were called, by these changes of them; those of kinds that have names."""
        if not change_ids:
            return {}
        named = select(Change.root, Change.root_id, Change.before, Change.after).where(Change.root.in_(COLUMNS))
        found = self.session.execute(named.where(Change.id.in_(change_ids)).order_by(Change.id))
        return {(root, root_id): name_in(root, before | after) for root, root_id, before, after in found}

    def line(self, change_set_id: int) -> Line:
        """Raises NotFoundError, also when the reader may see none of it."""
        row = self.session.execute(self.list_statement().where(ChangeSet.id == change_set_id)).one_or_none()
        changes = self._first([change_set_id]).get(change_set_id, [])
        if row is None or not (changes or self.sight.whole):
            raise NotFoundError(self.missing(change_set_id))
        return Line(row, changes, bool(self._undone([row])), {})

    def changes(self, change_set_id: int, params: ChangesPage) -> Page[Any]:
        """What the set changed, in the order in which it happened; of what the reader may see."""
        statement = self.sight.of(select(Change).where(Change.change_set_id == change_set_id))
        return _ChangeCRUD(self.session).paged(statement, params)

    def undone_by(self, change_set_id: int) -> int | None:
        return self.session.scalar(select(ChangeSet.id).where(ChangeSet.undoes_id == change_set_id))


def _size() -> ScalarSelect[int]:
    """The changes of a set, CAP + 1 when there are more."""
    some = select(literal(1)).where(Change.change_set_id == ChangeSet.id).limit(CAP + 1).correlate(ChangeSet)
    return select(func.count()).select_from(some.subquery()).scalar_subquery()


def _followed() -> ColumnElement[bool]:
    """Whether an undo was made of a set."""
    undo = aliased(ChangeSet)
    return select(undo.id).where(undo.undoes_id == ChangeSet.id).exists()


@lru_cache(maxsize=50)
def _first_changes(sight: Sight, sqlite: bool) -> AnySelect:
    other = aliased(Change)
    nth = select(other.id).where(other.change_set_id == ChangeSet.id).order_by(other.id).limit(1).offset(SHOWN - 1)
    bound = func.coalesce(nth.correlate(ChangeSet).scalar_subquery(), 2**62)
    statement = (
        select(Change.change_set_id, Change.id, Change.entity, Change.root, Change.root_id, Change.op)
        .join(ChangeSet, (ChangeSet.id == Change.change_set_id) & (Change.id <= bound))
        .where(within(ChangeSet.id, sqlite=sqlite))
        .order_by(Change.id)
    )
    return sight.of(statement)


class ActorCRUD(BaseCRUD[User]):
    """Those whose changes one may look for: the staff."""

    model = User
    called = (User.first_name, User.last_name)

    @classmethod
    def list_statement(cls) -> AnySelect:
        return select(User).where(User.role_id != STUDENT_ROLE)


class _ChangeCRUD(BaseCRUD[Change]):
    model = Change

    def paged(self, statement: AnySelect, params: ChangesPage) -> Page[Any]:
        return self._page(statement, params.model_copy(update={"sort": "id"}))
