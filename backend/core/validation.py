"""Validation errors in words that a person can act on, in their language."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from backend.core.i18n import _, current_language, gettext, ngettext

Maker = Callable[[Mapping[str, Any]], str]


def _words() -> dict[str, Maker]:
    return {
        "missing": lambda c: _("Fill in this field."),
        "string_too_short": lambda c: (
            _("Fill in this field.")
            if c["min_length"] == 1
            else ngettext("At least %d character.", "At least %d characters.", c["min_length"]) % c["min_length"]
        ),
        "string_too_long": lambda c: (
            ngettext("At most %d character.", "At most %d characters.", c["max_length"]) % c["max_length"]
        ),
        "int_parsing": lambda c: _("Enter a whole number."),
        "int_type": lambda c: _("Enter a whole number."),
        "int_from_float": lambda c: _("Enter a whole number."),
        "int_parsing_size": lambda c: _("This number is too large."),
        "greater_than_equal": lambda c: _("Must be at least %s.") % c["ge"],
        "less_than_equal": lambda c: _("Must be at most %s.") % c["le"],
        "greater_than": lambda c: _("Must be more than %s.") % c["gt"],
        "less_than": lambda c: _("Must be less than %s.") % c["lt"],
        "bool_parsing": lambda c: _("Must be yes or no."),
        "bool_type": lambda c: _("Must be yes or no."),
        "string_type": lambda c: _("Enter text."),
        "string_pattern_mismatch": lambda c: _("Invalid format."),
        "datetime_parsing": lambda c: _("Enter a date and time."),
        "datetime_from_date_parsing": lambda c: _("Enter a date and time."),
        "timezone_aware": lambda c: _("Specify the time zone, for example 2026-11-21T10:00:00Z."),
        "extra_forbidden": lambda c: _("There is no such field."),
        "literal_error": lambda c: _("Choose one of: %s.") % c["expected"],
        "enum": lambda c: _("Choose one of: %s.") % c["expected"],
        "json_invalid": lambda c: _("This is not valid JSON."),
        "list_type": lambda c: _("Must be a list."),
        "model_attributes_type": lambda c: _("Send a JSON object."),
        "dict_type": lambda c: _("Send a JSON object."),
        "too_long": lambda c: _("Too many items."),
        "too_short": lambda c: _("Choose at least one."),
        "float_parsing": lambda c: _("Enter a number."),
        "float_type": lambda c: _("Enter a number."),
        "finite_number": lambda c: _("Enter a number."),
        "date_parsing": lambda c: _("Enter a date."),
        "date_from_datetime_parsing": lambda c: _("Enter a date."),
        "date_type": lambda c: _("Enter a date."),
        "datetime_type": lambda c: _("Enter a date and time."),
        "model_type": lambda c: _("Send a JSON object."),
        "string_unicode": lambda c: _("This text contains a character that cannot be stored."),
    }


def explain(errors: Iterable[Any]) -> dict[str, str]:
    """Pydantic's errors as {field path: sentence}; a whole-model error stands at ""."""
    words = _words()
    found: dict[str, str] = {}
    for error in errors:
        path = [str(part) for part in error["loc"] if part not in ("body", "query", "path", "header", "form")]
        if error["type"] == "json_invalid":
            path = []  # FastAPI names the place in the text, which is no field
        make = words.get(error["type"])
        found.setdefault(".".join(path), make(error.get("ctx", {})) if make else _own(error))
    return found


def _own(error: Mapping[str, Any]) -> str:
    """Our validators raise ValueError with a sentence, which is translated here: who reads it is known by now. Of
    anything else the reader learns what can be said.
    """
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, ValueError):
        return gettext(str(cause))
    if error["type"] == "value_error" and "email" in error["msg"]:
        return _("This is not an email address.")
    # Pydantic's own words are English: for a developer better than nothing, for another reader
    # worse.
    return str(error["msg"]) if current_language.get() == "en" else _("Invalid value.")
