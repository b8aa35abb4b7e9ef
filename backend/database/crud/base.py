"""The verbs that every domain shares. A CRUD class flushes and never commits; it knows no HTTP."""

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any, ClassVar, Generic, TypeVar, cast

from pydantic import BaseModel
from sqlalchemy import ColumnElement, CursorResult, ScalarSelect, Select, bindparam, literal, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.orm.interfaces import ORMOption

from backend.core import clock
from backend.core.errors import ConflictError, NotFoundError
from backend.core.i18n import _
from backend.database import history, listing, search, walking
from backend.database.base import Base
from backend.database.listing import AnySelect, Cursor, Page
from backend.database.schemas.base import MAX_ID, ListParams
from backend.database.session import ask
from backend.database.verbs import Verb

M = TypeVar("M", bound=Base)
CHOICES = 20
COUNT = "all_rows"  # the column of a list's query that holds the count
Filter = Callable[[Any], ColumnElement[bool]]


class BaseCRUD(Generic[M]):
    """Reads and writes one aggregate.

    `sorts`: what a list sorts by -> its column, never null; a listed row has the column's attribute or that name.
    `filters`: a field of the domain's ListParams -> condition for a value that is not None.
    `seldom`: filters that may leave few rows, with the values that do (ANY of them); many rows have the others.
    `ordered`: those of them that have an index in the default order. `small`: the whole list has few.
    `figures`: sorts by whole numbers that many rows have in common; their filters are conditions "column >= value" or
    "<=", and the indexes of the usual sorts hold the columns.
    `verbs`: what can be done to many rows at once, by name.
    """

    model: ClassVar[type[Any]]
    sorts: ClassVar[Mapping[str, Any]] = {}
    default_sort: ClassVar[str] = "-id"
    filters: ClassVar[Mapping[str, Filter]] = {}
    seldom: ClassVar[Mapping[str, Container[Any]]] = {}
    ordered: ClassVar[frozenset[str]] = frozenset()
    small: ClassVar[bool] = False
    figures: ClassVar[frozenset[str]] = frozenset()
    called: ClassVar[tuple[Any, ...]] = ()  # the columns that name a row when it is offered as a choice
    verbs: ClassVar[Mapping[str, Verb]] = {}

    def __init__(self, session: Session) -> None:
        self.session = session

    # -- reading

    @classmethod
    def list_statement(cls) -> AnySelect:
        """What a list shows of a row: the whole entity, or only the columns a domain names."""
        return select(cls.model)

    def listed(self, params: ListParams) -> AnySelect:
        """The list with its search text and filters, neither sorted nor paged."""
        return _list_statement(cast("Any", type(self))).where(*self.conditions(params))

    def get_all(self, params: ListParams | None = None, *, cap: int | None = listing.API_CAP) -> Page[Any]:
        """A page of the filtered, sorted list with its count up to `cap`: one query whatever the rows.

        Raises AppError `bad_cursor` or `bad_sort` (400).
        """
        params = params or ListParams()
        if params.q and cap is not None:
            cap = cap if cap == listing.API_CAP else listing.SEARCH_CAP
            if self.is_indexed() and search.asks(params.q):
                return self._found(params, params.q, cap)
        narrowed = self.conditions(params)
        if not narrowed and cap is not None and (page := self._opened(params, cap)):
            return page
        whole = _list_statement(cast("Any", type(self)))
        if cap is None:
            return self._page(whole.where(*self._met(params, narrowed)), params)
        count, few = listing.count_of(whole, narrowed, cap), False
        if self.session.get_bind().dialect.name == "sqlite":
            few = self.small
            if not few and walking.is_seldom(params, self.seldom):
                number = self.session.execute(select(count)).scalar_one() or 0
                count, few = select(literal(number)).scalar_subquery(), number <= walking.FEW
        met = narrowed if few else self._met(params, narrowed)
        return self._page(whole.where(*met), params, count, cap, few=few)

    def _met(self, params: ListParams, narrowed: Sequence[ColumnElement[bool]]) -> Sequence[ColumnElement[bool]]:
        """The conditions of a page as a walk along its order meets them."""
        if not (self.figures or self.seldom) or self.session.get_bind().dialect.name != "sqlite":
            return narrowed
        order, cursor = self._way(params)
        fitting = self.ordered if order.name == self.default_sort.removeprefix("-") else frozenset()
        names = (self.seldom.keys() & self.filters.keys()) - fitting
        asked = ((name, getattr(params, name, None)) for name in names)
        common = [self.filters[name](value) for name, value in asked if value is not None]
        return walking.walking(narrowed, common, self.figures, order, behind=cursor is not None)

    @classmethod
    def is_indexed(cls) -> bool:
        """Whether a search asks this table's index alone: without a chosen order what fits best comes first then."""
        return issubclass(cls.model, search.Searchable) and cls.search is BaseCRUD.search

    def shown(self, params: ListParams, *, cap: int | None = None) -> Page[Any]:
        """A page as the CRM shows it, each row with what `dressed` adds."""
        page = self.get_all(params, cap=cap)
        return replace(page, items=self.dressed(page.items))

    def dressed(self, rows: Sequence[Any]) -> Sequence[Any]:
        """What a domain's list shows beside the columns of `list_statement`, with queries of its own for all rows."""
        return rows

    def rows_of(self, ids: Sequence[int], sort: str = "id") -> Sequence[Any]:
        """Rows as the CRM's list shows them, sorted; the missing ones are left out. Raises AppError `bad_sort`."""
        name, down = listing.parse_sort(sort, ["id", *self.sorts])
        statement = self.list_statement().where(self.model.id.in_(ids))
        order = listing.Order(sort, name, down, back=False)
        return self.dressed(self._rows(listing.walked(statement, self.sorting(name), self.model.id, order), None)[0])

    def ids_of(self, params: ListParams) -> Select[int]:
        """The ids of everything that the filters let through."""
        return self.listed(params).with_only_columns(self.model.id, maintain_column_froms=True).order_by(None)

    def matching(self, params: ListParams, most: int) -> Sequence[int] | None:
        """The same ids at once, in order; None when there are more than `most`."""
        statement = self.ids_of(params).order_by(self.model.id).limit(most + 1)
        found: Sequence[int] = self.session.scalars(statement).all()
        return found if len(found) <= most else None

    def row_of(self, row_id: int) -> Any:
        """One row as the CRM's list shows it. Raises NotFoundError."""
        found = self.rows_of([row_id]) if 1 <= row_id <= MAX_ID else ()
        if not found:
            raise NotFoundError(self.missing(row_id))
        return found[0]

    def options(self, q: str, row_id: int | None = None) -> list[tuple[int, str]]:
        """Rows as a choice, (id, name): those that fit the text, by name, at most 20; or the one with this id."""
        statement = self.list_statement().with_only_columns(self.model.id, *self.called)
        if row_id is not None:
            statement = statement.where(self.model.id == row_id)
        elif q:
            statement = statement.where(self.search(q))
        found = self.session.execute(statement.order_by(self.model.search_key, self.model.id).limit(CHOICES))
        return [(key, " ".join(filter(None, names))) for key, *names in found]

    def conditions(self, params: ListParams) -> list[ColumnElement[bool]]:
        """The WHERE of a list, from its search text and filters."""
        found = [
            make(value) for name, make in self.filters.items() if (value := getattr(params, name, None)) is not None
        ]
        if params.q and issubclass(self.model, search.Searchable):
            found.append(self.search(params.q))
        return found

    def search(self, q: str) -> ColumnElement[bool]:
        return search.matches(self.session, self.model, q)

    def _found(self, params: ListParams, q: str, cap: int) -> Page[Any]:
        """A page of a search: in the chosen order, or what fits best first; then ids are found before rows are read."""
        index = search.SearchIndex(self.session, self.model, q)
        narrowed = self.conditions(params.model_copy(update={"q": None}))
        whole = _list_statement(cast("Any", type(self)))
        listed = whole.where(*narrowed) if narrowed else whole
        if params.sort:
            found, counted, few = index.sought(listed)
            return self._page(found, params, listing.count_up_to(counted, cap), cap, few=few)
        page = search.Ranking(index, listed).page(params.cursor, params.limit, cap)
        wanted, values = listing.named(whole, self.model, page.items, sqlite=index.lookup.sqlite)
        rows = {row.id: row for row in self._rows(wanted, None, **values)[0]} if page.items else {}
        return replace(page, items=[rows[row_id] for row_id in page.items if row_id in rows])

    def _page(
        self,
        statement: AnySelect,
        params: ListParams,
        count: ScalarSelect[int] | None = None,
        cap: int = 0,
        *,
        few: bool = False,
    ) -> Page[Any]:
        """`count` of all rows comes with the page's own query; without it the page has no total.

        `few`: SQLite finds the rows and sorts them, instead of walking the order's index to meet them.
        """
        order, cursor = self._way(params)
        column = self.sorting(order.name)
        column = walking.unindexed(column) if few else column
        walked, rows, counted = listing.walked(statement, column, self.model.id, order), list[Any](), None
        tied = order.name in self.figures and not few
        for place in listing.places(column, self.model.id, order, cursor, tied=tied):
            wanted = walked.where(*place).limit(params.limit + 1 - len(rows))
            more, told = self._rows(wanted, count if counted is None else None)
            rows, counted = [*rows, *more], told if counted is None else counted
            if len(rows) > params.limit:
                break
        if count is not None and counted is None:
            # Only behind a cursor's last row: what it pointed at has been deleted meanwhile.
            counted = self.session.execute(select(count)).scalar_one() if cursor else 0
        return self._cut(rows, params.limit, order, cursor, counted, cap if count is not None else None)

    def _opened(self, params: ListParams, cap: int) -> Page[Any] | None:
        """The page of a list of columns that nothing narrows, from a statement that is made once."""
        order, cursor = self._way(params)
        if cursor and order.name in self.figures:
            return None
        crud = cast("Any", type(self))
        statement = _opening(crud, order, cap, behind=cursor is not None)
        if statement is None:
            return None
        place = {"value": cursor.value, "row_id": cursor.row_id} if cursor else {}
        rows = ask(self.session, statement, number=params.limit + 1, **place).all()
        if cursor and not rows:
            return None  # what the cursor pointed at has been deleted: the count has no row to come with
        return self._cut(rows, params.limit, order, cursor, rows[0][-1] if rows else 0, cap)

    def _way(self, params: ListParams) -> tuple[listing.Order, Cursor | None]:
        sort = params.sort or self.default_sort
        name, descending = listing.parse_sort(sort, ["id", *self.sorts])
        cursor = listing.decode_cursor(params.cursor, sort, self.sorting(name)) if params.cursor else None
        return listing.Order(sort, name, descending, cursor is not None and cursor.back), cursor

    @classmethod
    def sorting(cls, name: str) -> Any:
        return cls.model.id if name == "id" else cls.sorts[name]

    def _cut(
        self,
        rows: Sequence[Any],
        limit: int,
        order: listing.Order,
        cursor: Cursor | None,
        counted: int | None,
        cap: int | None,
    ) -> Page[Any]:
        """The page of rows of which one too many was read. `cap`: None when nothing was counted."""
        more, rows, back = len(rows) > limit, rows[:limit], order.back
        if back:
            rows = rows[::-1]
        key = getattr(self.sorting(order.name), "key", None) or order.name

        def at(row: Any, *, before: bool) -> str:
            value = getattr(row, key) if hasattr(row, key) else getattr(row, order.name)
            return Cursor(order.sort, value, row.id, before).encode()

        total, capped = (None, cap is not None) if cap is None or counted is None or counted > cap else (counted, False)
        return Page(
            items=rows,
            next=at(rows[-1], before=False) if rows and (more or back) else None,
            prev=at(rows[0], before=True) if rows and (more if back else cursor is not None) else None,
            total=total,
            capped=capped,
            cap=cap or 0,
        )

    def _rows(
        self, statement: AnySelect, count: ScalarSelect[int] | None, **values: Any
    ) -> tuple[list[Any], int | None]:
        """The rows, and the count that each of them brings along; None when there is no row to bring it."""
        whole = _whole(cast("Any", type(self)))
        if count is None:
            read = self.session.scalars(statement, values) if whole else ask(self.session, statement, **values)
            return list(read), None
        statement = statement.add_columns(count.label(COUNT))
        found = (self.session.execute(statement) if whole else ask(self.session, statement)).all()
        counted = found[0][-1] if found else None
        return [row[0] if whole else row for row in found], counted

    def find_by_id(self, row_id: int, *options: ORMOption) -> M | None:
        if not 1 <= row_id <= MAX_ID:
            return None
        return self.session.get(self.model, row_id, options=options or None)

    def get_by_id(self, row_id: int, *options: ORMOption) -> M:
        """Raises NotFoundError."""
        found = self.find_by_id(row_id, *options)
        if found is None:
            raise NotFoundError(self.missing(row_id))
        return found

    def missing(self, row_id: int) -> str:
        """What a person is told when the row is not there."""
        return _("Record %s no longer exists.") % row_id

    # -- writing

    def create(self, data: BaseModel) -> M:
        return self.add(self.model(**data.model_dump()))

    def add(self, row: M) -> M:
        self.session.add(row)
        self.flush()
        return row

    def update(self, row_id: int, data: BaseModel) -> M:
        """Replaces only the fields sent. Raises ConflictError when a `version` is sent and stale."""
        row = self.get_by_id(row_id)
        values = data.model_dump(exclude_unset=True)
        self.check_version(row, values.pop("version", None))
        return self.assign(row, values)

    def assign(self, row: M, values: Mapping[str, Any]) -> M:
        for name, value in values.items():
            if getattr(row, name) != value:
                setattr(row, name, value)
        self.flush()
        return row

    def closed(self, ids: Collection[int]) -> Mapping[int, str]:
        """Rows of these that nobody may change, with why: asked by what changes many rows past `assign`."""
        return {}

    def check_version(self, row: M, version: int | None) -> None:
        if version is not None and version != row.version:  # type: ignore[attr-defined] # only versioned schemas send it
            raise ConflictError(code="stale")

    def delete(self, row_id: int) -> M:
        """Deletes the row with its children. Raises ConflictError when something that must stay points at it."""
        row = self.get_by_id(row_id, *self.children())
        self.session.delete(row)
        self.flush()
        return row

    def children(self) -> Sequence[ORMOption]:
        """Loader options for what is deleted together with a row, so that the history holds it."""
        return ()

    def update_where(self, row: M, *conditions: ColumnElement[bool], **values: Any) -> bool:
        """`UPDATE ... WHERE id AND conditions`: the way to change what others may change at the same time.

        Values may be SQL expressions. Returns False, with nothing changed, when the conditions no longer hold.
        On success the row is reloaded and the change recorded.
        """
        self.session.flush()
        names = [name for name in values if name not in row.__history_skip__]
        self.session.refresh(row, names)
        before = {name: history.to_json(getattr(row, name)) for name in names}
        if hasattr(self.model, "updated_at"):
            values.setdefault("updated_at", clock.now())
        if hasattr(self.model, "version"):
            values.setdefault("version", self.model.version + 1)
        statement = update(self.model).where(self.model.id == row.id, *conditions).values(values)  # type: ignore[attr-defined] # Identified
        result = self.session.execute(statement, execution_options={"synchronize_session": False})
        assert isinstance(result, CursorResult)
        if result.rowcount != 1:
            return False
        self.session.refresh(row)
        after = {name: history.to_json(getattr(row, name)) for name in names}
        if row.__history__ and before != after:
            changed = [name for name in names if before[name] != after[name]]
            history.record(self.session, row, "update", {n: before[n] for n in changed}, {n: after[n] for n in changed})
        return True

    def flush(self) -> None:
        """Raises ConflictError with the domain's words when a constraint refuses."""
        try:
            self.session.flush()
        except IntegrityError as error:
            raise ConflictError(self.refused(str(error.orig)), code="conflict") from error

    def refused(self, detail: str) -> str:
        """What a constraint's refusal means to a person; `detail` is the database's text with the constraint."""
        if "FOREIGN KEY" in detail or "foreign key" in detail:
            return _("Something else still needs this record, or it refers to one that does not exist.")
        return _("This record already exists.")


@cache
def _list_statement(crud: Any) -> AnySelect:
    """Putting a list's columns together costs more than running it, and never comes out differently."""
    statement: AnySelect = crud.list_statement()
    return statement


@cache
def _whole(crud: Any) -> bool:
    """A list of entities, not of columns."""
    return len(_list_statement(crud).column_descriptions) == 1


@lru_cache(maxsize=500)
def _opening(crud: Any, order: listing.Order, cap: int, *, behind: bool) -> AnySelect | None:
    """A whole list in this order with its count, `behind` a place or from its start; None for a list of entities."""
    if _whole(crud):
        return None
    statement, column = _list_statement(crud), crud.sorting(order.name)
    count = listing.count_of(statement, (), cap).label(COUNT)
    if behind:
        value, row_id = bindparam("value", type_=column.type), bindparam("row_id", type_=crud.model.id.type)
        statement = statement.where(listing.keyset(column, crud.model.id, value, row_id, down=order.down))
    return listing.walked(statement, column, crud.model.id, order).limit(bindparam("number")).add_columns(count)


def exact(column: InstrumentedAttribute[Any]) -> Filter:
    """A filter "column equals the value"."""
    return lambda value: column == value
