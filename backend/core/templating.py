"""Pages and fragments: one Jinja2 environment, one `render`, toasts that survive a redirect.

    render(request, "lessons/edit.html", lesson=lesson)                  a page or a fragment
    render_part(request, page_name, part_name, 422, form=form)           whichever was asked for
    render_list(request, names, page=page, params=params)                the page or its changing part
    flash(request, _("Lesson saved"), undo=change_set_id(session))       a toast with that answer
    see_other(request, "crm:lessons:detail", lesson_id=lesson.id)        303; HX-Redirect for htmx

A template has: me, csrf_token, lang, theme, request, partial (a fragment was asked for); as
globals, which macros see too: _, ngettext, url_for, route_exists, here, static, icon, url_with,
set_filters, now, navigation; and the filters of core.text. `csrf_token` stands for the reader's own, which is
filled in at the end; `{% kept key %}` draws a part once (core.kept).
In a template's `_("...")` a literal per cent sign is written `%%`.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from itsdangerous import BadSignature, URLSafeTimedSerializer
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, select_autoescape
from jinja2.environment import TemplateModule
from jinja2.runtime import Context, Macro
from markupsafe import Markup
from pydantic import BaseModel

from backend.core import atoms, clock, kept, lately, saved, shortcuts, sidebar, text, wording
from backend.core.compiled import BesideSources
from backend.core.config import Settings
from backend.core.context import ANONYMOUS, Principal
from backend.core.errors import AppError
from backend.core.figures import line_path, nice_top, sparse
from backend.core.hosts import is_loopback
from backend.core.i18n import _, current_language, gettext, ngettext
from backend.core.links import Links, encode, local_path, set_filters, url_with
from backend.core.permissions import UNDO_RIGHTS
from backend.core.static import assets

__all__ = [
    "Toast",
    "flash",
    "local_path",
    "render",
    "render_list",
    "render_part",
    "see_other",
    "wants_fragment",
]

TEMPLATES = Path(__file__).parents[2] / "templates"
FLASH_COOKIE, FLASH_SECONDS = "lyceum_flash", 60
_request: ContextVar[Request] = ContextVar("template_request")
_routes: ContextVar[Links] = ContextVar("template_routes")


@dataclass(frozen=True)
class Toast:
    """A short message; kind: good, info, warn or bad. `undo`: the change set that it takes back.

    `redo`: which is an undo itself.
    """

    text: str
    kind: str = "good"
    undo: int | None = None
    redo: bool = False


def prepare(*, debug: bool) -> None:
    """Compiles every template now, not on a first click; with DEBUG they follow their files."""
    env.auto_reload = debug
    if not debug:
        for name in env.list_templates(extensions=["html"]):
            env.get_template(name)


def wants_fragment(request: Request) -> bool:
    """htmx asks for a part of a page (not for a whole one, as after Back)."""
    return request.headers.get("HX-Request-Type") == "partial"


def render(
    request: Request, name: str, status: int = 200, *, toast: Toast | None = None, **context: Any
) -> HTMLResponse:
    if toast is not None:
        request.state.toast = toast
    partial = wants_fragment(request)
    me = principal(request)
    toasts = _toasts(request, from_cookie=not partial)
    values = {
        "request": request,
        "me": me,
        "csrf_token": kept.TOKEN if me.csrf_token else "",
        "lang": me.language if me.signed_in else current_language.get(),
        "theme": me.theme,
        "partial": partial,
        "toasts": toasts,
        **context,
    }
    tokens = (
        _request.set(request),
        _routes.set(_links(request)),
        current_language.set(values["lang"]),
        text.current_timezone.set(me.timezone),
        kept.around.set(_links(request)),
    )
    try:
        body = env.get_template(name).render(values)
        if partial and toasts:
            body += env.get_template("components/_toasts.html").render(values)
    finally:
        _request.reset(tokens[0])
        _routes.reset(tokens[1])
        current_language.reset(tokens[2])
        text.current_timezone.reset(tokens[3])
        kept.around.reset(tokens[4])
    response = HTMLResponse(kept.with_token(body, me.csrf_token), status, {"Vary": "HX-Request-Type"})
    if not partial:
        lately.remember(request, response, me)
    if not partial and FLASH_COOKIE in request.cookies:
        response.delete_cookie(FLASH_COOKIE)
    return response


def render_part(request: Request, page_name: str, part_name: str, status: int = 200, **context: Any) -> HTMLResponse:
    """The part alone for htmx, the page around it for everyone else."""
    return render(request, part_name if wants_fragment(request) else page_name, status, **context)


def render_list(
    request: Request, names: tuple[str, str], *, page: object, params: BaseModel, **context: Any
) -> HTMLResponse:
    """A list as a page or as its fragment.

    The address bar gets the tidy address: a choice adds a step to go back to, so does the first letter of a
    search, the next ones replace it; scrolling does neither.
    """
    context.setdefault("list_url", request.url.path)
    response = render_part(request, *names, page=page, params=params, **context)
    if wants_fragment(request) and not getattr(params, "cursor", None):
        header = "HX-Replace-Url" if types_on(request) else "HX-Push-Url"
        response.headers[header] = url_with(params, context["list_url"])
    return response


def types_on(request: Request) -> bool:
    """Whether a field of search asks, of an address that holds a search already."""
    known = parse_qs(urlsplit(request.headers.get("HX-Current-URL", "")).query)
    return request.headers.get("HX-Source", "").startswith("input") and "q" in known


def see_other(request: Request, name: str, /, **params: Any) -> Response:
    """On to another page after a successful POST."""
    return go_to(request, _links(request).url(name, **params))


def url_of(request: Request, name: str, /, **params: Any) -> str:
    """The address of a route, outside a template."""
    return _links(request).url(name, **params)


def go_to(request: Request, url: str) -> Response:
    """The same for an address: 303; HX-Redirect where htmx would swap the page into this one."""
    htmx = request.headers.get("HX-Request") == "true"
    response = Response(status_code=204, headers={"HX-Redirect": url}) if htmx else RedirectResponse(url, 303)
    toast: Toast | None = getattr(request.state, "toast", None)
    if toast is not None:
        settings: Settings = request.app.state.settings
        response.set_cookie(
            FLASH_COOKIE,
            str(_signer(settings).dumps(asdict(toast))),
            max_age=FLASH_SECONDS,
            httponly=True,
            samesite="lax",
            secure=settings.https,
        )
    return response


def flash(request: Request, message: str, *, kind: str = "good", undo: int | None = None, redo: bool = False) -> None:
    """One toast with the answer: in the page, beside the fragment, or after the redirect.

    A second call replaces the first, so that a retried transaction does not speak twice.
    """
    request.state.toast = Toast(message[:500], kind, undo, redo)


def principal(request: Request) -> Principal:
    me: Principal = getattr(request.state, "me", ANONYMOUS)
    return me


def _toasts(request: Request, *, from_cookie: bool) -> list[Toast]:
    found = [request.state.toast] if getattr(request.state, "toast", None) else []
    sealed = request.cookies.get(FLASH_COOKIE) if from_cookie else None
    if sealed:
        try:
            values = _signer(request.app.state.settings).loads(sealed, max_age=FLASH_SECONDS)
            found.insert(0, Toast(**values))
        except (BadSignature, TypeError):
            pass  # forged, too old or from another version: no message is the right message
    return found


def _signer(settings: Settings) -> "URLSafeTimedSerializer":
    # itsdangerous signs with the last key of the list and accepts all.
    return URLSafeTimedSerializer(settings.secret_keys[::-1], salt="lyceum.flash")


def _links(request: Request) -> Links:
    state = request.app.state
    if not hasattr(state, "links"):
        state.links = Links(request.app)
    links: Links = state.links
    return links


def url_for(name: str, /, **params: Any) -> str:
    return _routes.get().url(name, **params)


def route_exists(name: str) -> bool:
    return _routes.get().has(name)


def here() -> str:
    """The page that the person is on, for `next` fields: htmx asks for parts at other addresses."""
    request = _request.get()
    current = request.headers.get("HX-Current-URL", "")
    if current and request.headers.get("HX-Request") == "true":
        return local_path("/" + current.split("://", 1)[-1].partition("/")[2])
    path, query = request.scope["path"], request.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else str(path)


def navigation() -> sidebar.Sidebar:
    request = _request.get()
    return sidebar.drawn(request, principal(request), _links(request))


# Which parameters an error means that names no field.
FAULTS: dict[str, frozenset[str]] = {"bad_cursor": frozenset({"cursor"}), "bad_sort": frozenset({"sort"})}


def mended(error: AppError) -> str:
    """This page's address without what is wrong with it, all else kept; "" when the fault lies elsewhere."""
    request = _request.get()
    wrong = FAULTS.get(error.code) or {path.partition(".")[0] for path in error.fields}
    pairs = request.query_params.multi_items()
    if request.method != "GET" or not any(name in wrong for name, _value in pairs):
        return ""
    kept = [(name, value) for name, value in pairs if name not in wrong and name != "cursor"]
    return f"{request.url.path}?{encode(kept)}" if kept else request.url.path


def labelled(error: AppError) -> list[tuple[str, str]]:
    """The fields of an error as the page calls them, with what is wrong: (label, words)."""
    labels: dict[str, str] = getattr(_request.get().state, "labels", {})
    return [(_(labels[name]) if name in labels else name, words) for name, words in error.fields.items()]


def key_of(action: str) -> Markup:
    """The attributes of a button that a key presses too (core.shortcuts); none for whoever has switched keys off."""
    return _key_of(action, _("Key")) if principal(_request.get()).single_keys else Markup()


@lru_cache
def _key_of(action: str, label: str) -> Markup:
    key = shortcuts.cap(action)
    return Markup(' aria-keyshortcuts="{}" title="{}: {}"').format(key, label, key)


def view_menu(list_url: str, list_name: str, params: BaseModel) -> saved.Menu | None:
    """The saved views of a list, see templates/views/_bar.html."""
    return saved.menu(_request.get(), list_url, list_name, params)


class Site(NamedTuple):
    """What the shell says about this installation."""

    school: str
    sandbox: bool
    insecure: bool
    advised: bool


def site() -> Site:
    state = _request.get().app.state
    settings: Settings = state.settings
    me = principal(_request.get())
    return Site(
        state.school.name if hasattr(state, "school") else settings.school_name,
        settings.sandbox_on,
        not settings.https and not is_loopback(settings.host),
        me.signed_in and not me.has_factor and settings.advises_factor(me.permissions),
    )


class QuickContext(Context):
    """Calls plain functions and macros at once; Jinja asks each callable five questions first.

    They are half of a list's calls. Autoescaping is on everywhere, so a macro need not be told.
    """

    def call(self, obj: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if type(obj) in QUICK and not hasattr(obj, "jinja_pass_arg"):
            kwargs.pop("_block_vars", None)
            kwargs.pop("_loop_vars", None)
            return obj(*args, **kwargs)
        return super().call(obj, *args, **kwargs)


class QuickTemplate(Template):
    """Whatever is imported is made once; Jinja compares all globals each time, which are the same for all of ours."""

    def _get_default_module(self, ctx: Context | None = None) -> TemplateModule:
        return super()._get_default_module()


class PageEnvironment(Environment):
    context_class = QuickContext
    template_class = QuickTemplate


QUICK = {Macro, FunctionType, MethodType, type(atoms.icon)}


def _translated(message: str, /, **values: Any) -> str:
    if not values:
        return _plain(message, current_language.get())
    return Markup(gettext(message)) % values  # noqa: S704 - the catalogue is ours, values are escaped


@lru_cache(maxsize=4000)
def _plain(message: str, _language: str) -> str:
    """A text without values, in the language of the moment."""
    return Markup(gettext(message)) % {}  # noqa: S704 - the same


def _counted(singular: str, plural: str, num: int, /, **values: Any) -> str:
    found = ngettext(singular, plural, num)
    return Markup(found) % {"num": num, **values}  # noqa: S704 - the same


def _environment() -> Environment:
    made = PageEnvironment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html"], default_for_string=True, default=True),
        undefined=StrictUndefined,
        auto_reload=False,
        cache_size=-1,
        bytecode_cache=BesideSources(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do", kept.Kept],
    )
    made.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined] # by the extension
    made.filters |= text.FILTERS
    made.globals |= {
        "_": _translated,
        "gettext": _translated,
        "ngettext": _counted,
        "url_for": url_for,
        "route_exists": route_exists,
        "here": here,
        "static": assets.url,
        "assets": assets,
        "icon": atoms.icon,
        "atoms": atoms,
        "url_with": url_with,
        "set_filters": set_filters,
        "zip": zip,
        "line_path": line_path,
        "nice_top": nice_top,
        "sparse": sparse,
        "now": clock.now,
        "navigation": navigation,
        "view_menu": view_menu,
        "key_of": key_of,
        "mended": mended,
        "labelled": labelled,
        "site": site,
        "shortcuts": shortcuts,
        "wording": wording,
        "UNDO_RIGHTS": UNDO_RIGHTS,
    }
    return made


env = _environment()
