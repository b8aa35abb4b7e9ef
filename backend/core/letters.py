"""Letters: each kind is data, and two templates draw them all, as plain text and as HTML."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from backend.core import clock
from backend.core.config import Settings
from backend.core.i18n import LANGUAGES, N_, current_language, gettext, ngettext

FOLDER = Path(__file__).parents[2] / "templates" / "letters"
PLACEHOLDER = re.compile(r"%\((\w+)\)s")
SECRETS = frozenset({"link"})  # whoever has one may act as the person: sealed at rest, gone once sent
ALWAYS = frozenset({"school"})  # what every letter knows by itself
LONGEST = 500  # characters of a value


@dataclass(frozen=True)
class Kind:
    """What a letter says. A line whose value is empty is left out; a `button` leads to the value `link`."""

    subject: str
    lines: tuple[str, ...]
    life: timedelta  # after that it is worth nothing and does not leave any more
    button: str = ""
    small: str = ""

    @property
    def names(self) -> frozenset[str]:
        """The values that it takes."""
        found = {name for text in (self.subject, *self.lines, self.small) for name in PLACEHOLDER.findall(text)}
        return frozenset(found | ({"link"} if self.button else set())) - ALWAYS


NOT_YOU = N_("If this wasn't you, do nothing: nobody can use the link without this email.")
MINUTES, DAY, WEEK = timedelta(minutes=15), timedelta(days=1), timedelta(days=7)
KINDS: dict[str, Kind] = {
    "reset": Kind(
        N_("Reset your password for %(school)s"),
        (
            N_("Hello, %(name)s!"),
            N_("Someone, probably you, asked for a new password. This link works once and expires in 15 minutes."),
        ),
        MINUTES,
        N_("Set a new password"),
        NOT_YOU,
    ),
    "verify": Kind(
        N_("Confirm your email for %(school)s"),
        (
            N_("Hello, %(name)s!"),
            N_("Confirm that this address is yours. This link works once and expires in 24 hours."),
        ),
        DAY,
        N_("Confirm email"),
        N_("If you did not request this, do nothing: your address will not be used."),
    ),
    "email_changed": Kind(
        N_("Your account email at %(school)s is being changed"),
        (
            N_("Hello, %(name)s!"),
            N_("Your account email will change to %(email)s once that address is confirmed."),
            N_("If this wasn't you, change your password now and tell the school."),
        ),
        WEEK,
    ),
    "email_replaced": Kind(
        N_("Your account email at %(school)s was changed"),
        (
            N_("Hello, %(name)s!"),
            N_("%(who)s changed your account's email: this address can no longer be used to sign in."),
            N_("The new email is %(email)s."),
            N_("If this is a mistake, tell the school."),
        ),
        WEEK,
    ),
    "register": Kind(  # names nobody: anyone can send it to any address, and a name could say anything
        N_("Confirm your email for %(school)s"),
        (
            N_("Hello!"),
            N_("One last step: confirm that this address is yours. The link expires in 24 hours."),
        ),
        DAY,
        N_("Confirm and finish"),
        N_("If you did not sign up, do nothing: no account will be created."),
    ),
    "registered": Kind(
        N_("You already have an account at %(school)s"),
        (
            N_("Hello, %(name)s!"),
            N_("Someone, probably you, signed up with this address. You already have an account: sign in as usual."),
        ),
        DAY,
        N_("Sign in"),
        N_("If you have forgotten your password, you can reset it on that page."),
    ),
    "invite": Kind(
        N_("%(inviter)s invites you to %(school)s"),
        (
            N_("Hello, %(name)s!"),
            N_("%(inviter)s invites you to work with them. Your role is “%(role)s”."),
            N_("The link works once, until %(until)s."),
        ),
        WEEK,
        N_("Accept the invitation"),
        N_("If you do not know who this is, do nothing."),
    ),
    "alert": Kind(
        N_("%(school)s: %(what)s"),
        (N_("Hello, %(name)s!"), N_("%(what)s"), N_("%(details)s")),
        WEEK,
        N_("View details"),
        N_("If this wasn't you, change your password and sign out all devices."),
    ),
}


@dataclass(frozen=True)
class Letter:
    subject: str
    text: str
    html: str


@cache
def _environment() -> Environment:
    # Of its own: the pages' environment escapes everything, and plain text must stay as it is.
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=select_autoescape(["html"], default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined] # by the extension
    return made


def tidy(value: object) -> str:
    """One line without control characters: no value can begin a header or a line of its own."""
    text = "".join(char if char.isprintable() else " " for char in str(value))
    return " ".join(text.split())[:LONGEST]


def compose(kind: str, language: str, values: Mapping[str, str], site: str) -> Letter:
    """A letter in its reader's language. `site` is the school's address."""
    about = KINDS[kind]
    token = current_language.set(language if language in LANGUAGES else "en")
    try:
        lines = [line for line in about.lines if not _hollow(line, values)]
        context = {
            "lang": current_language.get(),
            "subject": gettext(about.subject) % values,
            "button": gettext(about.button) if about.button else "",
            "link": values.get("link", ""),
            "site": site,
            "host": urlsplit(site).netloc,
            "school": values["school"],
        }
        plain = [gettext(line) % values for line in lines], gettext(about.small) % values if about.small else ""
        # Markup: the catalogue is ours, and what stands in for a placeholder is escaped.
        rich = [_rich(line, values) for line in lines], _rich(about.small, values) if about.small else ""
        text, html = (
            _environment().get_template(name).render(**context, lines=parts[0], small=parts[1])
            for name, parts in (("letter.txt", plain), ("letter.html", rich))
        )
    finally:
        current_language.reset(token)
    return Letter(tidy(context["subject"]), text.strip() + "\n", html)


def subject_of(kind: str, params: Mapping[str, Any]) -> str:
    """A letter's subject, in the language of whoever looks."""
    return tidy(gettext(KINDS[kind].subject) % params["values"]) if kind in KINDS else kind


def _hollow(line: str, values: Mapping[str, str]) -> bool:
    return any(not values[name] for name in PLACEHOLDER.findall(line))


def _rich(line: str, values: Mapping[str, str]) -> str:
    return Markup(gettext(line)) % values  # noqa: S704 - the catalogue is ours, values are escaped


def envelope(letter: Letter, settings: Settings, to: str, number: int) -> EmailMessage:
    """The message as it goes out. The same row has the same Message-ID however often it is tried."""
    sender = settings.mail_sender
    message = EmailMessage()
    message["From"] = sender
    message["To"] = Address(addr_spec=to)
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(clock.now())
    message["Message-ID"] = f"<letter-{number}.{settings.mail_mark}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(letter.text)
    message.add_alternative(letter.html, subtype="html")
    return message
