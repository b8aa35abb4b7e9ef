"""The page that asks a person once more who they are, wherever it has to stand."""

import json
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from starlette.datastructures import FormData

from backend.core import csrf, passkeys
from backend.core.forms import Form
from backend.core.links import encode, local_path
from backend.core.templating import principal, render
from backend.core.ways import ways_of

MOST_CARRIED = 60_000  # characters; a longer form is typed again
# A form with one of these is typed again: they stand in no other page.
SECRET = frozenset({"password", "current", "repeat", "code", "draft", "answer", "ticket"})


def confirm_page(request: Request, form: Form[Any], status: int = 200) -> Response:
    """Offers what this person has. `strong` in the form: of whoever has a second factor a password is not enough."""
    state, me = request.app.state, principal(request)
    ways = getattr(request.state, "ways", None) or ways_of(state.database, state.settings, me)
    site, factors = passkeys.site_of(request), ways.factors
    strong = bool(form.value("strong")) and factors.present
    return render(
        request,
        "auth/prove.html",
        status,
        form=form,
        next=local_path(form.value("next")),
        strong=strong,
        password=ways.password and not strong,
        app=factors.app is not None,
        codes=factors.codes_left,
        passkey=passkeys.ask(request, site, factors.passkeys) if site and factors.passkeys else None,
        services=ways.services,
    )


def ask_first(request: Request, *, strong: bool) -> Response:
    """Instead of an answer that needs a recent proof: a page that asks for one and then goes on from here."""
    if request.headers.get("HX-Request") == "true":
        where = _path_of(request.headers.get("HX-Current-URL", ""))
    elif request.method == "GET":
        where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    else:
        where = _path_of(request.headers.get("referer", ""))
    carried = carry(request) if request.method == "POST" else ""
    asked = {"strong": "true"} if strong else {}
    if carried:
        return _in_place(request, Form(values={"next": where, "carried": carried, **asked}))
    address = f"/dashboard/confirm/?{encode({'next': where, **asked}.items())}"
    if request.headers.get("HX-Request") == "true":
        return Response(status_code=403, headers={"HX-Redirect": address})
    return Response(status_code=303, headers={"Location": address})


def _in_place(request: Request, form: Form[Any]) -> Response:
    """The question with the form inside it; htmx puts it in the place of the page's content."""
    response = confirm_page(request, form, 403)
    if request.headers.get("HX-Request") == "true":
        response.headers["HX-Retarget"], response.headers["HX-Reswap"] = "#main", "innerHTML"
        response.headers["HX-Reselect"] = "#confirm"
    return response


def carry(request: Request) -> str:
    """The form of this request as JSON, "" when it has none that may be carried."""
    sent: FormData | None = getattr(request, "_form", None)
    if sent is None:
        return ""
    pairs = sent.multi_items()
    if not all(isinstance(value, str) for _name, value in pairs):
        return ""  # files stay where they are
    if any(name in SECRET for name, _value in pairs):
        return ""
    fields = [(name, value) for name, value in pairs if name != csrf.FIELD]
    action = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    text = json.dumps({"action": action, "fields": fields}, ensure_ascii=False)
    return text if len(text) <= MOST_CARRIED else ""


def _path_of(url: str) -> str:
    """Of one of our own pages, by a header that names it whole."""
    return local_path("/" + url.split("://", 1)[-1].partition("/")[2])
