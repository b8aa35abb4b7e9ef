"""The chat page: Telegram as a student sees it, beside what the bot's server sees."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from backend.core.context import Principal
from backend.core.errors import AppError, ForbiddenError, NotFoundError
from backend.core.templating import flash, go_to, render
from backend.sandbox.acts import ACTS, Act, explain
from backend.sandbox.errors import Json, StudentError, TelegramError
from backend.sandbox.guard import cross_site, refusal
from backend.sandbox.hub import Hub
from backend.sandbox.life import Life
from backend.sandbox.models import Bot, Student
from backend.sandbox.requests import MAX_BODY
from backend.sandbox.views import Views

Viewer = Callable[[Request], Principal]
T = TypeVar("T")
HEARTBEAT = 15.0
BREATH = 0.05  # several changes at once make one event
MAX_FIELDS = 20


class Page:
    def __init__(self, hub: Hub, viewer: Viewer | None) -> None:
        self.hub = hub
        self.viewer = viewer
        self.router = APIRouter(prefix="/sandbox", include_in_schema=False)
        add = self.router.add_api_route
        add("/", self.index, name="sandbox:index", response_class=HTMLResponse)
        add("", self.index, response_class=HTMLResponse)
        add("/events", self.events, name="sandbox:events", response_class=StreamingResponse)
        size = MAX_BODY  # a student may send a file
        add("/act/{verb}", self.act, name="sandbox:act", methods=["POST"], max_body_size=size)

    async def index(self, request: Request) -> Response:
        await self._admit(request)
        return render(request, "sandbox/index.html", **self._context(request))

    async def _admit(self, request: Request) -> None:
        _check_origin(request)
        if self.viewer is not None:
            request.state.me = await run_in_threadpool(self.viewer, request)

    def _context(self, request: Request) -> dict[str, Any]:
        query = request.query_params
        bot = self._bot(query.get("bot"))
        seen = self.snapshot(bot)  # before anything is read: what changes meanwhile is told by the stream
        views = Views(self.hub, bot)
        contacts = views.contacts()
        student = self._student(query.get("student"), contacts[0].student if contacts else None)
        context: dict[str, Any] = {
            "views": views,
            "bot": bot,
            "seen": seen,
            "contacts": contacts,
            "student": student,
            "opened": bool(query.get("student")),
            "view": "log" if query.get("view") == "log" else "chat",
            "start": query.get("start", "")[:64],
            "lines": views.lines(),
            "listening": self.hub.listens(bot),
            "pay": None,
        }
        if student is not None and (query.get("pay") or query.get("link")):
            context["pay"] = self._offer(bot, student, query.get("pay"), query.get("link"))
        return context

    def _offer(self, bot: Bot, student: Student, message_id: str | None, link: str | None) -> Json | None:
        """What the Pay sheet shows; None when the invoice is gone."""
        try:
            number = _number(message_id)
            invoice = Life(self.hub, bot, student).invoice(number, link)
        except StudentError:
            return None
        return {"invoice": invoice, "message_id": number, "link": link or ""}

    def _bot(self, given: str | None) -> Bot:
        bots = self.hub.world.bots()
        wanted = [bot for bot in bots if str(bot.id) == given]
        return (wanted or bots)[0]

    def _student(self, given: str | None, default: Student | None) -> Student | None:
        number = _number(given)
        found = self.hub.world.find_student(number) if number is not None else None
        return found if found is not None and not found.deleted else default

    # --- live

    async def events(self, request: Request) -> Response:
        await self._admit(request)
        bot = self._bot(request.query_params.get("bot"))
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        # After a break the browser names the last event; at first it says what the page shows.
        seen = request.headers.get("last-event-id") or request.query_params.get("seen", "")
        stream = self._changes(request, bot, seen)
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    async def _changes(self, request: Request, bot: Bot, seen: str) -> AsyncIterator[str]:
        """One event a change since `seen`: the page asks for the parts that it has not got."""
        yield "retry: 1000\n\n"

        async def alive() -> bool:
            if await request.is_disconnected():
                return False
            try:
                await self._admit(request)
            except AppError:  # signed out meanwhile
                return False
            return True

        def fresh() -> str | None:
            found = self.snapshot(bot)
            return found if found != seen else None

        while await alive() and not self.hub.signals.stopping:
            found = await self.hub.signals.until("page", fresh, HEARTBEAT, alive)
            if found is None:
                yield ": still here\n\n"
                continue
            await asyncio.sleep(BREATH)
            seen = self.snapshot(bot)
            yield f"event: change\nid: {seen}\ndata: {seen}\n\n"

    def snapshot(self, bot: Bot) -> str:
        """Differs when anything that the page shows does."""
        value = self.hub.store.value
        chats = value("SELECT value FROM counters WHERE name = 'rev'") or 0
        journal = value("SELECT max(id) FROM journal") or 0
        people = value("SELECT count(*) || '-' || sum(deleted) FROM students")
        return f"{chats}.{journal}.{people}.{int(self.hub.listens(bot))}"

    # --- acting

    async def act(self, request: Request, verb: str) -> Response:
        _check_origin(request)
        if verb not in ACTS:
            raise NotFoundError
        async with request.form(max_files=1, max_fields=MAX_FIELDS) as form:
            request.state.csrf_sent = form.get("csrf_token")  # for the viewer to compare
            await self._admit(request)
            bot = self._bot(str(form.get("bot", "")))
            student = self._student(str(form.get("student", "")), None)
            act = Act(self.hub, bot, student, form)
            try:
                await ACTS[verb](act)
            except (StudentError, TelegramError) as error:
                act.say(explain(error), "bad")
        return self._done(request, act)

    def _done(self, request: Request, act: Act) -> Response:
        """For the page's own script what to show; for a form without script the page again."""
        place: dict[str, object] = {"bot": act.bot.id}
        if act.student is not None:
            place["student"] = act.student.id
        if act.view:
            place["view"] = act.view
        go = f"/sandbox/?{urlencode(place)}"
        if request.headers.get("x-requested-with") == "fetch":
            shown = {"text": act.text, "kind": act.kind, "alert": act.alert, "go": go}
            return JSONResponse(shown | {"moved": act.moved})
        if act.text:
            flash(request, act.text, kind=act.kind)
        return go_to(request, f"{go}#end")


def _check_origin(request: Request) -> None:
    if refusal(request) is not None or cross_site(request):
        raise ForbiddenError


def _number(given: str | None) -> int | None:
    """A number from an address, if it is one that a database can hold."""
    if given is None or not given.isascii() or not given.isdigit() or len(given) > 18:
        return None
    return int(given)
