"""Who may do what: every route with the roles that its policy lets in, asked of the policy itself.

What the page shows and what a request meets is the same code (`Policy.admit`), so they cannot differ.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from backend.core import clock, wording
from backend.core.context import Principal
from backend.core.deps import UnitRoute
from backend.core.errors import AppError
from backend.core.i18n import N_, _
from backend.core.permissions import WRITE_ACTIONS
from backend.core.units import Policy
from backend.database.models.users import Role

# The beginning of an address -> what it is called. The longest one that fits counts.
AREAS: dict[str, str] = {
    "/dashboard": N_("Overview"),
    "/dashboard/search": N_("Search"),
    "/dashboard/tickets": N_("Tickets"),
    "/dashboard/users": N_("Students"),
    "/dashboard/lessons": N_("Lessons"),
    "/dashboard/courses": N_("Courses"),
    "/dashboard/media": N_("Files"),
    "/dashboard/promo-codes": N_("Promo codes"),
    "/dashboard/sales": N_("Sales"),
    "/dashboard/views": N_("Saved views"),
    "/dashboard/jobs": N_("Jobs"),
    "/dashboard/history": N_("History"),
    "/dashboard/outbox": N_("Outbox"),
    "/dashboard/settings": N_("Settings"),
    "/dashboard/settings/staff": N_("Staff"),
    "/dashboard/settings/roles": N_("Roles"),
    "/dashboard/settings/audit": N_("Security events"),
    "/api": N_("API"),
    "": N_("Sign-in"),
}


@dataclass(frozen=True)
class Line:
    """One route: `who` says role by role, in the order of the roles, whether it opens.

    `reads`: it shows something; a form that only whoever may send it can open belongs to the writing.
    """

    method: str
    path: str
    needs: str
    reads: bool
    who: tuple[bool, ...]


@dataclass(frozen=True)
class Area:
    key: str  # for the address within the page
    title: str
    lines: Sequence[Line]

    def summary(self, at: int) -> str:
        """What the role at this place may do here; "" for nothing."""
        return _summary([line for line in self.lines if line.reads], [x for x in self.lines if not x.reads], at)


def opens(policy: Policy, rights: frozenset[str]) -> bool:
    try:
        policy.admit(Principal(kind="session", permissions=rights, confirmed_at=clock.now()))
    except AppError:
        return False
    return True


def areas(app: FastAPI, roles: Sequence[Role]) -> list[Area]:
    """Every route of the app under its area, in the order of AREAS."""
    rights = [frozenset(role.permissions) for role in roles]
    found: dict[str, dict[tuple[str, str], Line]] = {key: {} for key in AREAS}
    for route in _routes(app):
        for method in sorted(route.methods or ()):
            path = route.path.rstrip("/") or "/"
            who = tuple(opens(route.policy, held) for held in rights)
            reads = method == "GET" and not _asks_to_write(route.policy)
            line = Line(method, path, needs(route.policy), reads, who)
            found[_area(path)].setdefault((method, path), line)
    return [Area(_key(key), _(AREAS[key]), list(lines.values())) for key, lines in found.items() if lines]


def needs(policy: Policy) -> str:
    """A policy in words."""
    if policy.public:
        return _("open to everyone")
    told = [_(" or ").join(wording.right(right) for right in sorted(group)) for group in policy.groups]
    told += [_("anyone who is signed in")] if policy.signed_in else []
    told += [_("recent identity confirmation")] if policy.recent and not policy.strong else []
    told += [_("recent second factor confirmation, if one is set up")] if policy.strong else []
    return "; ".join(told)


def _asks_to_write(policy: Policy) -> bool:
    return any(right.partition(":")[2] in WRITE_ACTIONS for group in policy.groups for right in group)


def _routes(app: FastAPI) -> Iterator[UnitRoute]:
    return (route for route in app.router.routes if isinstance(route, UnitRoute))


def _area(path: str) -> str:
    fitting = [key for key in AREAS if path == key or path.startswith(f"{key}/")]
    return max(fitting, key=len)


def _key(beginning: str) -> str:
    return beginning.removeprefix("/dashboard").strip("/").replace("/", "-") or ("overview" if beginning else "door")


def _summary(reads: Sequence[Any], writes: Sequence[Any], at: int) -> str:
    seen, changed = sum(line.who[at] for line in reads), sum(line.who[at] for line in writes)
    if seen == len(reads) and changed == len(writes):
        return _("everything")
    if changed:
        return _("sees and changes some") if seen else _("changes some")
    if seen:
        return _("sees all") if seen == len(reads) else _("sees some")
    return ""
