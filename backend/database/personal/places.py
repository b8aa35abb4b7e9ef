"""Where personal data stand. A new column of text belongs here, or into the list of tests/database/test_personal.py."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select

from backend.core import clock
from backend.database.models.auth import ApiToken, AuthIdentity, AuthSession, Credential, OneTimeToken, SignInPlace
from backend.database.models.dispatches import Dispatch
from backend.database.models.doors import Registration, SignInFlow
from backend.database.models.imports import Import
from backend.database.models.jobs import Job, JobError
from backend.database.models.media import Media
from backend.database.models.orders import Order, OrderLine, Payment, Refund
from backend.database.models.purchases import Purchase
from backend.database.models.system import BotChat
from backend.database.models.tags import Tag, UserTag
from backend.database.models.tickets import Chat, Message, SupportTicket
from backend.database.models.users import User
from backend.database.models.views import SavedView

MARK = "[…]"  # stands where there was a text that may not be empty
# Why money went back, in the words of the program; anything else was written by a person.
OUR_REASONS = (
    "unknown_order", "foreign_payer", "currency_mismatch", "amount_mismatch", "already_paid", "already_owned",
    "promo_used_up", "chargeback",
)  # fmt: skip
SHORTEST = 4  # a shorter word names nobody by itself


@dataclass(frozen=True)
class Whose:
    """One person, as the tables name them now and named them before; see `traces.whose`."""

    user_id: int
    telegram_ids: tuple[int, ...] = ()
    names: tuple[str, ...] = ()  # usernames, logins, e-mails
    emails: tuple[str, ...] = ()

    @cached_property
    def words(self) -> frozenset[str]:
        """What names them in a text without a link, folded; their name does not, for others bear it too."""
        known = (str(name).strip("@") for name in (*self.telegram_ids, *self.names))
        # Both: "ß" stands in a text as itself, and as the "ss" that it is folded to.
        return frozenset(form for word in known if len(word) >= SHORTEST for form in (word.lower(), word.casefold()))

    @cached_property
    def needles(self) -> frozenset[str]:
        """What a column of text, of JSON or of an address holds of them, whatever their case; "" is in every row."""
        found = {form for word in self.words for form in _as_stored(word)}
        return frozenset(one for one in found if not any(other in one for other in found - {one}))

    @cached_property
    def _naming(self) -> re.Pattern[str]:
        """A word by itself; not in the address or the name of somebody else, as in "anna" of "anna@school.example"."""
        mails, names = (
            "|".join(sorted(map(re.escape, some), key=len, reverse=True)) or r"(?!)"
            for some in ([w for w in self.words if "@" in w], [w for w in self.words if "@" not in w])
        )
        mail = rf"(?<!\w)(?<!\w[.+-])(?:{mails})(?!\w)"
        return re.compile(rf"{mail}|(?<!\w)(?<!\w@)(?:{names})(?!\w)(?!(?:[.+-]\w+)*@\w)", re.IGNORECASE)

    def named_in(self, value: Any) -> bool:
        """In a text, or anywhere in a JSON value."""
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            return any(map(self.named_in, value))
        return bool(self._naming.search(unquote(str(value))))

    def masked(self, value: Any) -> Any:
        """A text of others, or a list of them, without the words that name the person."""
        if isinstance(value, list):
            return [self.masked(one) for one in value]
        left = self._naming.sub(MARK, value) if isinstance(value, str) else value
        return MARK if self.named_in(left) else left


def _as_stored(word: str) -> tuple[str, ...]:
    """Databases fold the case of ASCII alone: of another word only a part does that no way of writing changes."""
    if word.isascii():
        return word, json.dumps(word)[1:-1], quote(word, safe="")
    longest = max(re.findall(r"[\w.~-]+", word, re.ASCII), key=len, default="")
    return (longest if len(longest) >= SHORTEST else "",)


Rows = Callable[[Whose], ColumnElement[bool]]
# Texts of others that may name a person: of these only the words go, see `Whose.masked`.
TEXTS: tuple[tuple[type[Any], tuple[str, ...]], ...] = (
    (Message, ("body",)),
    (SupportTicket, ("subject", "message", "admin_response")),
    (Refund, ("reason",)),
    (Purchase, ("reason",)),
    (JobError, ("message",)),
    (Import, ("header",)),
    (SavedView, ("name",)),
    (Tag, ("name",)),
    (Media, ("filename",)),
    (ApiToken, ("name",)),
    (AuthSession, ("reason",)),
)


@dataclass(frozen=True)
class Place:
    """`put`: the personal columns and what erasing leaves in them. `then`: what follows in others. `goes`: the rows go.

    `secret`: columns that not even the person is shown; what they prove is theirs, what they are is ours.
    """

    model: type[Any]
    mine: Rows
    put: Mapping[str, Any]
    then: Callable[[], Mapping[str, Any]] = dict
    goes: bool = False
    secret: frozenset[str] = field(default_factory=frozenset)

    @property
    def table(self) -> str:
        name: str = self.model.__tablename__
        return name


def _of(column: Any) -> Rows:
    return lambda who: column == who.user_id


def _tickets(who: Whose) -> Any:
    return select(SupportTicket.id).where(SupportTicket.user_id == who.user_id)


def _messages(who: Whose) -> ColumnElement[bool]:
    threads = select(Chat.id).where(Chat.ticket_id.in_(_tickets(who)))
    return or_(Message.chat_id.in_(threads), and_(Message.sender_id == who.user_id, Message.side == "student"))


def _dispatches(who: Whose) -> ColumnElement[bool]:
    to_them = or_(Dispatch.user_id == who.user_id, Dispatch.chat_id.in_(who.telegram_ids))
    to_them = or_(to_them, _written(Dispatch.address, who))
    # The Stars of a late payment go back to a number that is theirs no more, or to another person's.
    returned = Dispatch.refund_id.in_(select(Refund.id).where(_refunds(who)))
    to_them = or_(to_them, and_(returned, ~exists().where(User.telegram_id == Dispatch.chat_id)))
    return or_(to_them, Dispatch.message_id.in_(select(Message.id).where(_messages(who))))


def _payments(who: Whose) -> ColumnElement[bool]:
    orders = select(Order.id).where(Order.user_id == who.user_id)
    return or_(Payment.order_id.in_(orders), Payment.payer_telegram_id.in_(who.telegram_ids))


def _refunds(who: Whose) -> ColumnElement[bool]:
    return Refund.payment_id.in_(select(Payment.id).where(_payments(who)))


def _written(column: Any, who: Whose) -> ColumnElement[bool]:
    """One of the person's e-mails, whatever its case: what the database cannot fold, `emails` has as it is written."""
    return or_(func.lower(column).in_([email.lower() for email in who.emails]), column.in_(who.emails))


def _job_errors(who: Whose) -> ColumnElement[bool]:
    of_people = exists().where(Job.id == JobError.job_id, Job.records == User.__tablename__)
    return and_(JobError.row_id == who.user_id, of_people)


def doer(impersonator: Any, actor: Any) -> Any:
    """Who was at the keyboard: an address and a browser are theirs, not of whoever's eyes they looked through."""
    return func.coalesce(impersonator, actor)


def _closed() -> Mapping[str, Any]:
    return {"status": "closed", "waiting_since": None}


def _forgotten() -> Mapping[str, Any]:
    return {
        "is_active": False,
        "token_version": User.token_version + 1,
        "erased_at": func.coalesce(User.erased_at, clock.now()),
    }


NOBODY: dict[str, Any] = {
    **dict.fromkeys(("telegram_id", "username", "email", "email_key", "email_verified_at", "password_hash")),
    **dict.fromkeys(("last_name", "ui_language", "source", "terms_accepted_at", "blocked_bot_at")),
    **dict.fromkeys(("last_seen_at", "seen_at")),
    # A person must be known by something: `named` makes a login and a name of their number.
    "login": MARK,
    "login_key": MARK,
    "first_name": MARK,
    "language_code": "en",
    "timezone": "UTC",
    "theme": "auto",
}

# In an order in which each still finds its rows by those that come later.
PLACES: tuple[Place, ...] = (
    Place(Dispatch, _dispatches, {"params": {}, "dedupe_key": MARK, "error": None, "address": None}, goes=True),
    Place(Message, _messages, {"body": MARK, "tg_message_id": None}),
    Place(
        SupportTicket, _of(SupportTicket.user_id),
        {"subject": MARK, "message": MARK, "admin_response": None}, _closed,
    ),
    Place(Refund, _refunds, {"reason": case((Refund.reason.in_(OUR_REASONS), Refund.reason), else_=""), "error": None}),
    Place(Payment, _payments, {"payer_telegram_id": None, "raw": {}}),
    Place(Purchase, _of(Purchase.user_id), {"reason": None}),
    Place(UserTag, _of(UserTag.row_id), {"tag_id": None}, goes=True),
    Place(
        BotChat, lambda who: BotChat.telegram_id.in_(who.telegram_ids),
        {"telegram_id": None, "state": None, "data": {}}, goes=True,
    ),
    Place(SavedView, _of(SavedView.owner_id), {"name": MARK, "query": ""}, goes=True),
    Place(
        Job, lambda who: doer(Job.impersonator_id, Job.owner_id) == who.user_id, {"ip": None},
        secret=frozenset({"arguments", "owner_id", "holder", "error"}),
    ),
    Place(JobError, _job_errors, {"message": MARK}),
    Place(
        AuthSession, lambda who: or_(AuthSession.user_id == who.user_id, AuthSession.impersonator_id == who.user_id),
        {"user_agent": "", "ip": "", "reason": ""}, goes=True, secret=frozenset({"token_hash"}),
    ),
    Place(SignInPlace, _of(SignInPlace.user_id), {"user_agent": "", "network": ""}, goes=True),
    Place(
        Credential, _of(Credential.user_id), {"name": ""}, goes=True,
        secret=frozenset({"secret", "public_id", "public_key", "data"}),
    ),
    Place(AuthIdentity, _of(AuthIdentity.user_id), {"subject": MARK, "name": ""}, goes=True),
    Place(
        OneTimeToken, _of(OneTimeToken.user_id), {"data": {}}, goes=True, secret=frozenset({"token_hash"}),
    ),
    Place(SignInFlow, _of(SignInFlow.user_id), {}, goes=True, secret=frozenset({"state_hash", "browser", "sealed"})),
    Place(
        Registration,
        lambda who: _written(Registration.email, who),
        {"email": MARK, "first_name": MARK, "last_name": None},
        goes=True,
        secret=frozenset({"token_hash", "password_hash"}),
    ),
    Place(
        ApiToken, _of(ApiToken.user_id), {"name": MARK, "hint": ""}, lambda: {"revoked_at": clock.now()},
        secret=frozenset({"token_hash"}),
    ),
    Place(User, _of(User.id), NOBODY, _forgotten, secret=frozenset({"password_hash", "search_key", "token_version"})),
)  # fmt: skip

# Rows of the books, which stay as they are; the person is shown them all the same.
BOOKS: tuple[Place, ...] = (
    Place(Order, _of(Order.user_id), {}, secret=frozenset({"payload"})),
    Place(
        OrderLine,
        lambda who: OrderLine.order_id.in_(select(Order.id).where(Order.user_id == who.user_id)),
        {},
    ),
)


def named(user_id: int) -> dict[str, Any]:
    """What an erased person is called, in no language."""
    number = f"erased#{user_id}"
    return {"login": number, "login_key": number, "first_name": f"#{user_id}"}


def personal_columns(entity: str) -> Mapping[str, Any]:
    """The personal columns of a table, as its changes in the history have them -> what stands there afterwards."""
    for place in PLACES:
        if place.table == entity:
            plain = {name: MARK if isinstance(value, ColumnElement) else value for name, value in place.put.items()}
            return {**plain, "search_key": ""}
    return {}
