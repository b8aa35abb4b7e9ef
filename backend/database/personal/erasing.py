"""Ends what is known of a person; the books stay. Nothing brings it back but a backup."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, and_, cast, delete, exists, false, or_, select, text, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from backend.core import clock
from backend.core.errors import ConflictError
from backend.core.events import Event
from backend.core.i18n import _
from backend.database import history, search
from backend.database.chain.redacting import LAWFUL, Redactor, redacting
from backend.database.crud import alerts
from backend.database.crud.entitlements import EntitlementCRUD
from backend.database.crud.intake.kinds import Students
from backend.database.crud.letters import OVER
from backend.database.crud.users import UserCRUD
from backend.database.listing import AnyRow
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import IdempotencyKey
from backend.database.models.dispatches import EMAIL, ONCE, Dispatch
from backend.database.models.history import Change, ChangeSet
from backend.database.models.imports import Import, ImportRow
from backend.database.models.jobs import JobRow
from backend.database.models.orders import Order, Payment, Refund
from backend.database.models.tags import TAGGED, Tag
from backend.database.models.users import User
from backend.database.models.views import SavedView
from backend.database.personal.places import MARK, PLACES, TEXTS, Place, Whose, doer, named, personal_columns
from backend.database.personal.traces import ERASE, Gone, changes_of, events_of, gone, records_of, whose
from backend.database.rows import among, table_of, with_keys
from backend.database.session import Database

BOTH = Change.before, Change.after
INDEXES = "users_search", "support_tickets_search"
PAGE = 500
FTS_SECURE_DELETE = (3, 42)  # the SQLite that knows it


class Eraser:
    """In the caller's transaction. `scrub` afterwards clears what the database file still holds of the old rows."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.sqlite = session.get_bind().dialect.name == "sqlite"

    def erase(self, user_id: int) -> None:
        """Also of a person who was deleted: the history knows them still. Of one who is erased what came later.

        Raises NotFoundError, and ConflictError with why it must wait.
        """
        # Locked first: what is written about the person meanwhile either waits and finds nobody, or is seen below.
        person = gone(self.session, user_id) or EntitlementCRUD(self.session).buyer(user_id)
        who = whose(self.session, user_id)
        self._check(person, who)
        self._wipe_pages(on=True)
        tags = self._tags(who)  # while the history still names them
        with redacting(self.session, Event.ERASED, user_id=user_id) as redactor:
            self._redact_history(who, redactor)
            self._redact_events(who, redactor)
        self._erase_named(who)
        self._erase_stored_answers(who)
        for place in PLACES:
            self._empty(place, who)
        self._drop_unused(tags)
        self.session.expire_all()
        history.describe(self.session, ERASE)
        history.note(self.session, ("users", user_id), {}, {})
        self._wipe_pages(on=False)

    def _check(self, person: User | Gone, who: Whose) -> None:
        late = late_payments().where(Order.user_id == who.user_id)
        if person.erased_at is not None and self.session.scalar(late.limit(1)) is None:
            raise ConflictError(_("This person's data has already been erased."), code="already_erased")
        if isinstance(person, User) and person.is_active and not UserCRUD(self.session).is_student(person):
            raise ConflictError(_("Turn off the account first: this person is on staff."), code="on_staff")
        refunds = next(place for place in PLACES if place.model is Refund)
        if self.session.scalar(select(exists().where(refunds.mine(who), Refund.status == "requested"))):
            words = _("A Stars refund to this person is in progress. Erase the data once it completes.")
            raise ConflictError(words, code="refund_on_its_way")

    def _wipe_pages(self, *, on: bool) -> None:
        """SQLite overwrites with zeros what is deleted meanwhile, in its pages and in its search index."""
        if not self.sqlite:
            return
        connection = self.session.connection()
        connection.exec_driver_sql(f"PRAGMA secure_delete={int(on)}")
        for index in INDEXES if sqlite3.sqlite_version_info >= FTS_SECURE_DELETE else ():
            connection.exec_driver_sql(f"INSERT INTO {index}({index}, rank) VALUES('secure-delete', {int(on)})")

    # -- the rows

    def _empty(self, place: Place, who: Whose) -> None:
        table, mine = table_of(place.model), place.mine(who)
        if place.goes:
            self._run(delete(table).where(mine))
            return
        values = {**place.put, **place.then(), **self._follows(place, who)}
        self._run(update(table).where(mine).values(values))

    def _follows(self, place: Place, who: Whose) -> dict[str, Any]:
        """Keys of the search, versions and moments, which the ORM would have kept."""
        columns = table_of(place.model).c
        values: dict[str, Any] = named(who.user_id) if place.model is User else {}
        if "search_key" in columns:
            values["search_key"] = search.key_of(values.get("first_name", MARK))
        if "version" in columns:
            values["version"] = columns.version + 1
        if "updated_at" in columns:
            values["updated_at"] = clock.now()
        return values

    def _tags(self, who: Whose) -> list[int]:
        """Those that they carry, and carried."""
        link: Any = TAGGED["users"]
        mine = Change.root == "users", Change.root_id == who.user_id, Change.entity == link.__tablename__
        told = self.session.execute(select(Change.before, Change.after).where(*mine))
        carried = {image["tag_id"] for row in told for image in row if image.get("tag_id")}
        return [*carried, *self.session.scalars(select(link.tag_id).where(link.row_id == who.user_id))]

    def _drop_unused(self, tags: Sequence[int]) -> None:
        """A tag that only this person carried may have been about them."""
        carried = [exists().where(link.tag_id == Tag.id) for link in TAGGED.values()]
        self._run(delete(Tag).where(Tag.id.in_(tags), ~or_(*carried)))

    # -- texts that name the person without a link

    def _erase_named(self, who: Whose) -> None:
        for row_id, cells in self._cells(who):
            values = {"cells": [MARK for _cell in cells], "told": {}, "words": MARK, "verdict": "wrong"}
            self._run(update(ImportRow).where(ImportRow.id == row_id).values(values))
        for row_id, _query in self._naming(SavedView.id, SavedView.query, who):
            self._run(update(SavedView).where(SavedView.id == row_id).values(query=""))
        # A name of a file glues words together: it goes whole.
        self._run(update(Import).where(_holds(who, Import.filename)).values(filename=MARK))
        for model, names in TEXTS:
            self._erase_words(model, names, who)
        self._erase_letters(who)
        for job_id, row_id, _data in self._naming((JobRow.job_id, JobRow.row_id), JobRow.data, who):
            self._run(update(JobRow).where(JobRow.job_id == job_id, JobRow.row_id == row_id).values(data={}))

    def _cells(self, who: Whose) -> Sequence[Any]:
        """Rows of files about the person. Only a file of people means people by its numbers, with gaps or without."""
        of_people = ImportRow.import_id.in_(select(Import.id).where(Import.target == User.__tablename__))
        linked = and_(of_people, ImportRow.record_id == who.user_id)
        found = self._naming(ImportRow.id, ImportRow.cells, who, linked)
        rows = self._stream(select(ImportRow.id, ImportRow.cells).where(of_people)) if who.telegram_ids else ()
        numbers, number = set(who.telegram_ids), partial(Students.key_of, "telegram_id")
        return [*found, *(row for row in rows if not numbers.isdisjoint(map(number, row.cells)))]

    def _erase_words(self, model: type[Any], names: Sequence[str], who: Whose) -> None:
        """What others wrote stays theirs but for the words that name the person."""
        table = table_of(model)
        columns = [table.c[name] for name in names]
        rows = self._stream(select(table.c.id, *columns).where(_holds(who, *columns)))
        masked = ((row, [who.masked(value) for value in row[1:]]) for row in rows)
        for row_id, left in [(row[0], left) for row, left in masked if left != list(row[1:])]:
            values = _keyed(model, row_id, dict(zip(names, left, strict=True)))
            self._run(update(table).where(table.c.id == row_id).values(values))

    def _erase_letters(self, who: Whose) -> None:
        """Letters and messages to others: alerts of what happened to the person, and whatever names them."""
        alarms = or_(*(Dispatch.dedupe_key.startswith(beginning) for beginning in alerts.KEYS))
        keys = self.session.execute(select(Dispatch.id, Dispatch.dedupe_key).where(alarms)).all()
        told = {row.id: alerts.about(row.dedupe_key) for row in keys}
        theirs = set(self.session.scalars(select(SecurityEvent.id).where(events_of(who))) if keys else ())
        going = {row_id for row_id, (event, person) in told.items() if event in theirs or person == who.user_id}
        for row_id, params in self._naming(Dispatch.id, Dispatch.params, who):
            channel = self.session.execute(select(Dispatch.channel).where(Dispatch.id == row_id)).scalar_one()
            if channel == EMAIL or row_id in told:
                going.add(row_id)
                continue
            # What is on its way to someone else still arrives whole. The sender may be done with it in this moment.
            this, over = Dispatch.id == row_id, Dispatch.state.in_(OVER)
            self._run(update(Dispatch).where(this, ~over).values(params=params | {ONCE: True}))
            self._run(update(Dispatch).where(this, over).values(params=_unnamed(params, who)))
        self._run(delete(Dispatch).where(among(self.session, table_of(Dispatch).c.id, sorted(going))))

    def _naming(self, key: Any, column: InstrumentedAttribute[Any], who: Whose, *also: ColumnElement[bool]) -> Any:
        if not (who.needles or also):
            return []
        keys = key if isinstance(key, tuple) else (key,)
        linked = {tuple(row) for row in self.session.execute(select(*keys).where(*also))} if also else set()
        rows = self._stream(select(*keys, column).where(or_(*also, _holds(who, column))))
        return [row for row in rows if tuple(row[:-1]) in linked or who.named_in(row[-1])]

    def _erase_stored_answers(self, who: Whose) -> None:
        """Answers kept for a repeated request, for two days."""
        tickets = sorted(records_of(self.session, who)["support_tickets"])
        marks = [f'"user_id":{who.user_id}', *(f'"ticket_id":{ticket}' for ticket in tickets)]
        marks += [f'"telegram_id":{telegram_id}' for telegram_id in who.telegram_ids]
        ends = [IdempotencyKey.response.contains(mark + end) for mark in marks for end in (",", "}")]
        held = self._stream(
            select(IdempotencyKey.id, IdempotencyKey.response).where(_holds(who, IdempotencyKey.response))
        )
        naming = [row_id for row_id, answer in held if who.named_in(json.loads(answer))]
        theirs = or_(among(self.session, table_of(IdempotencyKey).c.id, naming), *ends)
        self._run(delete(IdempotencyKey).where(theirs))

    # -- the history

    def _redact_history(self, who: Whose, redactor: Redactor) -> None:
        """What changed stays told, its values do not."""
        rows = select(Change.id, Change.entity, Change.before, Change.after)
        mine = self.session.execute(rows.where(changes_of(self.session, who))).all()
        with redactor.touching("changes", [row.id for row in mine]):
            for row in mine:
                personal = personal_columns(row.entity)
                self._rewrite(row, _masked(row.before, personal), _masked(row.after, personal))
        # And what other records say of them: a saved view with their e-mail, a cell of an import.
        held = self._stream(rows.where(_holds(who, *BOTH)))
        others = [row for row in held if who.named_in([row.before, row.after])]
        with redactor.touching("changes", [row.id for row in others]):
            for row in others:
                self._rewrite(row, _unnamed(row.before, who), _unnamed(row.after, who))
        acted = doer(ChangeSet.impersonator_id, ChangeSet.actor_id) == who.user_id
        with redactor.touching("change_sets", self.session.scalars(select(ChangeSet.id).where(acted))):
            self._run(update(ChangeSet).where(acted).values(ip=None))

    def _rewrite(self, row: AnyRow, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        if (before, after) != (row.before, row.after):
            self._run(update(Change).where(Change.id == row.id).values(before=before, after=after))

    def _redact_events(self, who: Whose, redactor: Redactor) -> None:
        event, mine = SecurityEvent, events_of(who)
        with redactor.touching("security_events", self.session.scalars(select(event.id).where(mine))):
            # The proof of what was redacted names nobody, and the chain needs it.
            self._run(update(event).where(mine, event.kind.not_in(LAWFUL)).values(data={}))
            by = doer(event.impersonator_id, event.actor_id)
            own = mine, or_(by.is_(None), by == who.user_id)
            self._run(update(event).where(*own).values(ip=None, user_agent=""))
        # An export of what was found by their e-mail is someone else's event and names them.
        named = list(self._naming(event.id, event.data, who))
        with redactor.touching("security_events", [row_id for row_id, _data in named]):
            for row_id, data in named:
                self._run(
                    update(event).where(event.id == row_id, event.kind.not_in(LAWFUL)).values(data=_unnamed(data, who))
                )

    def _stream(self, statement: Any) -> Iterable[Any]:
        """Rows a page at a time: a word that the database cannot look for asks for all there are."""
        return self.session.execute(statement, execution_options={"yield_per": PAGE})

    def _run(self, statement: Any) -> None:
        self.session.execute(statement, execution_options={"synchronize_session": False})


def late_payments() -> Select[int]:
    """The erased people whose payments came later and name the payer: Telegram needs that for the money back."""
    erased = select(User.id).join(Order).join(Payment).where(User.erased_at.is_not(None))
    return erased.where(Payment.payer_telegram_id.is_not(None))


def erase_late(session: Session) -> bool:
    """Ends what came after the erasure of one person, once all of their money is back. False when there is nobody."""
    owed = late_payments().join(Refund).where(Refund.status != "done")
    user_id = session.scalar(late_payments().where(User.id.not_in(owed)).limit(1))
    if user_id is not None:
        Eraser(session).erase(user_id)
    return user_id is not None


def _holds(who: Whose, *columns: Any) -> ColumnElement[bool]:
    """Rows that may name the person: the database knows no words, so they are looked at once more."""
    texts = [cast(column, Text).icontains(word, autoescape=True) for column in columns for word in who.needles]
    return or_(false(), *texts)


def _keyed(model: type[Any], row_id: int, left: dict[str, Any]) -> dict[str, Any]:
    """What an update of these columns writes besides. Two names that are to differ may say the same by now."""
    columns: Any = table_of(model).c
    if model in (SavedView, Tag):
        ending = f" {row_id}"
        left["name"] = left["name"][: columns.name.type.length - len(ending)] + ending
    values = with_keys(model, left)
    if "name_key" in columns:
        values["name_key"] = left["name"].casefold()
    if "version" in columns:
        values |= {"version": columns.version + 1, "updated_at": clock.now()}
    return values


def _masked(values: Mapping[str, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: columns[name] if name in columns and value else value for name, value in values.items()}


def _unnamed(value: Any, who: Whose) -> Any:
    """A JSON value without the texts that name the person."""
    if isinstance(value, dict):
        return {name: _unnamed(inner, who) for name, inner in value.items()}
    if isinstance(value, list):
        return [_unnamed(inner, who) for inner in value]
    return MARK if isinstance(value, str) and who.named_in(value) else value


def scrub(database: Database, *, whole: bool = False) -> None:
    """SQLite: the write-ahead log forgets the old pages; `whole`: the file is written anew, without its free pages."""
    if not database.is_sqlite:
        return
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if whole:
            for index in INDEXES:
                connection.execute(text(f"INSERT INTO {index}({index}) VALUES('optimize')"))
            connection.execute(text("VACUUM"))
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
