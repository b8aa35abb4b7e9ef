"""What SMTP_URL and MAIL_FROM say. Refusals (ValueError) say how to mend them and never repeat the password."""

from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import getaddresses
from urllib.parse import unquote, urlsplit

from backend.core.hosts import is_loopback

EXAMPLE = "smtp://user:password@mail.example:587 or smtps://user:password@mail.example"
PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True)
class Server:
    """`tls`: from the first byte on (smtps). `starttls`: True must, False must not, None if the server offers it."""

    host: str
    port: int
    tls: bool
    starttls: bool | None
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def in_clear(self) -> bool:
        return not self.tls and self.starttls is False


def server_of(url: str) -> Server:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"SMTP_URL must look like {EXAMPLE}; write special characters as %40") from None
    if parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/") or not url.isprintable():
        raise ValueError(f"SMTP_URL must look like {EXAMPLE}; write special characters as %40")
    if bool(parts.username) != bool(parts.password):
        raise ValueError("SMTP_URL must have both a user and a password, or neither")
    if parts.query not in ("", "tls=off"):
        raise ValueError("SMTP_URL knows ?tls=off and nothing else after the port")
    here, off = is_loopback(parts.hostname), parts.query == "tls=off"
    if off and parts.username and not here:
        raise ValueError("SMTP_URL would send the password in the clear: leave out ?tls=off, or use smtps://")
    tls = parts.scheme == "smtps"
    return Server(
        parts.hostname,
        port or PORTS[parts.scheme],
        tls,
        False if tls or off else None if here else True,
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
    )


def sender_of(text: str) -> Address:
    found_all = getaddresses([text])
    name, spec = found_all[0] if len(found_all) == 1 else ("", "")
    try:
        found = Address(name, addr_spec=spec)
    except (MessageError, ValueError, IndexError):
        found = Address()
    if not (found.username and found.domain and text.isprintable()):
        raise ValueError("MAIL_FROM must be one address, such as School <school@school.example>")
    return found
