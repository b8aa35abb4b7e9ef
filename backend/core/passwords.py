"""What a new password must be: long, and not one that guessers try first. No network needed.

Most lists of leaked passwords hold few of twelve characters or more. Those that they do hold are a
common word with an ending, two such words, or a pattern of the keyboard: exactly these are made
here from the words.
"""

import unicodedata
from functools import cache
from itertools import pairwise, product
from pathlib import Path

from backend.core.i18n import _, ngettext

LEAST, MOST = 12, 128
FEW = 5  # different characters
KNOWN_LEAST, OWN_LEAST = 3, 8  # a name that short says nothing; with so much besides it is fine
GUESSES = 10**9  # what zxcvbn's guesser needs at least
LOOKED_AT = 72  # characters; what is longer is beyond guessing
MOST_STEPS = 0.7  # of all pairs of characters

# Three paragraphs: words; those that are often put together; what people add to a word.
_SOURCE = Path(__file__).with_suffix(".txt").read_text("utf-8").split("\n\n")
WORDS, FIRST, ENDINGS = (frozenset(part.split()) for part in _SOURCE)
ROWS = ("1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./")
RUSSIAN_ROWS = ("йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю.")
COLUMNS = ("1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "8ik,", "9ol.", "0p;/")
LINES = (*ROWS, *RUSSIAN_ROWS, *COLUMNS)
NEAR = {pair for line in LINES for row in (line, line[::-1]) for pair in pairwise(row)}
TAIL = "0123456789!@#$*._?-"
LEET = str.maketrans("@4310$57", "aaeiosst")


@cache
def common() -> frozenset[str]:
    """Passwords that are tried first: each word with each ending, on either side, and two short
    words in a row.
    """
    made = {word for word in WORDS if len(word) >= LEAST}
    made |= {word + ending for word, ending in product(WORDS, ENDINGS)}
    made |= {ending + word for word, ending in product(WORDS, ENDINGS) if ending[0].isdigit()}
    made |= {first + second for first, second in product(FIRST, repeat=2)}
    made |= {word * times for word, times in product(WORDS, (2, 3, 4))}
    return frozenset(password for password in made if len(password) >= LEAST)


def problem(password: str, *personal: str | None) -> str | None:
    """Why this password will not do, in the reader's words; None when it will. `personal` is what
    others know.
    """
    text = unicodedata.normalize("NFKC", password)
    if len(text) < LEAST:
        return ngettext("At least %d character.", "At least %d characters.", LEAST) % LEAST
    if len(text) > MOST:
        return ngettext("At most %d character.", "At most %d characters.", MOST) % MOST
    plain = text.casefold()
    if len(set(plain)) < FEW or _repeats(plain) or _is_walk(plain):
        return _("This pattern is easy to guess. Use several unrelated words.")
    known = {word for given in personal if given for word in (given.casefold(), *given.casefold().split())}
    if any(_mostly(plain, word) for word in known):
        return _("This is too similar to your name, login or school.")
    if _is_common(plain) or _is_guessed(plain):
        return _("This password is too common and easy to guess. Use several unrelated words.")
    return None


def refusals(password: str, repeat: str, *personal: str | None, email: str | None = None) -> dict[str, str]:
    """What is wrong with a new password that was typed twice, by the field of its form; {} when it will do."""
    if wrong := problem(password, *personal, email and email.partition("@")[0]):
        return {"password": wrong}
    return {} if password == repeat else {"repeat": _("The passwords do not match.")}


def _is_common(plain: str) -> bool:
    """In the list, or one of its words (twice) with any digits and signs behind it, l33t or not."""
    squeezed = "".join(plain.split())
    stem = squeezed.rstrip(TAIL).translate(LEET)
    half = stem[: len(stem) // 2]
    doubled = half in WORDS and half * 2 == stem
    return doubled or stem in WORDS or not common().isdisjoint((plain, squeezed))


def _is_guessed(plain: str) -> bool:
    """Put together from what guessers have lists of: leaked passwords, names, words of English, films, dates."""
    from zxcvbn import zxcvbn  # noqa: PLC0415 - its lists take 12 MB, and few processes ever see a new password

    return bool(zxcvbn(plain[:LOOKED_AT])["guesses"] < GUESSES)


def _repeats(text: str) -> bool:
    """One short piece over and over: abcabcabcabc."""
    return any(text == (text[:size] * len(text))[: len(text)] for size in range(1, 7))


def _is_walk(text: str) -> bool:
    """A walk over the keyboard or the alphabet, or two by turns: 1q2w3e4r5t6y."""
    return _walks(text) or (_walks(text[::2]) and _walks(text[1::2]))


def _walks(text: str) -> bool:
    """Neighbours on the keyboard or in the alphabet, one after the other, most of the way."""
    steps = sum(pair in NEAR or abs(ord(pair[0]) - ord(pair[1])) <= 1 for pair in pairwise(text))
    return steps >= MOST_STEPS * (len(text) - 1)


def _mostly(text: str, known: str) -> bool:
    text, known = ("".join(filter(str.isalnum, part)) for part in (text, known))
    return len(known) >= KNOWN_LEAST and known in text and len(text) - len(known) < OWN_LEAST
