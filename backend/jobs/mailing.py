"""One letter to the mail server, and what its answer means for the row of the outbox."""

import asyncio
import re
import ssl

import aiosmtplib
import structlog

from backend.core.config import Settings
from backend.core.letters import KINDS, Letter, envelope
from backend.database import outbox
from backend.database.crud.letters import LetterCRUD, written
from backend.database.models.dispatches import EMAIL
from backend.database.session import Database
from backend.jobs.sending import Again, Call, Outcome, Refused, Sent, Wait

log = structlog.get_logger()
CONNECT_SECONDS, CALL_SECONDS, LETTER_SECONDS = 3, 10, 20
AT_ONCE = 3  # connections
PERMANENT = 500  # and above: the same letter will be refused again
AWAY = Wait(2.0, flood=False)
AT_REST = 30.0
ADDRESS = re.compile(r"\S+@\S+")


class ByMail:
    """Takes letters to the server of SMTP_URL, each over a connection of its own."""

    channel = EMAIL

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database
        self._places = asyncio.Semaphore(AT_ONCE)

    async def turn(self, call: Call) -> None:
        """Letters wait for nobody but a free connection."""

    async def send(self, call: Call) -> Outcome:
        letter = await asyncio.to_thread(self._written, call)
        if letter is None or call.address is None:
            return Refused(f"invalid: {call.method}")
        async with self._places:
            try:
                async with asyncio.timeout(LETTER_SECONDS):
                    await self._hand_over(call, letter, call.address)
            except (aiosmtplib.SMTPException, ValueError, OSError, UnicodeError) as error:
                return _outcome(error)
        return Sent()

    def _written(self, call: Call) -> Letter | None:
        if call.method not in KINDS:
            return None
        with self.database.read() as session:
            return written(session, call.method, call.params)

    async def _hand_over(self, call: Call, letter: Letter, to: str) -> None:
        message = envelope(letter, self.settings, to, call.id)
        server = self.settings.mail_server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.tls,
            start_tls=server.starttls,
            tls_context=ssl.create_default_context(),  # the certificate must be valid, and the server's
            timeout=CALL_SECONDS,
        )
        await client.connect(timeout=CONNECT_SECONDS)
        try:
            sender = self.settings.mail_sender.addr_spec
            await client.send_message(message, sender=sender, recipients=[to])
            await client.quit()
        finally:
            client.close()


def _outcome(error: Exception) -> Outcome:
    """Words of the server go to the outbox page; a person's address in them does not."""
    words = " ".join(ADDRESS.sub("***", str(getattr(error, "message", error))).split())[:300]
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        refused = error.recipients[0]
        return _refused(refused.code, " ".join(ADDRESS.sub("***", refused.message).split())[:300])
    if isinstance(error, aiosmtplib.SMTPConnectError | aiosmtplib.SMTPAuthenticationError | ssl.SSLError):
        log.error("mail.unreachable", error=type(error).__name__, words=words)
        return AWAY  # the server's or the settings' fault: no letter's
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return _refused(error.code, words)
    if isinstance(error, ValueError):
        return Refused(f"invalid: {type(error).__name__}")
    # Whether it was taken is not known: twice beats never.
    return Again(f"unsent: {type(error).__name__}")


def _refused(code: int, words: str) -> Outcome:
    return Refused(f"rejected: {code} {words}") if code >= PERMANENT else Again(f"deferred: {code} {words}")


async def announce(database: Database, stop: asyncio.Event) -> None:
    """Without a mail server: tells the log of each letter that waits for the operator, and where to read it.

    The link itself is on that page alone.
    """
    loop, wake, last = asyncio.get_running_loop(), asyncio.Event(), 0

    def queued() -> None:
        loop.call_soon_threadsafe(wake.set)

    unsubscribe = outbox.subscribe(queued)
    try:
        while not stop.is_set():
            wake.clear()
            try:
                last = await asyncio.to_thread(tell, database, last)
            except Exception as error:  # noqa: BLE001 - the database may be away; the letters are not lost
                log.warning("letters.database", error=type(error).__name__)
            waits = [asyncio.ensure_future(event.wait()) for event in (wake, stop)]
            await asyncio.wait(waits, timeout=AT_REST, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
    finally:
        unsubscribe()


def tell(database: Database, after: int) -> int:
    """Logs the letters that wait behind this number; the last one's."""
    last = after
    with database.read() as session:
        for row in LetterCRUD(session).waiting(after):
            where = f"/dashboard/outbox/letters/{row.id}"
            log.warning("letter.waits", id=row.id, kind=row.method, to=row.address, read_at=where)
            last = row.id
    return last
