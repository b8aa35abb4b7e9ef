"""One typo: a letter that is wrong, missing, one too many, or two that changed places.

Wherever it stands, a typo leaves what is before and behind it: the trigram index finds the rows that may be meant, and
each is then compared letter by letter.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from string import digits

from backend.database.search.keys import TRIGRAM, Term, Way, sound
from backend.database.search.lookup import stands

SHORTEST = 4  # a term of three letters is one typo away from everybody
WORDS = re.compile(r"[^\W\d_]+")  # a username falls into the names that it is made of


def remains(term: Term) -> Iterator[list[str]]:
    """For every place of a typo: the texts that must stand in the key nevertheless. As the term sounds.

    Not of numbers: another number is another person's.
    """
    word = sound(term[0])
    if len(word) < SHORTEST or not word.isalpha():
        return
    for place in range(len(word) - 1):
        left = _around(word[:place], word[place + 2 :])
        # Two letters of a longer word would bring everybody.
        if left and (len(word) == SHORTEST or len("".join(left).replace(" ", "")) >= TRIGRAM):
            yield left


def _around(before: str, behind: str) -> list[str]:
    """The parts that have trigrams: before them stands a space, and behind a short end too."""
    left = [before] if len(before) >= TRIGRAM - 1 else []
    right = [behind] if len(behind) >= TRIGRAM - 1 else []
    return [*(f" {text}" for text in left), *(text if len(text) >= TRIGRAM else f"{text} " for text in right)]


def is_near(word: str, meant: str) -> bool:
    """At most one typo lies between them."""
    if abs(len(word) - len(meant)) > 1:
        return False
    start = 0
    while start < min(len(word), len(meant)) and word[start] == meant[start]:
        start += 1
    rest, other = word[start:], meant[start:]
    return rest[1:] == other[1:] or rest[1:] == other or rest == other[1:] or _exchanged(rest, other)


def _exchanged(rest: str, other: str) -> bool:
    return len(rest) > 1 and rest[:2] == other[1::-1] and rest[2:] == other[2:]


@lru_cache(maxsize=100)
def check(way: Way) -> "Check":
    """The same one for the pages of a search and for whoever types it again: it has seen most words by then."""
    return Check(way)


class Check:
    """Says of keys whether all terms of a way are there but for a typo in one."""

    def __init__(self, way: Way) -> None:
        self.terms = [(Typed(term), [[list(term)]]) for term in way]

    def __call__(self, key: str) -> bool:
        missing: Typed | None = None
        for typed, formula in self.terms:
            if not stands(formula, key):
                if missing is not None:
                    return False
                missing = typed
        return missing is not None and missing.is_in(key)


class Typed:
    """A term that may have been mistyped. Names are what keys have in common: what fits is known, and what does not."""

    def __init__(self, term: Term) -> None:
        self.spellings = tuple(dict.fromkeys((term[0], sound(term[0]))))
        self.near: set[str] = set()
        self.far = {""}

    def is_in(self, key: str) -> bool:
        """Whether a word of the key is one typo away."""
        texts = set(key.replace("@", " ").replace("_", " ").split())
        if not self.near.isdisjoint(texts):
            return True
        # What is left is new, or has the digits at its end that make a name a username.
        for text in texts - self.far:
            word = text.rstrip(digits)
            if word not in self.far and self._is_near(word):
                return True
        return False

    def _is_near(self, text: str) -> bool:
        words = WORDS.findall(text)
        if not words:
            self.far.add(text)
        for each in words:
            (self.near if _begins_near(self.spellings, each) else self.far).add(each)
        return not self.near.isdisjoint(words)


def _begins_near(spellings: tuple[str, ...], word: str) -> bool:
    """The whole word, or its beginning when enough of the term was typed."""
    for typed in spellings:
        # One typo leaves the first or the second letter in one of the first two places.
        if word[:1] == typed[:1] or word[:1] == typed[1:2] or word[1:2] in (typed[:1], typed[1:2]):
            beginnings = range(len(typed) - 1, len(typed) + 2) if len(typed) > SHORTEST else ()
            if any(is_near(typed, word[:length]) for length in (len(word), *beginnings)):
                return True
    return False
