"""Saved views: one's own and the shared ones of others, with pins and defaults of each person."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, exists, func, or_, select

from backend.core.errors import ConflictError, ForbiddenError, NotFoundError
from backend.core.i18n import _
from backend.database.crud.base import BaseCRUD
from backend.database.models.history import Change
from backend.database.models.views import SavedView, ViewMark
from backend.database.schemas.views import ViewCreate, ViewMarks

MOST = 100  # of one person


@dataclass(frozen=True, slots=True)
class View:
    """A view as one person sees it."""

    id: int
    list_name: str
    name: str
    query: str
    is_shared: bool
    version: int
    owner_id: int
    is_pinned: bool
    is_default: bool


# Asked by every page of whoever has any: made once, and of columns.
SEEN = (
    select(
        SavedView.id,
        SavedView.list_name,
        SavedView.name,
        SavedView.query,
        SavedView.is_shared,
        SavedView.version,
        SavedView.owner_id,
        func.coalesce(ViewMark.is_pinned, False),
        func.coalesce(ViewMark.is_default, False),
    )
    .outerjoin(ViewMark, (ViewMark.view_id == SavedView.id) & (ViewMark.user_id == bindparam("me")))
    .where(or_(SavedView.owner_id == bindparam("me"), SavedView.is_shared))
)


class ViewCRUD(BaseCRUD[SavedView]):
    model = SavedView

    def seen_by(self, user_id: int) -> list[View]:
        """One's own views and the shared ones, of all lists, by name."""
        found = [View(*row) for row in self.session.execute(SEEN, {"me": user_id})]
        return sorted(found, key=lambda view: (view.name.casefold(), view.id))

    def find_seen(self, view_id: int, user_id: int) -> SavedView:
        """Raises NotFoundError for another person's private view too."""
        view = self.get_by_id(view_id)
        if view.owner_id != user_id and not view.is_shared:
            raise NotFoundError(self.missing(view_id))
        return view

    def mark_of(self, view: SavedView, user_id: int) -> ViewMark | None:
        statement = select(ViewMark).where(ViewMark.view_id == view.id, ViewMark.user_id == user_id)
        return self.session.scalars(statement).one_or_none()

    def is_taken(self, owner_id: int, list_name: str, name: str, *, besides: int = 0) -> bool:
        """Whether the person has another view of this name for the list."""
        same = SavedView.owner_id == owner_id, SavedView.list_name == list_name, SavedView.name == name
        return self.session.scalar(select(exists().where(*same, SavedView.id != besides))) or False

    def keep(self, owner_id: int, data: ViewCreate) -> SavedView:
        """Raises ConflictError when the owner has too many."""
        own = select(func.count()).where(SavedView.owner_id == owner_id)
        if (self.session.scalar(own) or 0) >= MOST:
            raise ConflictError(_("You have %s saved views: delete one first.") % MOST, code="too_many")
        values = data.model_dump(include={"list_name", "name", "query", "is_shared"})
        view = self.add(SavedView(owner_id=owner_id, **values))
        self.mark(view, owner_id, data)
        return view

    def mark(self, view: SavedView, user_id: int, wanted: ViewMarks) -> None:
        """Pins the view for a person, or makes it what the list opens with, in the place of another."""
        if wanted.is_default:
            self._step_back(view, user_id)
        values = wanted.model_dump(include={"is_pinned", "is_default"})
        mark = self.mark_of(view, user_id)
        if mark is None and any(values.values()):
            mark = ViewMark(user_id=user_id, view_id=view.id, list_name=view.list_name, **values)
            self.session.add(mark)
        elif mark is not None:
            mark.is_pinned, mark.is_default = wanted.is_pinned, wanted.is_default
        self.flush()

    def _step_back(self, view: SavedView, user_id: int) -> None:
        default = select(ViewMark).where(
            ViewMark.user_id == user_id,
            ViewMark.list_name == view.list_name,
            ViewMark.is_default,
            ViewMark.view_id != view.id,
        )
        for other in self.session.scalars(default):
            other.is_default = False
        self.flush()

    def refuse_others(self, change_set_id: int, user_id: int | None) -> None:
        """Raises ForbiddenError when a change set is about another person's view or mark."""
        kinds: dict[str, tuple[type[Any], str]] = {
            SavedView.__tablename__: (SavedView, "owner_id"),
            ViewMark.__tablename__: (ViewMark, "user_id"),
        }
        statement = select(Change).where(Change.change_set_id == change_set_id, Change.entity.in_(kinds))
        for change in self.session.scalars(statement):
            model, column = kinds[change.entity]
            whole = change.before | change.after
            row = None if column in whole else self.session.get(model, change.entity_id)
            if whole.get(column, getattr(row, column, None)) != user_id:
                raise ForbiddenError(_("This view belongs to someone else. Save your own instead."))

    def delete(self, row_id: int) -> SavedView:
        """With everyone's marks, so that an undo brings them back."""
        for mark in self.session.scalars(select(ViewMark).where(ViewMark.view_id == row_id)):
            self.session.delete(mark)
        return super().delete(row_id)

    def missing(self, row_id: int) -> str:
        return _("This saved view has been deleted, or its owner keeps it private.")

    def refused(self, detail: str) -> str:
        return _("You already have a view with this name here.")
