"""Why a change set cannot be undone, in words: money, sent messages, secrets, and what has a page of its own for it."""

from collections.abc import Sequence

from sqlalchemy import and_, exists, or_, select
from sqlalchemy.orm import Session, aliased

from backend.core.i18n import N_, _
from backend.core.permissions import STUDENT, UNDO_RIGHTS
from backend.core.wording import VERBS
from backend.database.base import Base
from backend.database.models.history import Change, ChangeSet, ChangeSetPart
from backend.database.models.jobs import GOING_ON, Job
from backend.database.models.users import Role, User

MONEY = N_("This involves a payment. Refund it on the purchase page.")
ORDER = N_("An order belongs to the student. Unpaid, it expires by itself.")
ACCESS = N_("Access is granted and revoked on the purchase page.")
MESSAGE = N_("A sent message cannot be unsent.")
RUNNING = N_("The job doing this is still running. Cancel it first.")
SECRET = N_("These values are secret and not stored, so there is nothing to restore.")
ELSEWHERE = N_("Change this back in Settings.")
ERASED = N_("Personal data has been erased: there is nothing to restore.")
STAFF = N_("Staff permissions and accounts cannot be changed by undo.")

BY_TABLE = {"messages": MESSAGE, "settings": ELSEWHERE, "orders": ORDER}
BY_LABEL = {
    "erase": ERASED,
    "password": SECRET,
    "sign_out": SECRET,
    "authn_factor_added": SECRET,
    "authn_factor_removed": SECRET,
    "grant": ACCESS,
    "free": ACCESS,
    "revoke_grant": ACCESS,
}


def reasons(session: Session, sets: Sequence[ChangeSet]) -> dict[int, str]:
    """By the number of the set; those that can be undone are left out. Three queries at most, whatever their sizes."""
    part = ChangeSetPart
    parts = session.execute(
        select(part.change_set_id, part.root, part.entity).where(part.change_set_id.in_([s.id for s in sets]))
    )
    found: dict[int, str] = {}
    fixed_in: set[int] = set()
    for set_id, root, entity in parts:
        if entity in fixed():
            fixed_in.add(set_id)
        elif root not in UNDO_RIGHTS:
            found[set_id] = ELSEWHERE
    found |= _why(_fixed_alone(session, fixed_in))
    found |= {s.id: BY_LABEL[s.label] for s in sets if s.label in BY_LABEL}
    if of_jobs := [s.id for s in sets if s.label in VERBS]:
        unfinished = select(Job.change_set_id).where(Job.change_set_id.in_(of_jobs), Job.state.in_(GOING_ON))
        found |= {set_id: RUNNING for set_id in session.scalars(unfinished) if set_id is not None}
    return {set_id: _(words) for set_id, words in found.items()}


def _why(fixed_there: Sequence[tuple[int, str]]) -> dict[int, str]:
    """Where money was moved, that is the reason, whatever else there is."""
    found: dict[int, str] = {}
    for set_id, entity in fixed_there:
        words = BY_TABLE.get(entity, MONEY)
        if words == MONEY or set_id not in found:
            found[set_id] = words
    return found


def fixed() -> frozenset[str]:
    """The tables whose rows are never undone by themselves."""
    models = [mapper.class_ for mapper in Base.registry.mappers]
    return frozenset(model.__tablename__ for model in models if not model.__undoable__)


def _fixed_alone(session: Session, ids: set[int]) -> Sequence[tuple[int, str]]:
    """What went with its record comes back with it; everything else of these tables stays as it is."""
    if not ids:
        return []
    whole = aliased(Change)
    with_it = exists().where(
        Change.entity != Change.root,
        whole.change_set_id == Change.change_set_id,
        whole.entity == Change.root,
        whole.entity_id == Change.root_id,
        or_(whole.op == "delete", and_(whole.op == "create", ChangeSet.undoes_id.is_not(None))),
    )
    statement = (
        select(Change.change_set_id, Change.entity)
        .join(ChangeSet, ChangeSet.id == Change.change_set_id)
        .where(Change.change_set_id.in_(ids), Change.entity.in_(fixed()), ~with_it)
        .distinct()
        .order_by(Change.change_set_id, Change.entity)
    )
    return [(set_id, entity) for set_id, entity in session.execute(statement)]


def roots(session: Session, change_set_id: int) -> set[str]:
    """The tables of the records that a change set touched."""
    return set(session.scalars(select(ChangeSetPart.root).where(ChangeSetPart.change_set_id == change_set_id)))


def touches_staff(session: Session, change_set_id: int) -> bool:
    """Whether a person is or was anything but a student: rights are not given or taken by an undo."""
    part = ChangeSetPart.change_set_id == change_set_id, ChangeSetPart.entity == User.__tablename__
    if not session.scalar(select(exists().where(*part))):
        return False
    student = session.scalars(select(Role.id).where(Role.name == STUDENT)).one()
    mine = Change.change_set_id == change_set_id, Change.entity == User.__tablename__
    is_one = exists().where(*mine, User.id == Change.entity_id, User.role_id != student)
    before, after = Change.before["role_id"].as_integer(), Change.after["role_id"].as_integer()
    was_one = exists().where(*mine, or_(before != student, after != student))
    return bool(session.scalar(select(or_(is_one, was_one))))
