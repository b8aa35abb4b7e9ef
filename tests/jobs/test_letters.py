"""Letters over real SMTP: what a server's answer does to a row, and what becomes of the secrets in it."""

import asyncio
import datetime
import ipaddress
import json
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.config import Settings
from backend.core.letters import KINDS, compose
from backend.database.crud.dispatches import DispatchCRUD
from backend.database.crud.letters import LetterCRUD
from backend.database.crud.links import withdraw
from backend.database.models.dispatches import Dispatch
from backend.database.session import Database
from backend.jobs.mailing import ByMail, tell
from backend.jobs.outbox import Outbox
from backend.jobs.periodic import close_letters, purge
from tests.conftest import make_settings
from tests.factories import make_user
from tests.mailserver import MailServer

LINK = "http://127.0.0.1:8000/reset/very-secret-token"


class Post:
    def __init__(self, database: Database, db: Session, server: MailServer, tmp_path: Path) -> None:
        self.database, self.db, self.server = database, db, server
        self.settings: Settings = self.configured(tmp_path)

    def configured(self, tmp_path: Path, url: str = "", **changes: object) -> Settings:
        url = url or f"smtp://127.0.0.1:{self.server.port}"
        return make_settings(
            self.database.url, tmp_path, smtp_url=url, mail_from="Школа <school@school.example>", **changes
        )

    def write(self, kind: str = "reset", to: str = "anna@pupils.example", **values: object) -> int:
        values = values or {"name": "Анна", "link": LINK}
        row = LetterCRUD(self.db).post(kind, to=to, language="ru", **values)  # type: ignore[arg-type] # values only
        return row.id

    def row(self, number: int) -> Dispatch:
        statement = select(Dispatch).where(Dispatch.id == number)
        return self.db.scalars(statement, execution_options={"populate_existing": True}).one()

    def send_until(self, done: Callable[[], bool]) -> None:
        async def run() -> None:
            stop = asyncio.Event()
            sender = Outbox(self.database, ByMail(self.settings, self.database), "test")
            task = asyncio.create_task(sender.run(stop))
            until = time.monotonic() + 15
            while not await asyncio.to_thread(done):
                assert time.monotonic() < until, "nothing came"
                await asyncio.sleep(0.02)
            stop.set()
            await task

        asyncio.run(run())


@pytest.fixture
def server() -> Iterator[MailServer]:
    with MailServer() as running:
        yield running


@pytest.fixture
def post(database: Database, db: Session, server: MailServer, tmp_path: Path) -> Post:
    return Post(database, db, server, tmp_path)


def test_a_letter_arrives_in_both_parts_and_its_link_is_gone_from_the_database(post: Post) -> None:
    number = post.write()
    stored = post.row(number)
    assert "very-secret-token" not in json.dumps(stored.params)
    post.send_until(lambda: post.row(number).state == "sent")

    (taken,) = post.server.taken
    message = taken.message
    assert (taken.sender, taken.recipients) == ("school@school.example", ["anna@pupils.example"])
    assert (message["From"], message["To"]) == ("Школа <school@school.example>", "anna@pupils.example")
    assert message["Subject"] == "Новый пароль для Lyceum"
    assert message["Auto-Submitted"] == "auto-generated"
    assert str(message["Message-ID"]).startswith(f"<letter-{number}.")
    assert abs((message["Date"].datetime - clock.now()).total_seconds()) < 20
    assert "Здравствуйте, Анна!" in taken.part("plain")
    assert f"\n{LINK}\n" in taken.part("plain")
    assert f'href="{LINK}"' in taken.part("html")
    assert "sealed" not in post.row(number).params
    assert post.row(number).attempts == 1


def test_what_the_server_says_decides(post: Post) -> None:
    post.server.answers = {"RCPT": ["550 5.1.1 <gone@pupils.example> no such user", "451 4.7.1 greylisted"]}
    refused = post.write(to="gone@pupils.example")
    post.send_until(lambda: post.row(refused).state == "failed")
    assert post.row(refused).error == "rejected: 550 5.1.1 *** no such user"

    later = post.write()
    post.send_until(lambda: post.row(later).attempts == 1 and post.row(later).state == "pending")
    assert post.row(later).error == "deferred: 451 4.7.1 greylisted"
    post.send_until(lambda: post.row(later).state == "sent")
    assert (len(post.server.taken), post.row(later).attempts) == (1, 2)


def test_a_wrong_password_of_ours_costs_no_letter_a_try(post: Post, tmp_path: Path) -> None:
    post.server.accounts = {"school": "right"}
    post.settings = post.configured(tmp_path, f"smtp://school:wrong@127.0.0.1:{post.server.port}")
    number = post.write()
    post.send_until(lambda: "AUTH" in post.server.heard and post.row(number).state == "pending")
    assert (post.row(number).attempts, post.server.taken) == (0, [])
    post.settings = post.configured(tmp_path, f"smtp://school:right@127.0.0.1:{post.server.port}")
    post.send_until(lambda: post.row(number).state == "sent")
    assert post.server.taken[0].user == "school"


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    return cert_file, key_file


def test_a_server_that_nobody_vouches_for_gets_no_letter(
    post: Post, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate(tmp_path)
    post.server.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    post.server.tls.load_cert_chain(cert, key)
    number = post.write()
    post.send_until(lambda: "STAR" in post.server.heard and post.row(number).state == "pending")
    assert (post.row(number).attempts, post.server.taken) == (0, [])

    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    post.send_until(lambda: post.row(number).state == "sent")
    assert post.server.taken[0].secure is True


def test_no_value_can_begin_a_header_or_another_recipient(post: Post) -> None:
    evil = "Mallory\r\nBcc: all@pupils.example\r\n\r\nBuy <b>now</b>\u2028 \x00"
    number = post.write("alert", name=evil, what=evil, details="", link=LINK)
    doubled = post.write(to="anna@pupils.example, bob@evil.example")
    post.send_until(lambda: post.row(number).state == "sent" and post.row(doubled).state == "failed")

    (taken,) = post.server.taken
    assert taken.recipients == ["anna@pupils.example"]
    assert taken.message.get_all("Bcc") is None
    assert taken.message["Subject"] == "Lyceum: Mallory Bcc: all@pupils.example Buy <b>now</b>"
    assert "&lt;b&gt;now&lt;/b&gt;" in taken.part("html")
    assert post.row(doubled).error == "invalid: ValueError"


def test_a_letter_that_is_too_old_does_not_leave_and_old_ones_go(post: Post, db: Session) -> None:
    old, fresh = post.write(), post.write()
    past = clock.now() - timedelta(seconds=1)
    db.execute(update(Dispatch).where(Dispatch.id == old).values(expires_at=past))
    post.send_until(lambda: post.row(fresh).state == "sent")
    assert (post.row(old).state, len(post.server.taken)) == ("pending", 1)
    with post.database.transaction() as session:
        assert close_letters(session) is False
    closed = post.row(old)
    assert (closed.state, closed.error, "sealed" in closed.params) == ("failed", "expired", False)

    db.execute(update(Dispatch).values(created_at=clock.now() - timedelta(days=31)))
    with post.database.transaction() as session:
        purge(session)
    assert db.scalars(select(Dispatch)).all() == []


def test_without_a_server_the_log_says_where_a_letter_waits_and_not_its_link(
    post: Post, capfd: pytest.CaptureFixture[str]
) -> None:
    number = post.write()
    assert tell(post.database, 0) == number
    assert tell(post.database, number) == number
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "letter.waits" in line]
    told = json.loads(line)
    assert (told["id"], told["kind"], told["to"]) == (number, "reset", "anna@pupils.example")
    assert told["read_at"] == f"/dashboard/outbox/letters/{number}"
    assert "very-secret-token" not in line
    assert DispatchCRUD(post.db).claim() == []  # it is not for Telegram


def test_a_cause_has_one_letter_and_a_kind_its_values(post: Post, db: Session) -> None:
    user = make_user(db, first_name="Анна")
    letters = LetterCRUD(db)
    first, second = (
        letters.post("reset", to="a@b.example", language="en", user_id=user.id, dedupe="x", name=name, link=LINK)
        for name in ("One", "Two")
    )
    assert (first.id, second.params["values"]["name"]) == (second.id, "One")
    written = letters.letter(first)
    assert written is not None
    assert (written.subject, LINK in written.text) == ("Reset your password for Lyceum", True)
    with pytest.raises(ValueError, match=r"reset takes \['link', 'name'\]"):
        letters.post("reset", to="a@b.example", language="en", name="x")
    withdraw(db, [user.id], ["reset"])
    db.expire_all()
    assert (db.get_one(Dispatch, first.id).state, letters.letter(db.get_one(Dispatch, first.id))) == ("cancelled", None)
    db.delete(user)
    db.flush()
    assert db.scalars(select(Dispatch.id)).all() == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_reads_well_in_both_languages(kind: str) -> None:
    values = {name: f"<{name}>" for name in KINDS[kind].names | {"school"}}
    for language in ("ru", "en"):
        letter = compose(kind, language, values, "https://school.example")
        assert f'<html lang="{language}">' in letter.html
        assert "%(" not in letter.text + letter.html
        assert "<name>" not in letter.html
        assert ("<link>" in letter.text) == ("link" in KINDS[kind].names)
        assert letter.text.endswith("-- \n<school>\nhttps://school.example\n")
