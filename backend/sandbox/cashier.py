"""Stars: from the Pay button over the pre-checkout to the charge, the refund and the ledger.

A payment is settled in the same transaction that acknowledges the bot's "ok": whoever kills the
process in between finds either no answer or the whole payment.
"""

import secrets
import time
from dataclasses import asdict, dataclass

from backend.sandbox import rules
from backend.sandbox.errors import QUERY_TOO_OLD, Json, StudentError, bad_request
from backend.sandbox.models import Bot, Message, Student
from backend.sandbox.signals import Signals
from backend.sandbox.store import Store, dump, load
from backend.sandbox.world import World


@dataclass
class Invoice:
    """What is for sale: from a message or behind a link."""

    title: str
    description: str
    payload: str
    amount: int
    currency: str = "XTR"
    start_parameter: str = ""
    subscription_period: int | None = None
    message_id: int | None = None

    def shown(self) -> Json:
        return {
            "title": self.title,
            "description": self.description,
            "start_parameter": self.start_parameter,
            "currency": self.currency,
            "total_amount": self.amount,
        }


@dataclass
class Twist:
    """How a payment differs from an honest one; every field left alone is honest."""

    amount: int | None = None  # asked at pre-checkout and charged
    settle_amount: int | None = None  # charged, after an honest pre-checkout
    payload: str | None = None
    delay: float = 0.0  # seconds between the bot's ok and the payment
    skip_pre_checkout: bool = False


class Cashier:
    def __init__(self, store: Store, signals: Signals, world: World) -> None:
        self.store = store
        self.signals = signals
        self.world = world

    # --- invoices

    def of_message(self, message: Message) -> Invoice:
        if "for_sale" not in message.meta:
            raise StudentError("no_invoice", "There is nothing to pay in this message.")
        return Invoice(**message.meta["for_sale"], message_id=message.message_id)

    def link(self, bot: Bot, invoice: Invoice) -> str:
        slug = secrets.token_urlsafe(12)
        body = dump({k: v for k, v in asdict(invoice).items() if k != "message_id"})
        self.store.run("INSERT INTO invoices VALUES (?, ?, ?)", slug, bot.id, body)
        return f"https://t.me/${slug}"

    def of_link(self, bot: Bot, link: str) -> Invoice:
        slug = link.rpartition("$")[2]
        body = self.store.value("SELECT body FROM invoices WHERE slug = ? AND bot_id = ?", slug, bot.id)
        if body is None:
            raise StudentError("no_invoice", "This invoice link leads nowhere.", 404)
        return Invoice(**load(body))

    # --- pre-checkout

    def open(self, bot: Bot, student: Student, invoice: Invoice, twist: Twist) -> str:
        """The student has pressed Pay. Returns the id of the checkout to wait for."""
        amount = invoice.amount if twist.amount is None else twist.amount
        payload = invoice.payload if twist.payload is None else twist.payload
        charged = amount if twist.settle_amount is None else twist.settle_amount
        if student.stars < charged:
            raise StudentError("no_stars", "There are not enough Stars in the purse.", 402)
        query_id = str(secrets.randbits(62))
        body = asdict(invoice) | {"amount": charged, "payload": payload, "delay": twist.delay}
        with self.store.tx():
            self.store.run(
                "INSERT INTO checkouts (id, bot_id, student_id, body, status, created) VALUES (?, ?, ?, ?, 'asked', ?)",
                query_id,
                bot.id,
                student.id,
                dump(body),
                time.time(),
            )
            if twist.skip_pre_checkout:
                self._accept(query_id, twist.delay)
            else:
                query: Json = {
                    "id": query_id,
                    "from": student.user,
                    "currency": invoice.currency,
                    "total_amount": amount,
                    "invoice_payload": payload,
                }
                self.world.push(bot, "pre_checkout_query", query, student.id)
        return query_id

    def answer(self, bot: Bot, query_id: str, *, ok: bool, error: str) -> tuple[int, float]:
        """Rule 2. Returns the student and the seconds that the answer took."""
        with self.store.tx():
            row = self.store.one("SELECT * FROM checkouts WHERE id = ? AND bot_id = ?", query_id, bot.id)
            age = time.time() - row["created"] if row else 0.0
            if row is None or row["status"] != "asked" or age > rules.CHECKOUT_SECONDS:
                raise bad_request(QUERY_TOO_OLD)
            if ok:
                self._accept(query_id, load(row["body"])["delay"])
            else:
                self.store.run(
                    "UPDATE checkouts SET status = 'refused', error = ? WHERE id = ?",
                    error,
                    query_id,
                )
        self.signals.wake(f"checkout:{query_id}")
        return row["student_id"], age

    def _accept(self, query_id: str, delay: float) -> None:
        if delay > 0:
            self.store.run(
                "UPDATE checkouts SET status = 'accepted', settle_at = ? WHERE id = ?",
                time.time() + delay,
                query_id,
            )
        else:
            self._settle(query_id)

    def settle_due(self) -> float | None:
        """Completes the delayed payments whose time has come; the seconds until the next one."""
        with self.store.tx():
            due = self.store.all("SELECT id FROM checkouts WHERE status = 'accepted' AND settle_at <= ?", time.time())
            for row in due:
                self._settle(row["id"])
        for row in due:
            self.signals.wake(f"checkout:{row['id']}")
        later = self.store.value("SELECT min(settle_at) FROM checkouts WHERE status = 'accepted'")
        return None if later is None else max(0.0, later - time.time())

    def outcome(self, query_id: str) -> Json | None:
        """How the checkout ended; None while the bot may still answer."""
        row = self.store.one("SELECT * FROM checkouts WHERE id = ?", query_id)
        if row is None:
            raise StudentError("no_checkout", "There is no such checkout.", 404)
        status = row["status"]
        if status == "asked":
            if time.time() - row["created"] <= rules.CHECKOUT_SECONDS:
                return None
            status = "expired"
            self.store.run("UPDATE checkouts SET status = ? WHERE id = ?", status, query_id)
        return {
            "id": query_id,
            "status": status,
            "error": row["error"],
            "charge_id": row["charge_id"],
        }

    # --- money

    def _settle(self, query_id: str) -> None:
        """Rule 3: takes the Stars, writes the ledger and tells the bot, all or nothing."""
        row = self.store.one("SELECT * FROM checkouts WHERE id = ?", query_id)
        assert row is not None  # chosen by its id in this transaction
        bot, student = self.world.bot(row["bot_id"]), self.world.student(row["student_id"])
        body, charge_id = load(row["body"]), f"sbx_{secrets.token_hex(12)}"
        if not self.store.run(
            "UPDATE students SET stars = stars - ? WHERE id = ? AND stars >= ?",
            body["amount"],
            student.id,
            body["amount"],
        ):
            self.store.run("UPDATE checkouts SET status = 'failed', error = 'no_stars' WHERE id = ?", query_id)
            return
        self._book(bot, student, charge_id, "in", body["amount"], body)
        self.store.run("UPDATE checkouts SET status = 'paid', charge_id = ? WHERE id = ?", charge_id, query_id)
        payment = _payment(body, charge_id)
        self._tell(bot, student, {"successful_payment": payment}, {"title": body["title"]})
        self._mark_paid(bot, student, body["message_id"])

    def _mark_paid(self, bot: Bot, student: Student, message_id: int | None) -> None:
        if message_id is None:
            return
        message = self.world.find_message(bot.id, student.id, message_id)
        if message is not None:
            message.meta["paid"] = True
            self.world.save_message(message)

    def _tell(self, bot: Bot, student: Student, service: Json, meta: Json) -> None:
        chat = self.world.chat(bot.id, student.id)
        if not chat.started:  # paid by link, before the first word
            chat.started = True
            self.world.save_chat(chat)
        message = self.world.add_message(bot.id, student.id, {"from": student.user, **service}, meta)
        self.world.push(bot, "message", message.body, student.id)

    def _book(self, bot: Bot, student: Student, charge_id: str, direction: str, amount: int, body: Json) -> None:
        kept = {k: body[k] for k in ("payload", "subscription_period", "title")}
        self.store.run(
            "INSERT INTO ledger (bot_id, id, direction, amount, date, student_id, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
            bot.id,
            charge_id,
            direction,
            amount,
            int(time.time()),
            student.id,
            dump(kept),
        )

    def refund(self, bot: Bot, student_id: int, charge_id: str) -> None:
        """Rule 4, asked by the bot."""
        with self.store.tx():
            self._return(bot, student_id, charge_id)
            if self.balance(bot.id) < 0:
                raise bad_request("BALANCE_TOO_LOW")
            self._tell_refund(bot, student_id, charge_id)

    def charge_back(self, bot: Bot, student_id: int, charge_id: str, *, tell: bool) -> None:
        """The bank takes the money back; the balance may become negative."""
        with self.store.tx():
            self._return(bot, student_id, charge_id)
            if tell:
                self._tell_refund(bot, student_id, charge_id)

    def _return(self, bot: Bot, student_id: int, charge_id: str) -> None:
        paid = self._entry(bot, charge_id, "in")
        if paid is None or paid["student_id"] != student_id:
            raise bad_request("CHARGE_NOT_FOUND")
        if self._entry(bot, charge_id, "out") is not None:
            raise bad_request("CHARGE_ALREADY_REFUNDED")
        amount: int = paid["amount"]
        student = self.world.student(student_id)
        self._book(bot, student, charge_id, "out", amount, load(paid["body"]))
        self.store.run("UPDATE students SET stars = stars + ? WHERE id = ?", amount, student_id)
        self.signals.wake("page")

    def _entry(self, bot: Bot, charge_id: str, direction: str) -> Json | None:
        row = self.store.one(
            "SELECT * FROM ledger WHERE bot_id = ? AND id = ? AND direction = ?",
            bot.id,
            charge_id,
            direction,
        )
        return None if row is None else dict(row)

    def _tell_refund(self, bot: Bot, student_id: int, charge_id: str) -> None:
        entry = self._entry(bot, charge_id, "out")
        assert entry is not None  # booked in this transaction
        body = load(entry["body"])
        refunded: Json = {
            "currency": "XTR",
            "total_amount": entry["amount"],
            "invoice_payload": body["payload"],
            "telegram_payment_charge_id": charge_id,
        }
        student = self.world.student(student_id)
        self._tell(bot, student, {"refunded_payment": refunded}, {"title": body["title"]})

    def balance(self, bot_id: int) -> int:
        total: int = self.store.value(
            "SELECT coalesce(sum(CASE direction WHEN 'in' THEN amount ELSE -amount END), 0)"
            " FROM ledger WHERE bot_id = ?",
            bot_id,
        )
        return total

    def transactions(self, bot_id: int, offset: int, limit: int) -> list[Json]:
        """Chronological; a refund carries the id of its payment, so the key is (id, direction)."""
        rows = self.store.all(
            "SELECT * FROM ledger WHERE bot_id = ? ORDER BY seq LIMIT ? OFFSET ?",
            bot_id,
            limit,
            offset,
        )
        return [self._transaction(dict(row)) for row in rows]

    def _transaction(self, row: Json) -> Json:
        body = load(row["body"])
        partner: Json = {
            "type": "user",
            "transaction_type": "invoice_payment",
            "user": self.world.student(row["student_id"]).user,
            "invoice_payload": body["payload"],
        }
        if body.get("subscription_period"):
            partner["subscription_period"] = body["subscription_period"]
        side = "source" if row["direction"] == "in" else "receiver"
        return {"id": row["id"], "amount": row["amount"], "date": row["date"], side: partner}


def _payment(body: Json, charge_id: str) -> Json:
    payment: Json = {
        "currency": body["currency"],
        "total_amount": body["amount"],
        "invoice_payload": body["payload"],
        "telegram_payment_charge_id": charge_id,
        "provider_payment_charge_id": f"{charge_id}_0",
    }
    if body["subscription_period"]:
        payment |= {
            "subscription_expiration_date": int(time.time()) + body["subscription_period"],
            "is_recurring": True,
            "is_first_recurring": True,
        }
    return payment
