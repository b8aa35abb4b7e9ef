"""Rights. A role and an API token are sets of them; routes name one, never a role."""

from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache

from backend.core.i18n import N_


class Permission(StrEnum):
    DASHBOARD_READ = "dashboard:read"
    PROFILE_WRITE = "profile:write"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    LESSONS_READ = "lessons:read"
    LESSONS_WRITE = "lessons:write"
    COURSES_READ = "courses:read"
    COURSES_WRITE = "courses:write"
    PROMO_CODES_READ = "promo_codes:read"
    PROMO_CODES_WRITE = "promo_codes:write"
    PURCHASES_READ = "purchases:read"
    PURCHASES_WRITE = "purchases:write"
    PURCHASES_GRANT = "purchases:grant"
    PURCHASES_REFUND = "purchases:refund"
    TICKETS_READ = "tickets:read"
    TICKETS_WRITE = "tickets:write"
    HISTORY_READ = "history:read"
    SETTINGS_WRITE = "settings:write"
    TOKENS_WRITE = "tokens:write"
    STAFF_WRITE = "staff:write"
    ROLES_WRITE = "roles:write"
    AUDIT_READ = "audit:read"
    OPERATIONS_READ = "operations:read"
    BOT = "bot"


P = Permission

LABELS: dict[Permission, str] = {
    P.DASHBOARD_READ: N_("Open the dashboard"),
    P.PROFILE_WRITE: N_("Edit own profile"),
    P.USERS_READ: N_("View people"),
    P.USERS_WRITE: N_("Edit people"),
    P.LESSONS_READ: N_("View lessons"),
    P.LESSONS_WRITE: N_("Edit lessons"),
    P.COURSES_READ: N_("View courses"),
    P.COURSES_WRITE: N_("Edit courses"),
    P.PROMO_CODES_READ: N_("View promo codes"),
    P.PROMO_CODES_WRITE: N_("Edit promo codes"),
    P.PURCHASES_READ: N_("View sales"),
    P.PURCHASES_WRITE: N_("Record payments"),
    P.PURCHASES_GRANT: N_("Grant access without payment"),
    P.PURCHASES_REFUND: N_("Refund Stars"),
    P.TICKETS_READ: N_("View tickets"),
    P.TICKETS_WRITE: N_("Reply to tickets"),
    P.HISTORY_READ: N_("View change history"),
    P.SETTINGS_WRITE: N_("Edit school settings"),
    P.TOKENS_WRITE: N_("Create and revoke API tokens"),
    P.STAFF_WRITE: N_("Invite, edit and turn off staff"),
    P.ROLES_WRITE: N_("Edit role permissions"),
    P.AUDIT_READ: N_("View security events"),
    P.OPERATIONS_READ: N_("View metrics, health, the outbox and all jobs"),
    P.BOT: N_("Act as the bot"),
}

# Rights that only a token may hold: they stand for Telegram's word, not for a person's decision.
TOKEN_ONLY = frozenset({P.BOT, P.PURCHASES_WRITE})

# Rights over what others may do: whoever holds one of them runs the school, whatever their role is called.
DEAR = frozenset({P.STAFF_WRITE, P.ROLES_WRITE, P.TOKENS_WRITE, P.SETTINGS_WRITE})

# Verbs that change something; a route that is not GET needs one of them.
WRITE_ACTIONS = frozenset({"write", "refund", "grant", "bot"})

BOT_SCOPES = frozenset(
    {P.BOT, P.USERS_READ, P.USERS_WRITE, P.LESSONS_READ, P.COURSES_READ}
    | {P.PURCHASES_READ, P.PURCHASES_WRITE, P.TICKETS_READ, P.TICKETS_WRITE}
)

# Which right an undo needs, by the table of the record.
UNDO_RIGHTS: dict[str, Permission] = {
    "users": P.USERS_WRITE,
    "lessons": P.LESSONS_WRITE,
    "courses": P.COURSES_WRITE,
    "media": P.LESSONS_WRITE,
    "promo_codes": P.PROMO_CODES_WRITE,
    "support_tickets": P.TICKETS_WRITE,
    "chats": P.TICKETS_WRITE,
    "saved_views": P.PROFILE_WRITE,  # one's own
}

# Whoever changes records meets them: in forms, dry runs and conflicts. A role that holds the first holds the second.
VIEWS: dict[Permission, Permission] = {
    P.USERS_WRITE: P.USERS_READ,
    P.LESSONS_WRITE: P.LESSONS_READ,
    P.COURSES_WRITE: P.COURSES_READ,
    P.PROMO_CODES_WRITE: P.PROMO_CODES_READ,
    P.PURCHASES_GRANT: P.PURCHASES_READ,
    P.PURCHASES_REFUND: P.PURCHASES_READ,
    P.TICKETS_WRITE: P.TICKETS_READ,
}

ADMIN, MANAGER, AUTHOR, SUPPORT, STUDENT = "Админ", "Менеджер", "Автор", "Поддержка", "Ученик"

_STAFF = frozenset({P.DASHBOARD_READ, P.PROFILE_WRITE})

SYSTEM_ROLES: dict[str, frozenset[Permission]] = {
    ADMIN: frozenset(Permission) - TOKEN_ONLY,
    MANAGER: _STAFF
    | {P.USERS_READ, P.USERS_WRITE, P.LESSONS_READ, P.COURSES_READ}
    | {P.PROMO_CODES_READ, P.PROMO_CODES_WRITE, P.PURCHASES_READ, P.PURCHASES_GRANT}
    | {P.PURCHASES_REFUND, P.TICKETS_READ, P.HISTORY_READ},
    AUTHOR: _STAFF | {P.LESSONS_READ, P.LESSONS_WRITE, P.COURSES_READ, P.COURSES_WRITE, P.HISTORY_READ},
    SUPPORT: _STAFF
    | {P.USERS_READ, P.LESSONS_READ, P.COURSES_READ, P.PURCHASES_READ, P.PURCHASES_REFUND}
    | {P.TICKETS_READ, P.TICKETS_WRITE, P.HISTORY_READ},
    STUDENT: frozenset(),
}

ROLE_TITLES: dict[str, str] = {
    ADMIN: N_("Admin"),
    MANAGER: N_("Manager"),
    AUTHOR: N_("Author"),
    SUPPORT: N_("Support"),
    STUDENT: N_("Student"),
}


def is_administrative(rights: Iterable[str]) -> bool:
    """Of a role: whether its people are administrators, for second factors, alerts and `doctor`."""
    return not DEAR.isdisjoint(rights)


def with_views(rights: Iterable[str]) -> frozenset[str]:
    """Of a role: rights to change, with those to see what they change; and whoever may do anything at all comes in, and
    can prove who they are when they are asked to.
    """
    own = frozenset(rights)
    views = {view for change, view in VIEWS.items() if change in own}
    return own | {right.value for right in (views | _STAFF if own else ())}


def expand_scopes(scopes: list[str]) -> frozenset[str]:
    """Scopes as a person names them, with `bot` standing for all that the bot needs.

    Raises ValueError that names the first unknown scope.
    """
    known = {permission.value for permission in Permission}
    for scope in scopes:
        if scope not in known:
            raise ValueError(scope)
    bundle = BOT_SCOPES if P.BOT.value in scopes else frozenset()
    return frozenset(scopes) | {permission.value for permission in bundle}


def grantable(own: Iterable[str]) -> frozenset[str]:
    """What a person may give to a token: their own rights, and the bot's bundle if they run the school's settings and
    hold all of it that a person can hold.
    """
    rights = frozenset(own)
    return rights | BOT_SCOPES if rights >= {P.SETTINGS_WRITE} | (BOT_SCOPES - TOKEN_ONLY) else rights


def held(rights: Iterable[str]) -> frozenset[str]:
    """A role's rights as one object for all requests: what pages keep by them is found again by looking at it once."""
    return _held(tuple(rights))


@lru_cache(maxsize=1000)
def _held(rights: tuple[str, ...]) -> frozenset[str]:
    return frozenset(rights)


def effective(scopes: Iterable[str], owner: Iterable[str] | None) -> frozenset[str]:
    """What a token may do now: never more than its owner may still give. `owner=None` is the school itself."""
    return held(scopes) if owner is None else _effective(held(scopes), held(owner))


@lru_cache(maxsize=1000)
def _effective(scopes: frozenset[str], owner: frozenset[str]) -> frozenset[str]:
    return scopes & grantable(owner)
