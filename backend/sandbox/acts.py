"""The verbs of the chat page. Each reads its form, acts as the student and says what came of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.datastructures import FormData, UploadFile

from backend.core.i18n import N_, _, ngettext
from backend.sandbox.cashier import Twist
from backend.sandbox.dispatch import FAULTS, Fault, plan_fault
from backend.sandbox.errors import Json, StudentError, TelegramError
from backend.sandbox.hub import Hub
from backend.sandbox.life import Life, profile_of
from backend.sandbox.models import Bot, Student
from backend.sandbox.views import Views

REASONS = {
    "blocked": N_("You have blocked this bot. Start it again first."),
    "bad_name": N_("A first name has 1-64 characters."),
    "bad_username": N_("A username has 4-32 Latin letters, digits and underscores."),
    "bad_payload": N_("A deep link parameter is 1-64 Latin letters, digits, underscores and hyphens."),
    "empty": N_("Write something first."),
    "too_long": N_("This is too long for a message."),
    "no_button": N_("This button is no longer there."),
    "no_file": N_("Choose a file first."),
    "no_invoice": N_("There is nothing left to pay here."),
    "no_message": N_("This message is no longer there."),
    "no_stars": N_("Not enough Stars in the wallet."),
    "no_student": N_("Choose a student first."),
    "no_update": N_("There is nothing to repeat yet."),
    "not_a_callback": N_("This button sends nothing to the bot."),
}
OUTCOMES = {
    "expired": N_("The bot did not answer within 10 seconds. No Stars were taken."),
    "failed": N_("Not enough Stars in the wallet."),
    "asked": N_("The bot has not answered yet."),
    "accepted": N_("The payment is on its way."),
}
LATE_SECONDS = 5.0
STARS_GIFT = 10_000
HUES = 6


@dataclass
class Act:
    hub: Hub
    bot: Bot
    student: Student | None
    form: FormData
    text: str = ""
    kind: str = "good"
    alert: bool = False
    moved: bool = False  # the page shows another student now
    view: str = ""

    def say(self, text: str, kind: str = "good", *, alert: bool = False) -> None:
        self.text, self.kind, self.alert = text, kind, alert

    def field(self, name: str) -> str:
        value = self.form.get(name, "")
        return value if isinstance(value, str) else ""

    def number(self, name: str) -> int:
        value = self.field(name)
        if not value.isascii() or not value.isdigit() or len(value) > 18:
            raise StudentError("no_message", f"{name} is not a number")
        return int(value)

    @property
    def life(self) -> Life:
        if self.student is None:
            raise StudentError("no_student", "There is no such student.", 404)
        return Life(self.hub, self.bot, self.student)


def explain(error: StudentError | TelegramError) -> str:
    if isinstance(error, TelegramError):
        return error.description
    return _(REASONS.get(error.code, N_("Something went wrong.")))


async def send(act: Act) -> None:
    act.life.send(act.field("text"))


async def start(act: Act) -> None:
    act.life.start(act.field("payload").strip())


async def send_file(act: Act) -> None:
    upload = act.form.get("file")
    if not isinstance(upload, UploadFile) or not upload.size:
        raise StudentError("no_file", "Choose a file first.")
    kind = "photo" if (upload.content_type or "").startswith("image/") else "document"
    await act.life.send_file(kind, upload, act.field("text"))


async def press(act: Act) -> None:
    row, _colon, column = act.field("at").partition(":")
    if not (row.isdigit() and column.isdigit()):
        raise StudentError("no_button", "There is no such button.")
    life = act.life
    answer = await life.pressed(life.press(act.number("message"), int(row), int(column)))
    if answer is None:
        act.say(_("The bot did not answer the button press. It would keep spinning."), "warn")
    elif answer["text"]:
        act.say(answer["text"], "info", alert=answer["alert"])


async def pay(act: Act) -> None:
    message = act.number("message") if act.field("message") else None
    life, twist = act.life, act.field("twist")
    invoice = life.invoice(message, act.field("link") or None)
    payer = _stranger(act) if twist == "stranger" else None
    how = Twist(
        amount=1 if twist == "price" else None,
        delay=LATE_SECONDS if twist == "late" else 0.0,
        skip_pre_checkout=twist == "unasked",
    )
    outcome = await life.pay(invoice, how, payer)
    if twist == "twice" and outcome["status"] == "paid":
        outcome = await life.pay(invoice, how, payer)
    _tell(act, outcome, how.amount or invoice.amount)


def _stranger(act: Act) -> Student:
    """Somebody else: the next student, or a new one."""
    for other in act.hub.world.students():
        if act.student is not None and other.id != act.student.id and not other.deleted:
            return other
    return act.hub.world.create_student({"first_name": _("Stranger")})


def _tell(act: Act, outcome: Json, amount: int) -> None:
    status = outcome["status"]
    if status == "paid":
        said = ngettext("%(num)s Star paid", "%(num)s Stars paid", amount) % {"num": amount}
        act.say(said)
    elif status == "refused":
        act.say(outcome["error"] or _("The bot refused the payment."), "bad", alert=True)
    else:
        act.say(_(OUTCOMES.get(status, N_("Something went wrong."))), "bad", alert=True)


async def block(act: Act) -> None:
    act.life.block()
    act.say(_("The bot is blocked: it cannot write to this student."))


async def unblock(act: Act) -> None:
    act.life.unblock()


async def clear(act: Act) -> None:
    act.life.clear()


async def create(act: Act) -> None:
    given = {name: act.field(name) for name in ("first_name", "last_name", "username")}
    profile = profile_of({**given, "language_code": act.field("language_code")})
    act.student, act.moved = act.hub.world.create_student(profile), True


async def change(act: Act) -> None:
    student = act.life.student
    given = {name: act.field(name) for name in ("first_name", "last_name", "username")}
    student.profile = profile_of({**given, "language_code": act.field("language_code")})
    act.hub.world.save_student(student)
    act.moved = True
    act.say(_("Saved"))


async def stars(act: Act) -> None:
    act.hub.store.run("UPDATE students SET stars = stars + ? WHERE id = ?", STARS_GIFT, act.life.student.id)
    act.hub.signals.wake("page")
    act.moved = True


async def repeat(act: Act) -> None:
    act.view = act.field("view")
    act.hub.world.repeat(act.bot.id)
    act.say(_("The last update will be delivered again with the same ID."))


async def fault(act: Act) -> None:
    act.view = act.field("view")
    kind = act.field("kind")
    if kind not in FAULTS:
        raise StudentError("bad_fault", "There is no such fault.")
    plan_fault(act.hub, act.bot, Fault(kind, 3, 3.0), method=None, times=1)
    act.say(_("The bot's next call will fail this way."))


async def charge_back(act: Act) -> None:
    act.view = act.field("view")
    life = act.life
    charge = Views(act.hub, act.bot).last_charge(life.student)
    if charge is None:
        raise StudentError("no_invoice", "There is nothing to return.")
    act.hub.cashier.charge_back(act.bot, life.student.id, charge["id"], tell=True)


async def rate(act: Act) -> None:
    act.view = act.field("view")
    kept = act.bot.state["rules"]
    kept["rate"] = not kept.get("rate", True)
    act.hub.world.save_bot(act.bot)
    act.hub.rates.forget(act.bot.id)
    act.hub.signals.wake("page")
    act.moved = True


ACTS: dict[str, Callable[[Act], Awaitable[None]]] = {
    "send": send,
    "start": start,
    "file": send_file,
    "press": press,
    "pay": pay,
    "block": block,
    "unblock": unblock,
    "clear": clear,
    "create": create,
    "change": change,
    "stars": stars,
    "repeat": repeat,
    "fault": fault,
    "charge_back": charge_back,
    "rate": rate,
}
