"""Rights are names in the database and in the tokens of others: their names and holders stand here once more."""

import pytest

from backend.core.permissions import (
    ADMIN,
    AUTHOR,
    BOT_SCOPES,
    LABELS,
    MANAGER,
    ROLE_TITLES,
    STUDENT,
    SUPPORT,
    SYSTEM_ROLES,
    TOKEN_ONLY,
    UNDO_RIGHTS,
    WRITE_ACTIONS,
    Permission,
    effective,
    expand_scopes,
    grantable,
)

RIGHTS = (
    "dashboard:read profile:write users:read users:write lessons:read lessons:write courses:read "
    "courses:write promo_codes:read promo_codes:write purchases:read purchases:write purchases:grant "
    "purchases:refund tickets:read tickets:write history:read settings:write tokens:write staff:write "
    "roles:write audit:read operations:read bot"
)
ROLES = {
    "Менеджер": (
        "courses:read dashboard:read history:read lessons:read profile:write promo_codes:read "
        "promo_codes:write purchases:grant purchases:read purchases:refund tickets:read users:read "
        "users:write"
    ),
    "Автор": "courses:read courses:write dashboard:read history:read lessons:read lessons:write profile:write",
    "Поддержка": (
        "courses:read dashboard:read history:read lessons:read profile:write purchases:read purchases:refund "
        "tickets:read tickets:write users:read"
    ),
    "Ученик": "",
}
BOT = "bot courses:read lessons:read purchases:read purchases:write tickets:read tickets:write users:read users:write"
UNDO = {
    "users": "users:write",
    "lessons": "lessons:write",
    "courses": "courses:write",
    "media": "lessons:write",
    "promo_codes": "promo_codes:write",
    "support_tickets": "tickets:write",
    "chats": "tickets:write",
    "saved_views": "profile:write",
}


def test_rights_are_called_as_ever() -> None:
    assert " ".join(Permission) == RIGHTS
    assert list(LABELS) == list(Permission)
    assert set(TOKEN_ONLY) == {"bot", "purchases:write"}
    assert set(WRITE_ACTIONS) == {"write", "refund", "grant", "bot"}
    assert UNDO_RIGHTS == UNDO


def test_roles_hold_what_they_hold() -> None:
    assert list(ROLE_TITLES) == [ADMIN, MANAGER, AUTHOR, SUPPORT, STUDENT]
    assert {role: " ".join(sorted(rights)) for role, rights in SYSTEM_ROLES.items() if role != ADMIN} == ROLES
    assert set(SYSTEM_ROLES[ADMIN]) == set(RIGHTS.split()) - TOKEN_ONLY
    assert list(ROLE_TITLES) == ["Админ", *ROLES]


def test_the_bot_stands_for_what_it_needs() -> None:
    assert " ".join(sorted(BOT_SCOPES)) == BOT
    assert expand_scopes(["bot"]) == set(BOT.split())
    assert expand_scopes(["courses:write"]) == {"courses:write"}
    with pytest.raises(ValueError, match=r"^nothing:at_all$"):
        expand_scopes(["bot", "nothing:at_all", "neither"])


def test_a_token_does_no_more_than_its_owner_may_give() -> None:
    assert grantable(["users:read"]) == {"users:read"}
    assert grantable(["settings:write", "tokens:write"]) == {"settings:write", "tokens:write"}
    runs_all = {"settings:write"} | (BOT_SCOPES - TOKEN_ONLY)
    assert grantable(runs_all) == runs_all | BOT_SCOPES
    for missing in BOT_SCOPES - TOKEN_ONLY:
        assert grantable(runs_all - {missing}) == runs_all - {missing}
    assert effective(["bot", "users:read"], None) == {"bot", "users:read"}
    assert effective(["bot", "users:read"], ["users:read", "lessons:read"]) == {"users:read"}
    assert effective(["bot", "roles:write"], runs_all) == {"bot"}
    assert effective(["bot", "roles:write"], ["settings:write"]) == frozenset()
