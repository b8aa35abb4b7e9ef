"""The people who run the school, and what their roles may do."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, EmailStr, Field

from backend.core.i18n import _
from backend.core.permissions import TOKEN_ONLY, Permission
from backend.database.schemas.auth import Password
from backend.database.schemas.base import Id, Input, ListParams
from backend.database.schemas.users import Name

LastName = Annotated[str | None, Field(max_length=128)]
Email = Annotated[EmailStr | None, Field(max_length=254)]
NewLogin = Annotated[str | None, Field(max_length=64)]


def _for_people(rights: list[Permission]) -> list[Permission]:
    if TOKEN_ONLY & set(rights):
        raise ValueError(_("Only a token can have this permission."))
    return rights


class StaffFilters(ListParams):
    role_id: Id | None = None
    state: Literal["active", "invited", "off"] | None = None
    factor: Literal["yes", "no"] | None = None


class Invitation(Input):
    """`ticket`: of the form it came in, which makes one person however often it is sent."""

    first_name: Name
    last_name: LastName = None
    email: Email = None
    role_id: Id
    ticket: Annotated[str | None, Field(max_length=64, pattern=r"^[A-Za-z0-9_-]+$")] = None


class Acceptance(Input):
    """What an invited person chooses. Without a login they sign in with their e-mail."""

    model_config = ConfigDict(hide_input_in_errors=True)

    login: NewLogin = None
    password: Password
    repeat: Password


class StaffForm(Input):
    first_name: Name
    last_name: LastName = None
    login: NewLogin = None
    email: Email = None
    version: int | None = None


class RoleChoice(Input):
    role_id: Id


class TakeIn(RoleChoice):
    """`version`: of the account as the page showed it."""

    version: int | None = None


class ViewAs(Input):
    """Seeing the school as someone else does: why, and whether anything may be changed on the way."""

    reason: Annotated[str, Field(min_length=1, max_length=200)]
    write: bool = False


class RoleForm(Input):
    """`was`: the rights that the form began with, in one order."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    rights: Annotated[list[Permission], Field(default_factory=list, max_length=100), AfterValidator(_for_people)]
    was: Annotated[str | None, Field(max_length=2000)] = None
