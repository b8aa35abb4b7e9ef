"""Codes of an authenticator app (RFC 6238: SHA-1, six digits, 30 s) and recovery codes; nothing is stored here."""

import base64
import hmac
import re
import secrets
from datetime import datetime

import pyotp
import segno

STEP_SECONDS, WINDOW = 30, 1  # one step before and after: clocks differ, people type slowly
RECOVERY_CODES, RECOVERY_BYTES, GROUP = 10, 10, 4  # 80 bits each
SPACING = re.compile(r"[\s\u2010-\u2015-]+")
APP_CODE = re.compile(r"[0-9]{6}")
# Base32 knows no 0, 1 and 8: whoever reads one from paper means the letter.
MISREAD = str.maketrans("018", "olb")


def new_secret() -> str:
    """160 random bits in base32, as authenticator apps take it."""
    return pyotp.random_base32()


def plain(typed: str) -> str:
    """A code without the spaces and hyphens that people read it by."""
    return SPACING.sub("", typed).lower()


def is_app_code(code: str) -> bool:
    return APP_CODE.fullmatch(code) is not None


def step_of(secret: str, code: str, at: datetime) -> int | None:
    """The 30 s step that an app shows this code in, if it is the present one or next to it."""
    now, found = int(at.timestamp()) // STEP_SECONDS, None
    for step in range(now - WINDOW, now + WINDOW + 1):
        if hmac.compare_digest(pyotp.TOTP(secret).generate_otp(step), code):
            found = step
    return found


def address(secret: str, login: str, school: str) -> str:
    """The otpauth address that an app reads from the QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=school.replace(":", " ") or "Lyceum")


def picture(text: str) -> str:
    """A QR code as a data: address of an SVG, dark on white whatever the theme is: cameras want it so."""
    return str(segno.make(text, error="m", micro=False).svg_data_uri(border=2, light="#fff"))


def grouped(text: str) -> str:
    """In fours, as people copy a long code."""
    return "-".join(text[at : at + GROUP] for at in range(0, len(text), GROUP))


def new_recovery_codes() -> list[str]:
    made = (secrets.token_bytes(RECOVERY_BYTES) for _ in range(RECOVERY_CODES))
    return [grouped(base64.b32encode(code).decode().lower()) for code in made]


def recovery_code(typed: str) -> str:
    """The one spelling of a recovery code, of which the digest is stored."""
    return plain(typed).translate(MISREAD)
