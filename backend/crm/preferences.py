"""What a person prefers: language, theme, single keys. Language and theme work signed out too, by a cookie."""

from typing import Annotated

from fastapi.responses import RedirectResponse, Response

from backend.core import auth
from backend.core.deps import Caller, Routes, crud, public, require
from backend.core.forms import Form, form_of
from backend.core.links import local_path
from backend.core.permissions import Permission
from backend.database.crud.users import UserCRUD
from backend.database.schemas.auth import KeysChoice, LanguageChoice, ThemeChoice

router = Routes(prefix="/dashboard/settings", tags=["settings"])
Users = Annotated[UserCRUD, crud(UserCRUD)]


@router.post("/language", name="crm:settings:language", dependencies=[public])
def language(caller: Caller, users: Users, form: Annotated[Form[LanguageChoice], form_of(LanguageChoice)]) -> Response:
    response = RedirectResponse(local_path(form.value("next"), "/"), 303)
    if form.data is not None:
        _remember(caller, users, "ui_language", form.data.language)
        _keep(response, caller, auth.LANGUAGE_COOKIE, form.data.language)
    return response


@router.post("/theme", name="crm:settings:theme", dependencies=[public])
def theme(caller: Caller, users: Users, form: Annotated[Form[ThemeChoice], form_of(ThemeChoice)]) -> Response:
    response = RedirectResponse(local_path(form.value("next"), "/"), 303)
    if form.data is not None:
        _remember(caller, users, "theme", form.data.theme)
        _keep(response, caller, auth.THEME_COOKIE, form.data.theme)
    return response


@router.post("/keys", name="crm:settings:keys", dependencies=[require(Permission.PROFILE_WRITE)])
def keys(caller: Caller, users: Users, form: Annotated[Form[KeysChoice], form_of(KeysChoice)]) -> Response:
    if form.data is not None:
        _remember(caller, users, "single_keys", form.data.single_keys)
    return RedirectResponse(local_path(form.value("next"), "/dashboard/settings/"), 303)


def _remember(caller: Caller, users: UserCRUD, name: str, value: object) -> None:
    if caller.me.user_id is not None:
        users.assign(users.get_by_id(caller.me.user_id), {name: value})


def _keep(response: Response, caller: Caller, cookie: str, value: str) -> None:
    auth.set_cookie(response, caller.settings, cookie, value, seconds=auth.YEAR_SECONDS)
