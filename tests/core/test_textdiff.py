"""Two versions of a text, word by word."""

import pytest

from backend.core.textdiff import Piece, compare


def told(before: str, after: str) -> list[tuple[str, str]]:
    return [(piece.kind, piece.text) for piece in compare(before, after)]


@pytest.mark.parametrize(
    ("before", "after", "pieces"),
    [
        ("Свет из окна", "Свет из двери", [("same", "Свет из "), ("del", "окна"), ("ins", "двери")]),
        ("a b", "a b", [("same", "a b")]),
        ("", "b", [("ins", "b")]),
        ("b", "", [("del", "b")]),
        ("a a a", "a a", [("same", "a a"), ("del", " a")]),
        ("", "", []),
    ],
)
def test_words_stay_go_and_come(before: str, after: str, pieces: list[tuple[str, str]]) -> None:
    assert told(before, after) == pieces


def test_what_stayed_far_away_is_left_out() -> None:
    start, end = "x " * 300, " y" * 300
    found = compare(f"{start}old{end}", f"{start}new{end}")
    assert [piece.kind for piece in found] == ["gap", "same", "del", "ins", "same", "gap"]
    assert (found[1], found[2], found[3]) == (Piece("same", start[-60:]), Piece("del", "old"), Piece("ins", "new"))


def test_whatever_is_sent_both_versions_can_be_read_back() -> None:
    before, after = "a b " * 5000 + "c", "c " + "b a " * 5000
    found = compare(before, after)
    assert [piece.kind for piece in found] == ["del", "ins"]
    short = compare("один два три", "два три четыре")
    assert "".join(piece.text for piece in short if piece.kind != "ins") == "один два три"
    assert "".join(piece.text for piece in short if piece.kind != "del") == "два три четыре"
