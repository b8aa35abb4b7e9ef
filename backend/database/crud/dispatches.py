"""The outbox: queueing in the transaction of the cause, and what the sender does with a row.

`attempts` is the fencing token: a claim takes the next number, and whoever finishes names the
number it holds, so a sender that lost its lease changes nothing. It never goes down but for a claim
that its own holder gives back.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    ColumnElement,
    CursorResult,
    Update,
    and_,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import aliased

from backend.core import clock
from backend.core.errors import ConflictError
from backend.core.i18n import N_, _
from backend.database import history, outbox
from backend.database.crud.base import BaseCRUD, Filter, exact
from backend.database.crud.settings import SettingCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.dispatches import BULK, ONCE, REPLY, TELEGRAM, Dispatch
from backend.database.models.users import User

__all__ = ["BULK", "REPLY", "DispatchCRUD"]

PAUSE = "outbox.pause"
WAITING = ("pending", "failed")  # has not left, and may be called off
BATCH = 25
LEASE = timedelta(seconds=30)  # a call takes 15 at most, and waits for its turn at most 1
TRIES = 5
# After the first, second, ... failed try; over a quarter of an hour in all.
BACKOFF = (timedelta(seconds=2), timedelta(seconds=15), timedelta(minutes=2), timedelta(minutes=15))

# What a message leaves that names somebody whose data were erased while it waited.
GONE = "gone"  # in its params: there is nothing left to send
DONE_WITH = {"text": "[…]", GONE: True}
LEFT = case((Dispatch.params[ONCE].as_boolean().is_(True), literal(DONE_WITH, JSON)), else_=Dispatch.params)

# What `error` begins with, before ": " and the other side's own words.
ERRORS: dict[str, str] = {
    "expired": N_("it has expired"),
    "rejected": N_("the mail server rejected the email"),
    "deferred": N_("the mail server is not accepting email yet"),
    "unsent": N_("the mail server did not answer"),
    "blocked": N_("the student has blocked the bot"),
    "refused": N_("Telegram refused the message"),
    "unreachable": N_("Telegram did not answer"),
    "invalid": N_("the message is malformed"),
}
UNKNOWN_ERROR = N_("something went wrong")


class DispatchCRUD(BaseCRUD[Dispatch]):
    model = Dispatch
    sorts: ClassVar[Mapping[str, Any]] = {"created_at": Dispatch.created_at}
    default_sort = "-created_at"
    filters: ClassVar[Mapping[str, Filter]] = {
        "state": exact(Dispatch.state),
        "user_id": exact(Dispatch.user_id),
    }

    # -- queueing

    def enqueue(  # noqa: PLR0913 - the columns of a row, by name
        self,
        dedupe_key: str,
        *,
        chat_id: int,
        method: str,
        params: dict[str, Any],
        user_id: int | None = None,
        message_id: int | None = None,
        refund_id: int | None = None,
        priority: int = REPLY,
        not_before: datetime | None = None,
    ) -> Dispatch:
        """Queues one call of the Bot API, to leave after the commit.

        `method` is Telegram's ("sendMessage") and so are the names in `params`; `chat_id`, the
        person's telegram_id, is added where the method has it. A cause has one row: the same
        `dedupe_key` again gives the first one, unchanged.
        """
        values = {
            "chat_id": chat_id,
            "user_id": user_id,
            "message_id": message_id,
            "refund_id": refund_id,
            "method": method,
            "params": params,
            "priority": priority,
            "not_before": not_before or clock.now(),
        }
        return self.queue(dedupe_key, TELEGRAM, values)

    def queue(self, dedupe_key: str, channel: str, columns: Mapping[str, Any]) -> Dispatch:
        self.session.flush()
        made = (sqlite if self._sqlite else postgresql).insert(Dispatch).values(fresh(dedupe_key, channel, columns))
        self.session.execute(made.on_conflict_do_nothing(index_elements=["dedupe_key"]))
        outbox.queued(self.session)
        return self.session.scalars(select(Dispatch).where(Dispatch.dedupe_key == dedupe_key)).one()

    @property
    def _sqlite(self) -> bool:
        return self.session.get_bind().dialect.name == "sqlite"

    # -- sending

    def claim(self, limit: int = BATCH, channel: str = TELEGRAM) -> list[Dispatch]:
        """Takes a channel's next rows: at most one of a chat, in the chat's order, replies before bulk.

        Each is "sending" until its lease ends; `attempts` is the number to finish it with.
        """
        self._release_expired()
        now = clock.now()
        ids = self.session.scalars(
            select(Dispatch.id)
            .where(Dispatch.channel == channel, Dispatch.state == "pending", Dispatch.not_before <= now)
            .where(~self._blocked(now) if channel == TELEGRAM else Dispatch.expires_at > now)
            .order_by(Dispatch.priority, Dispatch.not_before, Dispatch.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        ).all()
        if not ids:
            return []
        taken = self.session.scalars(
            update(Dispatch)
            .where(Dispatch.id.in_(ids), Dispatch.state == "pending")
            .values(state="sending", lease_until=now + LEASE, attempts=Dispatch.attempts + 1)
            .returning(Dispatch)
            .execution_options(synchronize_session=False, populate_existing=True)
        )
        return sorted(taken, key=lambda row: (row.priority, row.not_before, row.id))

    @staticmethod
    def _blocked(now: datetime) -> ColumnElement[bool]:
        """Another row of the chat is leaving, or stands before this one: due, or tried before."""
        other = aliased(Dispatch)  # a chat is Telegram's alone
        before = or_(
            other.priority < Dispatch.priority,
            and_(other.priority == Dispatch.priority, other.id < Dispatch.id),
        )
        due = or_(other.not_before <= now, other.attempts > 0)
        return exists().where(
            other.chat_id == Dispatch.chat_id,
            other.id != Dispatch.id,
            other.state.in_(("pending", "sending")),
            or_(other.state == "sending", and_(before, due)),
        )

    def _release_expired(self) -> None:
        """Rows of a sender that died go back to the queue."""
        expired = Dispatch.state == "sending", Dispatch.lease_until < clock.now()
        self._run(update(Dispatch).where(*expired).values(state="pending", lease_until=None))

    def finish(self, dispatch_id: int, attempt: int, external_id: int | None = None) -> bool:
        """It has been sent. False when this attempt is no longer the row's."""
        values = {"state": "sent", "sent_at": clock.now(), "external_id": external_id, "params": LEFT}
        return self._settle(dispatch_id, attempt, **values, error=None)

    @staticmethod
    def last_try(attempt: int) -> bool:
        return attempt % TRIES == 0

    def retry(self, dispatch_id: int, attempt: int, error: str) -> bool:
        """It was not sent, perhaps next time. Not for the last try."""
        nth = attempt % TRIES
        later = clock.now() + BACKOFF[nth - 1]
        return self._settle(dispatch_id, attempt, state="pending", not_before=later, error=error[:500])

    def fail(self, dispatch_id: int, attempt: int, error: str) -> bool:
        """It will not be sent unless a person says so.

        `error` is a key of ERRORS, then ": " and Telegram's own words.
        """
        return self._settle(dispatch_id, attempt, state="failed", error=error[:500], params=LEFT)

    def give_back(self, dispatch_id: int, attempt: int) -> bool:
        """Nothing was tried: back to the queue as it was."""
        return self._settle(dispatch_id, attempt, state="pending", attempts=attempt - 1)

    def _settle(self, dispatch_id: int, attempt: int, **values: Any) -> bool:
        mine = Dispatch.id == dispatch_id, Dispatch.attempts == attempt, Dispatch.state != "sent"
        return self._run(update(Dispatch).where(*mine).values(lease_until=None, **values)) == 1

    def _run(self, statement: Update) -> int:
        result = self.session.execute(statement, execution_options={"synchronize_session": False})
        assert isinstance(result, CursorResult)
        return result.rowcount

    def leaving(self, telegram_id: int) -> bool:
        """Whether a reply to this chat is due and has not left yet."""
        due = or_(Dispatch.state == "sending", and_(Dispatch.state == "pending", Dispatch.not_before <= clock.now()))
        mine = Dispatch.chat_id == telegram_id, Dispatch.priority == REPLY
        return self.session.scalar(select(exists().where(*mine, due))) or False

    def next_due(self, channel: str = TELEGRAM) -> datetime | None:
        """When the next row that still has to wait may leave."""
        waits = Dispatch.channel == channel, Dispatch.state == "pending", Dispatch.not_before > clock.now()
        return self.session.scalar(select(func.min(Dispatch.not_before)).where(*waits))

    def sent_since(self, moment: datetime, channel: str = TELEGRAM) -> bool:
        """Whether anything has left since then, or may be leaving now."""
        recent = or_(Dispatch.sent_at >= moment, Dispatch.state == "sending")
        return self.session.scalar(select(exists().where(Dispatch.channel == channel, recent))) or False

    def pause(self, until: datetime) -> None:
        """Telegram asked all of us to wait; every process obeys."""
        SettingCRUD(self.session).put(PAUSE, {"until": until.isoformat()})

    def paused_until(self) -> datetime | None:
        """None when sending is allowed."""
        found = SettingCRUD(self.session).find(PAUSE)
        until = datetime.fromisoformat(found["until"]) if found else None
        return until if until is not None and until > clock.now() else None

    # -- people

    def resend(self, dispatch_id: int) -> Dispatch:
        """A failed row goes back to the queue, for five more tries.

        Raises ConflictError, NotFoundError.
        """
        row = self.get_by_id(dispatch_id)
        if not self._requeue(Dispatch.id == dispatch_id, Dispatch.state == "failed"):
            words = _("Only a message that failed can be sent again.")
            raise ConflictError(words, code="not_failed")
        self.session.refresh(row)
        return row

    def cancel(self, dispatch_id: int) -> Dispatch:
        """A row that has not left never will. Raises ConflictError, NotFoundError."""
        row = self.get_by_id(dispatch_id)
        waits = Dispatch.id == dispatch_id, Dispatch.state.in_(WAITING)
        if row.refund_id is not None:
            raise ConflictError(_("A Stars refund cannot be cancelled."), code="refund")
        if not self._run(update(Dispatch).where(*waits).values(state="cancelled", params=LEFT)):
            words = _("Too late to cancel: the message is being sent.")
            raise ConflictError(words, code="too_late")
        self.session.refresh(row)
        return row

    def let_go(self, messages: Sequence[int], root: tuple[str, int]) -> None:
        """The messages are about to go: what has not left never will, and nothing names them any more.

        The history of `root` holds it, so that an undo puts it back.
        """
        for row in self.session.scalars(select(Dispatch).where(Dispatch.message_id.in_(messages))):
            self.session.refresh(row, with_for_update=True)
            before = {"message_id": row.message_id, "state": row.state}
            after = {"message_id": None, "state": "cancelled" if row.state in WAITING else row.state}
            row.message_id, row.state = None, after["state"] or row.state
            if ONCE in row.params and row.state == "cancelled":
                row.params = DONE_WITH
            history.record(self.session, row, "update", before, after, root)
        self.session.flush()

    def resend_owed(self, user_id: int) -> int:
        """The person has unblocked the bot: what failed because of that leaves now.

        Returns how many rows.
        """
        owed = Dispatch.error.like("blocked%")
        return self._requeue(Dispatch.user_id == user_id, Dispatch.state == "failed", owed)

    def _requeue(self, *conditions: ColumnElement[bool]) -> int:
        outbox.queued(self.session)
        rest = Dispatch.attempts % TRIES
        # Up to the next multiple of five: the next five tries count from there.
        attempts = case((rest == 0, Dispatch.attempts), else_=Dispatch.attempts + TRIES - rest)
        again = update(Dispatch).where(*conditions, Dispatch.params[GONE].as_boolean().is_not(True))
        return self._run(again.values(state="pending", not_before=clock.now(), error=None, attempts=attempts))

    def mark_blocked(self, telegram_id: int) -> None:
        """The person's chat takes nothing from us until they unblock the bot."""
        self._mark(telegram_id, clock.now())

    def mark_unblocked(self, telegram_id: int) -> int:
        """Returns how many owed rows leave now; 0 for a stranger."""
        user = self._mark(telegram_id, None)
        return self.resend_owed(user.id) if user else 0

    def _mark(self, telegram_id: int, moment: datetime | None) -> User | None:
        users = UserCRUD(self.session)
        user = users.find_by_telegram_id(telegram_id)
        if user is not None and (user.blocked_bot_at is None) != (moment is None):
            # The version stays: a form that someone has open is not stale because of this.
            users.update_where(user, blocked_bot_at=moment, version=User.version)
        return user


def fresh(dedupe_key: str, channel: str, columns: Mapping[str, Any]) -> dict[str, Any]:
    """A row as it is queued."""
    now = clock.now()
    return {
        "dedupe_key": dedupe_key,
        "channel": channel,
        "priority": REPLY,
        "state": "pending",
        "not_before": now,
        "attempts": 0,
        "created_at": now,
        **columns,
    }
