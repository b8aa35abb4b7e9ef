"""The outbox as its page shows it, and what a person may do about a message there."""

from collections.abc import Mapping
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, select

from backend.core import clock
from backend.core.errors import ConflictError
from backend.core.i18n import _
from backend.database.crud.alerts import is_alert
from backend.database.crud.base import Filter
from backend.database.crud.dispatches import DispatchCRUD
from backend.database.crud.letters import LetterCRUD
from backend.database.crud.tickets import TicketCRUD
from backend.database.listing import AnySelect
from backend.database.models.dispatches import Dispatch
from backend.database.models.orders import Refund
from backend.database.models.tickets import Chat, Message
from backend.database.models.users import User
from backend.database.schemas.base import ListParams
from backend.database.schemas.dispatches import OutboxFilters
from backend.database.verbs import Verb, named

STATES = {
    "unsent": ("pending", "sending", "failed"),
    "waiting": ("pending", "sending"),
    "failed": ("failed",),
    "sent": ("sent",),
    "cancelled": ("cancelled",),
}
NOTICES = "email_changed", "email_replaced"  # letters that tell the owner of an account what others may be doing to it


def must_arrive(row: Any) -> str:
    """Why a row of the outbox cannot be called off: it warns somebody, perhaps of the very one who would do that.

    "" for all others.
    """
    if is_alert(row.dedupe_key):
        return _("A security alert cannot be cancelled.")
    if row.method in NOTICES:
        return _("A notice that an email is changed cannot be cancelled.")
    return ""


class OutboxCRUD(DispatchCRUD):
    filters: ClassVar[Mapping[str, Filter]] = {}
    verbs: ClassVar[Mapping[str, Verb]] = named(
        Verb("resend", lambda outbox, row_id, _given: outbox.send_again(row_id)),
        Verb("cancel", lambda outbox, row_id, _given: outbox.withdraw(row_id)),
    )

    @classmethod
    def list_statement(cls) -> AnySelect:
        return (
            select(
                Dispatch.id,
                Dispatch.state,
                Dispatch.method,
                Dispatch.dedupe_key,
                Dispatch.params,
                Dispatch.attempts,
                Dispatch.error,
                Dispatch.not_before,
                Dispatch.created_at,
                Dispatch.sent_at,
                Dispatch.channel,
                Dispatch.chat_id,
                Dispatch.address,
                Dispatch.expires_at,
                Dispatch.user_id,
                Dispatch.refund_id,
                Refund.payment_id,
                User.first_name,
                User.last_name,
            )
            .outerjoin_from(Dispatch, User, User.id == Dispatch.user_id)
            .outerjoin(Refund, Refund.id == Dispatch.refund_id)
        )

    def conditions(self, params: ListParams) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if isinstance(params, OutboxFilters):
            if params.state in STATES:
                found.append(Dispatch.state.in_(STATES[params.state]))
            if params.channel:
                found.append(Dispatch.channel == params.channel)
            if params.user_id is not None:
                found.append(Dispatch.user_id == params.user_id)
        return found

    def send_again(self, dispatch_id: int) -> None:
        """Raises ConflictError unless it has failed and is of use still, NotFoundError.

        Money is asked for on the page of its payment, by whoever may, after a proof.
        """
        row = self.get_by_id(dispatch_id)
        if row.refund_id is not None:
            raise ConflictError(_("Retry a refund on its payment page."), code="refund")
        if row.expires_at is not None and row.expires_at <= clock.now():
            raise ConflictError(_("This email has expired. A new one must be requested."), code="expired")
        self.resend(dispatch_id)

    def withdraw(self, dispatch_id: int) -> None:
        """Calls it off; an answer leaves its thread too. Raises ConflictError, NotFoundError."""
        row = self.get_by_id(dispatch_id)
        if why := must_arrive(row):
            raise ConflictError(why, code="must_arrive")
        ticket_id = self._ticket_of(row)
        if ticket_id is not None and row.message_id is not None:
            TicketCRUD(self.session).cancel_reply(ticket_id, row.message_id)
        else:
            self.cancel(dispatch_id)
            LetterCRUD(self.session).forget(dispatch_id)

    def _ticket_of(self, row: Dispatch) -> int | None:
        statement = select(Chat.ticket_id).join(Message, Message.chat_id == Chat.id)
        return self.session.scalars(statement.where(Message.id == row.message_id)).one_or_none()
