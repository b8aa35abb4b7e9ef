"""Two versions of a text as what stayed, went and came, word by word."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

WORK = 200_000  # pairs of words; more is told as one text for another, whatever it would cost to compare them
AROUND = 60  # characters of what stayed that are shown beside a change
WORDS = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True)
class Piece:
    """`kind`: same, del, ins or gap (of what stayed and is left out)."""

    kind: str
    text: str = ""


def compare(before: str, after: str) -> list[Piece]:
    """What stayed far from any change is left out."""
    old, new = WORDS.findall(before), WORDS.findall(after)
    start = _common(old, new)
    end = _common(old[start:][::-1], new[start:][::-1])
    middle = list(_middle(old[start : len(old) - end], new[start : len(new) - end]))
    pieces = [*_piece("same", old[:start]), *middle, *_piece("same", old[len(old) - end :])]
    return list(_shortened(pieces))


def _common(old: Sequence[str], new: Sequence[str]) -> int:
    found = 0
    while found < min(len(old), len(new)) and old[found] == new[found]:
        found += 1
    return found


def _middle(old: list[str], new: list[str]) -> Iterator[Piece]:
    if len(old) * len(new) > WORK:
        yield from _piece("del", old)
        yield from _piece("ins", new)
        return
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            yield from _piece("same", old[a:b])
        else:
            yield from _piece("del", old[a:b])
            yield from _piece("ins", new[c:d])


def _piece(kind: str, words: list[str]) -> Iterator[Piece]:
    if words:
        yield Piece(kind, "".join(words))


def _shortened(pieces: list[Piece]) -> Iterator[Piece]:
    for at, piece in enumerate(pieces):
        head = "" if at == 0 else piece.text[:AROUND]
        tail = "" if at == len(pieces) - 1 else piece.text[-AROUND:]
        if piece.kind != "same" or len(piece.text) <= len(head) + len(tail) + AROUND:
            yield piece
            continue
        yield from _piece("same", [head] if head else [])
        yield Piece("gap")
        yield from _piece("same", [tail] if tail else [])
