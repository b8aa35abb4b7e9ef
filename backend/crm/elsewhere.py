"""Coming in with an account elsewhere, and linking one to one's own."""

from typing import TYPE_CHECKING, Annotated, Any

import structlog
from fastapi import Path, Request
from fastapi.responses import Response

from backend.core import elsewhere, refusals, signin, throttles
from backend.core.auth import client_ip
from backend.core.config import Settings
from backend.core.deps import Caller, Current, DatabaseDep, Routes, SettingsDep, crud, detached, public, require, strong
from backend.core.devices import device_of
from backend.core.elsewhere import CancelledError, Identity, RefusedError, Trip, UnreachableError
from backend.core.errors import ConflictError, NotFoundError, TooManyRequestsError
from backend.core.forms import Form, form_of
from backend.core.hosts import network
from backend.core.i18n import _
from backend.core.permissions import Permission
from backend.core.signin import Entered
from backend.core.templating import flash, local_path, render, see_other, url_of
from backend.database.crud.identities import FlowCRUD, IdentityCRUD
from backend.database.crud.presence import hold_signed_in
from backend.database.crud.throttle import Limit
from backend.database.crud.users import UserCRUD
from backend.database.models.users import User
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.doors import LeaveForm
from backend.database.session import Database

if TYPE_CHECKING:
    from backend.core.oauth import Elsewhere

log = structlog.get_logger()
router = Routes(tags=["sign-in"])
accounts = Routes(prefix="/dashboard/settings/accounts", dependencies=[require(Permission.PROFILE_WRITE)])
Identities = Annotated[IdentityCRUD, crud(IdentityCRUD)]
Users = Annotated[UserCRUD, crud(UserCRUD)]
TRIPS, TRIPS_SECONDS = 60, 3600  # of one network
LONGEST = 2000


def _known(request: Request, key: str) -> "Elsewhere":
    """Raises NotFoundError for a service that the school has not configured."""
    state = request.app.state
    if not hasattr(state, "elsewhere"):
        state.elsewhere = _all(state.settings)
    known: dict[str, Elsewhere] = state.elsewhere
    if key not in known:
        raise NotFoundError
    return known[key]


def _all(settings: Settings) -> "dict[str, Elsewhere]":
    offered = elsewhere.providers(settings)
    if not offered:
        return {}
    from backend.core.oauth import Elsewhere  # noqa: PLC0415 - 15 MB that few schools need

    return {key: Elsewhere(one) for key, one in offered.items()}


@router.post("/login/with/{provider}", dependencies=[public, detached], name="auth:elsewhere")
def leave(
    request: Request,
    provider: str,
    form: Annotated[Form[LeaveForm], form_of(LeaveForm)],
    database: DatabaseDep,
    settings: SettingsDep,
) -> Response:
    """To the other service. A page that goes on by itself: the policy of pages lets no form lead to another site."""
    path = local_path(form.data.next if form.data else "")
    return _leave(request, _known(request, provider), database, f"{settings.url}/login/from/{provider}", None, path)


def _leave(
    request: Request, there: "Elsewhere", database: Database, redirect_uri: str, user_id: int | None, path: str
) -> Response:
    device = device_of(request, request.app.state.settings)
    who = f"elsewhere-device:{device.name}" if device.people else f"elsewhere-ip:{network(client_ip(request))}"
    limit = Limit(who, TRIPS, TRIPS_SECONDS)
    if wait := throttles.count(database, [limit]):
        raise TooManyRequestsError(retry_after=wait)
    trip, key = Trip.to(redirect_uri), there.provider.key
    carried = {"nonce": trip.nonce, "verifier": trip.verifier, "next": path, "redirect_uri": redirect_uri}
    browser: str = request.state.csrf_key
    try:
        there.address(trip, "")  # asks the service about itself, before anything is written
        state = database.run(lambda session: FlowCRUD(session).begin(key, browser, user_id, carried))
        url = there.address(trip, state)
    except UnreachableError as error:
        return _unreachable(request, there, error)
    response = render(request, "auth/leave.html", service=there.provider.name, url=url)
    response.headers["Refresh"] = f"0; url={url}"
    return response


@router.get("/login/from/{provider}", dependencies=[public, detached], name="auth:back")
def back(request: Request, provider: str, database: DatabaseDep, caller: Caller) -> Response:
    there = _known(request, provider)
    try:
        user_id, path, identity = _come_back(request, there, database, caller.me.user_id)
    except RefusedError as error:
        if not isinstance(error, CancelledError):
            refusals.tell_identity(database, caller.actor, provider, str(error))
        return _page(request, there, "cancelled" if isinstance(error, CancelledError) else "refused", 400)
    except UnreachableError as error:
        return _unreachable(request, there, error)
    if user_id is not None:
        return _linked(request, there, database, identity, caller)
    return _entered(request, there, database, identity, path, caller)


def _come_back(
    request: Request, there: "Elsewhere", database: Database, me: int | None
) -> tuple[int | None, str, Identity]:
    """(who links an account or None, where to go on, who came back). Raises RefusedError, UnreachableError."""
    given = {name: value[:LONGEST] for name, value in request.query_params.items()}
    browser: str = request.state.csrf_key
    state, key = given.get("state", ""), there.provider.key
    try:
        user_id, carried = database.run(lambda session: FlowCRUD(session).finish(state, key, browser, me))
    except NotFoundError:
        raise RefusedError("no such trip of this browser") from None
    there.check_issuer(given.get("iss"))
    if "code" not in given:
        raise CancelledError("no code")
    trip = Trip(carried["redirect_uri"], carried["nonce"], carried["verifier"])
    return user_id, carried["next"], there.identity(trip, given["code"])


def _entered(
    request: Request, there: "Elsewhere", database: Database, identity: Identity, path: str, caller: Current
) -> Response:
    def come_in(session: Any) -> Entered | None:
        user = _person(IdentityCRUD(session), there, identity)
        return signin.come_in(session, user, request, method=there.provider.key) if user else None

    entered = database.run(come_in, caller.actor)
    if entered is None:
        refusals.tell_identity(database, caller.actor, there.provider.key, "unknown here")
        return _page(request, there, "unknown", 403, shown=identity.name)
    return signin.let_in(request, entered, path)


def _person(identities: IdentityCRUD, there: "Elsewhere", identity: Identity) -> User | None:
    """Whose account this is: who linked it, else whom Telegram vouches for."""
    known = identity.issuer, identity.subject
    user = identities.person(*known)
    if user is None and identity.telegram_id is not None:
        return identities.person_of_telegram(identity.telegram_id, there.provider.key, *known, identity.name)
    return user


def _linked(request: Request, there: "Elsewhere", database: Database, identity: Identity, caller: Current) -> Response:
    about = there.provider.key, identity.issuer, identity.subject, identity.name

    def link_it(session: Any) -> None:
        """The way there and back takes its time, in which the session may have ended."""
        IdentityCRUD(session).link(hold_signed_in(session, caller.me).id, *about)

    try:
        database.run(link_it, caller.actor)
    except ConflictError as error:
        flash(request, error.message, kind="bad")
    else:
        flash(request, _("You can now sign in with %s") % there.provider.name)
    return see_other(request, "crm:accounts:index")


def _unreachable(request: Request, there: "Elsewhere", error: UnreachableError) -> Response:
    log.error("elsewhere.unreachable", provider=there.provider.key, why=str(error))
    return _page(request, there, "unreachable", 502)


def _page(request: Request, there: "Elsewhere", why: str, status: int, shown: str = "") -> Response:
    return render(request, "auth/elsewhere.html", status, service=there.provider.name, why=why, shown=shown)


@accounts.get("/", name="crm:accounts:index")
def index(request: Request, caller: Caller, identities: Identities, settings: SettingsDep) -> Response:
    linked = identities.of_user(caller.me.user_id or 0)
    offered = elsewhere.providers(settings)
    return render(request, "settings/accounts.html", linked=linked, offered=offered)


@accounts.post("/{provider}/link", name="crm:accounts:link", dependencies=[detached, strong])
def link(request: Request, provider: str, database: DatabaseDep, settings: SettingsDep, caller: Caller) -> Response:
    redirect_uri = f"{settings.url}/login/from/{provider}"
    path = url_of(request, "crm:accounts:index")
    return _leave(request, _known(request, provider), database, redirect_uri, caller.me.user_id, path)


@accounts.post("/{identity_id}/unlink", name="crm:accounts:unlink", dependencies=[strong])
def unlink(
    request: Request,
    caller: Caller,
    identities: Identities,
    users: Users,
    identity_id: Annotated[int, Path(ge=1, le=MAX_ID)],
) -> Response:
    services = elsewhere.providers(caller.settings)
    gone = identities.unlink(users.get_by_id(caller.me.user_id or 0), identity_id, services)
    flash(request, _("%s unlinked") % (gone.name or gone.provider))
    return see_other(request, "crm:accounts:index")
