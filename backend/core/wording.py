"""What the columns, records and verbs of the history are called."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol

from backend.core.events import ALERT_WAYS, ALERTS
from backend.core.i18n import N_, _, ngettext
from backend.core.permissions import LABELS as RIGHTS
from backend.core.permissions import ROLE_TITLES
from backend.core.text import datetime_text, money_text, number

SHOWN = 200  # characters of a changed value

ENTITIES: dict[str, str] = {
    "users": N_("person"),
    "roles": N_("role"),
    "lessons": N_("lesson"),
    "courses": N_("course"),
    "course_lessons": N_("course lesson"),
    "user_tags": N_("tag"),
    "lesson_tags": N_("tag"),
    "media": N_("file"),
    "promo_codes": N_("promo code"),
    "orders": N_("order"),
    "payments": N_("payment"),
    "refunds": N_("refund"),
    "purchases": N_("purchase"),
    "support_tickets": N_("ticket"),
    "chats": N_("thread"),
    "messages": N_("message"),
    "dispatches": N_("outgoing message"),
    "api_tokens": N_("API access token"),
    "settings": N_("setting"),
    "saved_views": N_("saved view"),
    "view_marks": N_("saved view position"),
}

COLUMNS: dict[str, str] = {
    "id": N_("Number"),
    "title": N_("Title"),
    "description": N_("Description"),
    "price": N_("Price"),
    "is_active": N_("Is active"),
    "is_free": N_("Free"),
    "text_content": N_("Text"),
    "video_path": N_("Video"),
    "media_id": N_("Video file"),
    "total_price": N_("Full price"),
    "discount_price": N_("Discounted price"),
    "lesson_id": N_("Lesson"),
    "course_id": N_("Course"),
    "position": N_("Position"),
    "code": N_("Code"),
    "discount_percent": N_("Discount, %%"),
    "discount_amount": N_("Discount, Stars"),
    "max_uses": N_("Max uses"),
    "current_uses": N_("Uses"),
    "expires_at": N_("Valid until"),
    "first_name": N_("First name"),
    "last_name": N_("Last name"),
    "username": N_("Telegram name"),
    "telegram_id": N_("Telegram ID"),
    "email": N_("Email"),
    "login": N_("Login"),
    "language_code": N_("Telegram language"),
    "source": N_("Source"),
    "ui_language": N_("Preferred language"),
    "single_keys": N_("Single-key shortcuts"),
    "terms_accepted_at": N_("Terms accepted"),
    "blocked_bot_at": N_("Bot blocked"),
    "erased_at": N_("Data erased"),
    "role_id": N_("Role"),
    "status": N_("Status"),
    "subject": N_("Subject"),
    "message": N_("Message"),
    "admin_response": N_("Reply"),
    "assignee_id": N_("Assignee"),
    "waiting_since": N_("Waiting since"),
    "first_reply_at": N_("First reply"),
    "body": N_("Message text"),
    "amount": N_("Amount"),
    "reason": N_("Reason"),
    "revoked_at": N_("Access closed"),
    "paid_at": N_("Paid"),
    "payment_id": N_("Payment"),
    "total": N_("Total"),
    "discount": N_("Discount"),
    "promo_id": N_("Promo code"),
    "done_at": N_("Refunded"),
    "error": N_("Error"),
    "name": N_("Name"),
    "scopes": N_("Permissions"),
    "permissions": N_("Permissions"),
    "percent": N_("Percent"),
    "tag": N_("Tag"),
    "tag_id": N_("Tag"),
    "query": N_("Filters"),
    "list_name": N_("List"),
    "is_shared": N_("Shared"),
    "is_pinned": N_("In the menu"),
    "is_default": N_("Default view"),
    "alerts": N_("Alerts"),
    "alert_way": N_("Alert delivery"),
}

# Stored words that are no text of a person.
STATES: dict[str, str] = {
    "awaiting_payment": N_("awaiting payment"),
    "paid": N_("paid"),
    "expired": N_("expired"),
    "cancelled": N_("cancelled"),
    "refunded": N_("refunded"),
    "open": N_("open"),
    "in_progress": N_("in progress"),
    "closed": N_("closed"),
    "pending": N_("pending"),
    "completed": N_("completed"),
    "failed": N_("failed"),
    "settled": N_("received"),
    "unmatched": N_("unmatched"),
    "requested": N_("refund pending"),
    "done": N_("refunded"),
}
CHOICES: dict[str, Mapping[Any, str]] = {"status": STATES, "alert_way": ALERT_WAYS, "right": RIGHTS}
MOMENTS = frozenset({"waiting_since"})
STARS = frozenset({"price", "total_price", "discount_price", "discount_amount", "amount", "total", "discount"})

DOORS: dict[str, str] = {
    "web": N_("in the dashboard"),
    "api": N_("over the API"),
    "bot": N_("in the bot"),
    "cli": N_("from the command line"),
    "job": N_("automatically"),
    "demo": N_("demo data"),
}

OPS: dict[str, tuple[str, str]] = {
    "create": (N_("created"), "plus"),
    "update": (N_("changed"), "pencil"),
    "delete": (N_("deleted"), "trash"),
}

LABELS: dict[str, str] = {
    "undo": N_("undo"),
    "redo": N_("redo"),
    "password": N_("password changed"),
    "sign_out": N_("other devices signed out"),
    "invite": N_("invitation"),
    "role": N_("role changed"),
    "sign_in_link": N_("sign-in link created"),
    "remove_factors": N_("second factor removed"),
    "authn_factor_added": N_("second factor added"),
    "authn_factor_removed": N_("second factor removed"),
    "create_token": N_("shown once"),
    "revoke_token": N_("revoked"),
    "erase": N_("personal data erased"),
    "refund": N_("refund"),
    "reply": N_("reply"),
    "grant": N_("access granted"),
    "sale": N_("sale"),
    "order": N_("order placed"),
    "payment": N_("payment received"),
    "free": N_("claimed for free"),
    "expire": N_("time ran out"),
    "chargeback": N_("charged back by Telegram"),
    "revoke_grant": N_("access revoked"),
    "import": N_("file import"),
    "open_access": N_("access opened"),
    "close_access": N_("access closed"),
    "put_on_sale": N_("put on sale"),
    "hide": N_("hidden"),
    "change_price": N_("price changed by percent"),
    "add_to_course": N_("added to a course"),
    "switch_on": N_("turned on"),
    "switch_off": N_("turned off"),
    "set_end": N_("end date set"),
    "close": N_("ticket closed"),
    "open_again": N_("ticket reopened"),
    "assign": N_("ticket assigned"),
    "unassign": N_("ticket unassigned"),
    "tag": N_("tag added"),
    "untag": N_("tag removed"),
    "delete": N_("deletion"),
}
TELLING = frozenset({"tag", "untag"})  # labels that leave nothing to say


# What a job was told to do.
VERBS: dict[str, str] = {
    "open_access": N_("Open access"),
    "close_access": N_("Close access"),
    "put_on_sale": N_("Put on sale"),
    "hide": N_("Hide"),
    "change_price": N_("Change the price by percent"),
    "add_to_course": N_("Add to a course"),
    "switch_on": N_("Turn on"),
    "switch_off": N_("Turn off"),
    "set_end": N_("Set end date"),
    "close": N_("Close"),
    "open_again": N_("Reopen"),
    "assign": N_("Assign to"),
    "unassign": N_("Unassign"),
    "tag": N_("Add a tag"),
    "untag": N_("Remove a tag"),
    "delete": N_("Delete"),
    "undo": N_("Undo"),
    "redo": N_("Redo"),
    "import": N_("Import"),
}


def verb(name: str) -> str:
    return _(VERBS[name]) if name in VERBS else name


def rows(records: str, n: int) -> str:
    """So many rows of a table, by what they are."""
    shown = {"rows": number(n)}
    if records == "users":
        return ngettext("%(rows)s student", "%(rows)s students", n) % shown
    if records == "lessons":
        return ngettext("%(rows)s lesson", "%(rows)s lessons", n) % shown
    if records == "courses":
        return ngettext("%(rows)s course", "%(rows)s courses", n) % shown
    if records == "promo_codes":
        return ngettext("%(rows)s promo code", "%(rows)s promo codes", n) % shown
    if records == "support_tickets":
        return ngettext("%(rows)s ticket", "%(rows)s tickets", n) % shown
    return ngettext("%(rows)s change", "%(rows)s changes", n) % shown


def entity(name: str) -> str:
    return _(ENTITIES[name]) if name in ENTITIES else name


def column(name: str) -> str:
    return _(COLUMNS[name]).replace("%%", "%") if name in COLUMNS else name


def door(name: str) -> str:
    return _(DOORS[name]) if name in DOORS else name


def op(name: str) -> str:
    return _(OPS[name][0]) if name in OPS else name


class Happened(Protocol):
    op: str
    entity: str


def happened(changes: Iterable[Happened], why: str = "") -> str:
    """What was done to which kinds of records, and the label of it: "Created ticket, message; changed order, sale"."""
    if why in TELLING:
        return _capital(label(why))
    told: dict[str, dict[str, None]] = {}
    for change in changes:
        told.setdefault(op(change.op), {})[entity(change.entity)] = None
    words = "; ".join(f"{done} {', '.join(things)}" for done, things in told.items())
    # An order that was placed is told once: in some languages the reason is the very word of the record.
    new = why and not any(label(why) in things for things in told.values())
    return _capital(f"{words}, {label(why)}" if new else words)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def label(name: str) -> str:
    return _(LABELS[name]) if name in LABELS else name


def borrowed(looker: str, person: str) -> str:
    """Two names: who was at the keyboard, and whose account it was."""
    return _("%(who)s as %(person)s") % {"who": looker, "person": person}


def right(name: str) -> str:
    return _(RIGHTS[name]) if name in RIGHTS else name  # type: ignore[index] # a StrEnum is its text


def role(name: str) -> str:
    """A role as a person reads it; the school's own roles are called what they are called."""
    return _(ROLE_TITLES[name]) if name in ROLE_TITLES else name


def value(raw: object, name: str = "") -> str:
    """A stored value of the column `name` as a person reads it; long text is cut."""
    if raw is None or raw in ("", []):
        return _("empty")
    if isinstance(raw, bool):
        return _("yes") if raw else _("no")
    if isinstance(raw, datetime) or name.endswith("_at") or name in MOMENTS:
        return _moment(raw)
    if name in STARS and isinstance(raw, int):
        return money_text(raw)
    if isinstance(raw, str) and raw in (known := CHOICES.get(name, {})):
        return _(known[raw])
    text = ", ".join(_listed(str(item)) for item in raw) if isinstance(raw, list) else str(raw)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _listed(name: str) -> str:
    """A member of a stored list: a right, or what alerts tell of."""
    return _(ALERTS[name]) if name in ALERTS else right(name)


def _moment(raw: object) -> str:
    try:
        return datetime_text(raw if isinstance(raw, datetime) else datetime.fromisoformat(str(raw)))
    except ValueError:  # written by another version
        return str(raw)[:SHOWN]
