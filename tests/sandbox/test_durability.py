"""What has been acknowledged survives kill -9; webhooks are delivered and retried."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiogram.methods import (
    AnswerPreCheckoutQuery,
    GetFile,
    GetMe,
    GetStarTransactions,
    GetUpdates,
    GetWebhookInfo,
    SendDocument,
    SendMessage,
    SetWebhook,
)
from aiogram.types import BufferedInputFile, WebhookInfo

from backend.sandbox.student import SandboxClient, Student
from backend.sandbox.testing import SandboxProcess, free_port
from tests.sandbox.bots import Blocking, Scene, some
from tests.sandbox.test_messages import refusal
from tests.sandbox.test_payments import asked, begin, charged, invoice


@pytest.fixture
def process(tmp_path: Path) -> Iterator[SandboxProcess]:
    process = SandboxProcess(tmp_path / "sandbox.db")
    process.start()
    yield process
    process.kill()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_killed_sandbox_forgets_no_payment(process: SandboxProcess) -> None:
    with SandboxClient(process.origin) as box:
        account = box.bots()[0]
        bot, olga = Blocking(box.api, account.token), box.student("Olga")
        olga.start()
        bot.update()
        bot(invoice(olga))
        paying = begin(olga.pay, payload="order-1", wait=0)
        query = asked(bot)
        bot(AnswerPreCheckoutQuery(pre_checkout_query_id=query.id, ok=True))
        process.kill()  # the answer is out: the payment must be in
        paying.exception(20)
        process.start()
        outcome = olga.checkout(query.id)
        assert (outcome.status, charged(bot).telegram_payment_charge_id) == ("paid", outcome.charge_id)
        assert [line.id for line in bot(GetStarTransactions()).transactions] == [outcome.charge_id]
        assert olga.stars == 100_000 - 199
        assert bot(GetMe()).id == account.id
        bot.close()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_files_and_delayed_payments_survive(process: SandboxProcess) -> None:
    with SandboxClient(process.origin) as box:
        bot, olga = Blocking(box.api, box.bots()[0].token), box.student("Olga")
        olga.start()
        bot.update()
        document = BufferedInputFile(b"kept", "a.txt")
        sent = bot(SendDocument(chat_id=olga.id, document=document))
        bot(invoice(olga))
        begin(olga.pay, delay=2.0, wait=0).result(5)
        query = asked(bot)
        bot(AnswerPreCheckoutQuery(pre_checkout_query_id=query.id, ok=True))
        process.kill()
        process.start()
        assert bot(GetFile(file_id=some(sent.document).file_id)).file_size == 4
        box.wait_until(lambda: olga.checkout(query.id).status == "paid")
        assert charged(bot).total_amount == 199
        bot.close()


# --- webhooks


def failed_hook(bot: Blocking) -> WebhookInfo:
    """The state of the webhook once an error is told."""
    SandboxClient.wait_until(lambda: bot(GetWebhookInfo()).last_error_message)
    return bot(GetWebhookInfo())


class Receiver:
    """A bot's server: keeps what it got and answers as it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[str | None, dict[str, Any]]] = []
        self.answers: list[tuple[int, bytes]] = []
        self.url = ""

    def take(self, secret: str | None, body: dict[str, Any]) -> tuple[int, bytes]:
        self.got.append((secret, body))
        return self.answers.pop(0) if self.answers else (200, b"{}")


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = receiver.take(self.headers.get("X-Telegram-Bot-Api-Secret-Token"), body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_arguments: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/bot/webhook"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield receiver
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_a_webhook_gets_updates_with_its_secret(bot: Blocking, olga: Student) -> None:
    with receiving() as receiver:
        bot(SetWebhook(url=receiver.url, secret_token="s3_cret-1"))
        olga.send("a")
        olga.send("b")
        SandboxClient.wait_until(lambda: len(receiver.got) == 2)
        assert [secret for secret, _body in receiver.got] == ["s3_cret-1"] * 2
        assert [body["message"]["text"] for _secret, body in receiver.got] == ["a", "b"]
        SandboxClient.wait_until(lambda: bot(GetWebhookInfo()).pending_update_count == 0)


def test_a_failed_delivery_is_repeated_in_order(bot: Blocking, olga: Student) -> None:
    with receiving() as receiver:
        receiver.answers = [(500, b""), (200, b"ok")]
        bot(SetWebhook(url=receiver.url))
        olga.send("a")
        SandboxClient.wait_until(lambda: len(receiver.got) == 1)
        info = failed_hook(bot)
        assert info.last_error_message == ("Wrong response from the webhook: 500 Internal Server Error")
        olga.send("b")
        SandboxClient.wait_until(lambda: len(receiver.got) == 3)
        texts = [body["message"]["text"] for _secret, body in receiver.got]
        assert texts == ["a", "a", "b"]


def test_a_webhook_may_answer_with_a_method(bot: Blocking, olga: Student) -> None:
    with receiving() as receiver:
        call = {"method": "sendMessage", "chat_id": olga.id, "text": "at once"}
        receiver.answers = [(200, json.dumps(call).encode())]
        bot(SetWebhook(url=receiver.url))
        olga.send("a")
        assert olga.wait("at once").text == "at once"


def test_a_silent_server_is_reported(bot: Blocking, olga: Student) -> None:
    bot(SetWebhook(url=f"http://127.0.0.1:{free_port()}/hook"))
    olga.send("a")
    info = failed_hook(bot)
    assert (info.last_error_message, info.pending_update_count) == ("Connection refused", 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"secret_token": "x" * 257}, "secret token is too long"),
        ({"secret_token": "a b"}, "secret token contains unallowed characters"),
        ({"url": "ftp://127.0.0.1/x"}, "invalid webhook URL specified"),
        ({"url": "http://[bad/x"}, "invalid webhook URL specified"),
        (
            {"url": "https://school.example/x"},
            "bad webhook: the sandbox delivers to this machine only",
        ),
    ],
)
def test_bad_webhooks_are_refused(bot: Blocking, changes: dict[str, str], said: str) -> None:
    given: dict[str, Any] = {"url": "http://127.0.0.1:1/x", **changes}
    method = SetWebhook(**given)
    assert refusal(bot, method) == f"Bad Request: {said}"


def test_a_webhook_drops_what_waited_when_asked(bot: Blocking, olga: Student, scene: Scene) -> None:
    olga.send("old")
    bot(SetWebhook(url="", drop_pending_updates=True))
    assert bot(GetUpdates(offset=bot.offset)) == []
    bot(SendMessage(chat_id=olga.id, text="x"))
    waiting = bot.begin(GetUpdates(offset=bot.offset, timeout=20))
    time.sleep(0.3)
    bot(SetWebhook(url="http://127.0.0.1:1/x"))
    assert "terminated by setWebhook request" in str(waiting.exception(5))
