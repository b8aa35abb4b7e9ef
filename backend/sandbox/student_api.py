"""The student's side over JSON: what `backend.sandbox.student` calls. See there for the meaning."""

import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from backend.sandbox.cashier import Twist
from backend.sandbox.dispatch import Fault, plan_fault
from backend.sandbox.errors import Json, StudentError, TelegramError
from backend.sandbox.guard import cross_site
from backend.sandbox.hub import Hub
from backend.sandbox.life import Life, profile_of
from backend.sandbox.models import Bot, Message, Student
from backend.sandbox.store import dump, load

LONGEST_WAIT = 50.0
Endpoint = Callable[[Request], Awaitable[object]]


class StudentApi:
    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.world = hub.world

    def routes(self) -> list[BaseRoute]:
        bot, chat = "/api/bots/{bot:int}", "/api/bots/{bot:int}/students/{student:int}"
        table: list[tuple[str, str, Endpoint]] = [
            ("GET", "/api/bots", self.list_bots),
            ("POST", "/api/bots", self.create_bot),
            ("GET", bot, self.show_bot),
            ("POST", f"{bot}/rules", self.set_rules),
            ("POST", f"{bot}/faults", self.add_fault),
            ("DELETE", f"{bot}/faults", self.clear_faults),
            ("POST", f"{bot}/repeat", self.repeat),
            ("GET", f"{bot}/journal", self.journal),
            ("GET", f"{bot}/ledger", self.ledger),
            ("GET", f"{bot}/updates", self.updates),
            ("GET", "/api/students", self.list_students),
            ("POST", "/api/students", self.create_student),
            ("POST", "/api/students/{student:int}", self.change_student),
            ("GET", f"{chat}/chat", self.chat),
            ("POST", f"{chat}/send", self.send),
            ("POST", f"{chat}/start", self.start),
            ("POST", f"{chat}/file", self.send_file),
            ("POST", f"{chat}/press", self.press),
            ("POST", f"{chat}/pay", self.pay),
            ("POST", f"{chat}/chargeback", self.charge_back),
            ("POST", f"{chat}/block", self.block),
            ("POST", f"{chat}/unblock", self.unblock),
            ("POST", f"{chat}/clear", self.clear),
            ("POST", f"{chat}/init_data", self.init_data),
            ("GET", "/api/checkouts/{id}", self.checkout),
        ]
        return [Route(path, _json(endpoint), methods=[m]) for m, path, endpoint in table]

    # --- bots

    async def list_bots(self, _request: Request) -> list[Json]:
        return [_bot(bot) for bot in self.world.bots()]

    async def create_bot(self, request: Request) -> Json:
        given = await _body(request)
        name, username = str(given.get("name", "School")), str(given.get("username", "school_bot"))
        return _bot(self.world.create_bot(name, username, given.get("token")))

    async def show_bot(self, request: Request) -> Json:
        bot = self._bot(request)
        return _bot(bot) | {"state": {k: v for k, v in bot.state.items() if k != "webhook"}}

    async def set_rules(self, request: Request) -> Json:
        bot, given = self._bot(request), await _body(request)
        for name in ("rate", "strict"):
            if name in given:
                bot.state["rules"][name] = bool(given[name])
        self.world.save_bot(bot)
        self.hub.rates.forget(bot.id)
        return {"rules": bot.state["rules"]}

    async def add_fault(self, request: Request) -> Json:
        given = await _body(request)
        fault = Fault(
            str(given.get("kind")),
            int(given.get("retry_after", 1)),
            float(given.get("seconds", 1.0)),
        )
        times = int(given.get("times", 1))
        plan_fault(self.hub, self._bot(request), fault, method=given.get("method"), times=times)
        return {"times": times}

    async def clear_faults(self, request: Request) -> Json:
        self.hub.store.run("DELETE FROM faults WHERE bot_id = ?", self._bot(request).id)
        return {}

    async def repeat(self, request: Request) -> Json:
        bot, given = self._bot(request), await _body(request)
        return {"update_id": self.world.repeat(bot.id, given.get("update_id"))}

    async def journal(self, request: Request) -> list[Json]:
        rows = self.hub.store.all(
            "SELECT * FROM journal WHERE bot_id = ? AND id > ? ORDER BY id LIMIT 1000",
            self._bot(request).id,
            int(request.query_params.get("after", 0)),
        )
        return [dict(row) | {"ok": bool(row["ok"]), "detail": load(row["detail"])} for row in rows]

    async def ledger(self, request: Request) -> Json:
        bot = self._bot(request)
        return {
            "balance": self.hub.cashier.balance(bot.id),
            "transactions": self.hub.cashier.transactions(bot.id, 0, 10_000),
        }

    async def updates(self, request: Request) -> list[Json]:
        """Every update of the last time, confirmed or not, oldest first."""
        rows = self.hub.store.all(
            "SELECT body, done FROM updates WHERE bot_id = ? ORDER BY update_id",
            self._bot(request).id,
        )
        return [{"update": load(row["body"]), "confirmed": row["done"] == 1} for row in rows]

    # --- students

    async def list_students(self, _request: Request) -> list[Json]:
        return [_student(student) for student in self.world.students()]

    async def create_student(self, request: Request) -> Json:
        given = await _body(request)
        return _student(self.world.create_student(profile_of(given), given.get("hue"), given.get("id")))

    async def change_student(self, request: Request) -> Json:
        student = self.world.student(request.path_params["student"])
        given = await _body(request)
        if "deleted" in given:
            student.deleted = bool(given["deleted"])
        student.profile = profile_of({**student.profile, **given})
        student.hue = int(given.get("hue", student.hue))
        self.world.save_student(student)
        if "stars" in given:
            self.hub.store.run("UPDATE students SET stars = ? WHERE id = ?", int(given["stars"]), student.id)
        return _student(self.world.student(student.id))

    # --- one chat

    async def chat(self, request: Request) -> Json:
        """Messages changed after `after`; with `wait`, once it has changed since `watched`."""
        bot, student = self._bot(request), self._student(request)
        after = int(request.query_params.get("after", 0))
        watched = int(request.query_params.get("watched", after))
        wait = min(LONGEST_WAIT, float(request.query_params.get("wait", 0)))

        def changed() -> bool | None:
            return True if self.world.chat(bot.id, student.id).rev > watched else None

        await self.hub.signals.until(f"chat:{bot.id}:{student.id}", changed, wait)
        chat = self.world.chat(bot.id, student.id)
        every = self.world.messages(bot.id, student.id, 500)
        return {
            "rev": chat.rev,
            "started": chat.started,
            "blocked": chat.blocked,
            "keyboard": chat.state.get("keyboard"),
            "ids": [message.message_id for message in every],
            "messages": [_message(message) for message in every if message.rev > after],
        }

    async def send(self, request: Request) -> Json:
        given = await _body(request)
        return _message(self._life(request).send(str(given.get("text", "")), given.get("reply_to")))

    async def start(self, request: Request) -> Json:
        given = await _body(request)
        return _message(self._life(request).start(str(given.get("payload", ""))))

    async def send_file(self, request: Request) -> Json:
        form = await request.form(max_files=1, max_fields=5)
        upload, kind = form.get("file"), str(form.get("kind", "photo"))
        if not isinstance(upload, UploadFile) or kind not in {"photo", "video", "document"}:
            raise StudentError("no_file", "Choose a file first.")
        caption = str(form.get("caption", ""))
        try:
            return _message(await self._life(request).send_file(kind, upload, caption))
        finally:
            await form.close()

    async def press(self, request: Request) -> Json:
        life, given = self._life(request), await _body(request)
        message, rev = life.message(int(given["message_id"])), life.chat.rev
        if "data" in given:
            query_id = life.press_data(message, str(given["data"]))
        else:
            query_id = life.press(message.message_id, int(given["row"]), int(given["column"]))
        answer = await life.pressed(query_id, min(LONGEST_WAIT, float(given.get("wait", 10))))
        return {"id": query_id, "rev": rev, "answer": answer}

    async def pay(self, request: Request) -> Json:
        life, given = self._life(request), await _body(request)
        invoice, rev = life.invoice(given.get("message_id"), given.get("link")), life.chat.rev
        payer = self.world.student(int(given["payer"])) if given.get("payer") else life.student
        twist = Twist(
            amount=given.get("amount"),
            settle_amount=given.get("settle_amount"),
            payload=given.get("payload"),
            delay=float(given.get("delay", 0)),
            skip_pre_checkout=bool(given.get("skip_pre_checkout")),
        )
        query_id = self.hub.cashier.open(life.bot, payer, invoice, twist)
        wait = min(LONGEST_WAIT, float(given.get("wait", 11 + twist.delay)))
        return {"rev": rev, **await life.paid(query_id, wait)}

    async def checkout(self, request: Request) -> Json:
        self.hub.cashier.settle_due()
        query_id = request.path_params["id"]
        return self.hub.cashier.outcome(query_id) or {"id": query_id, "status": "asked"}

    async def charge_back(self, request: Request) -> Json:
        life, given = self._life(request), await _body(request)
        self.hub.cashier.charge_back(life.bot, life.student.id, str(given["charge_id"]), tell=bool(given.get("tell")))
        return {"balance": self.hub.cashier.balance(life.bot.id)}

    async def block(self, request: Request) -> Json:
        self._life(request).block()
        return {}

    async def unblock(self, request: Request) -> Json:
        self._life(request).unblock()
        return {}

    async def clear(self, request: Request) -> Json:
        self._life(request).clear()
        return {}

    async def init_data(self, request: Request) -> Json:
        """Rule 12: what a Mini App would get, signed with the bot's token."""
        life, given = self._life(request), await _body(request)
        pairs = {
            "auth_date": str(given.get("auth_date", int(time.time()))),
            "query_id": f"SBX{life.student.id}",
            "user": dump(life.student.user),
        }
        secret = hmac.digest(b"WebAppData", life.bot.token.encode(), "sha256")
        lines = "\n".join(f"{key}={pairs[key]}" for key in sorted(pairs))
        pairs["hash"] = hmac.new(secret, lines.encode(), hashlib.sha256).hexdigest()
        return {"init_data": urlencode(pairs)}

    # --- who is meant

    def _bot(self, request: Request) -> Bot:
        return self.world.bot(request.path_params["bot"])

    def _student(self, request: Request) -> Student:
        return self.world.student(request.path_params["student"])

    def _life(self, request: Request) -> Life:
        return Life(self.hub, self._bot(request), self._student(request))


def _json(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        if cross_site(request):
            return _error("cross_site", "Another site may not act for a student.", 403)
        try:
            return JSONResponse(await endpoint(request))
        except StudentError as error:
            return _error(error.code, error.message, error.status)
        except TelegramError as error:
            return _error("telegram", error.description, error.code)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            return _error("bad_request", f"The request is not understood: {error}", 400)

    return answer


def _error(code: str, message: str, status: int) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status)


async def _body(request: Request) -> dict[str, Any]:
    raw = await request.body()
    body = json.loads(raw) if raw else {}
    if not isinstance(body, dict):
        raise StudentError("bad_request", "An object was expected.")
    return body


def _bot(bot: Bot) -> Json:
    return {
        "id": bot.id,
        "token": bot.token,
        "name": bot.state["name"],
        "username": bot.state["username"],
    }


def _student(student: Student) -> Json:
    return {
        **student.profile,
        "id": student.id,
        "hue": student.hue,
        "stars": student.stars,
        "deleted": student.deleted,
    }


def _message(message: Message) -> Json:
    return {
        "rev": message.rev,
        "by_bot": message.by_bot,
        "paid": bool(message.meta.get("paid")),
        "body": message.body,
    }
