"""Which new passwords will do."""

import pytest

from backend.core import passwords
from backend.core.passwords import common, problem

LENGTH = "At least 12 characters."
PATTERN = "This pattern is easy to guess. Use several unrelated words."
COMMON = "This password is too common and easy to guess. Use several unrelated words."
PERSONAL = "This is too similar to your name, login or school."


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("tulip-kettle-orbit", None),
        ("надёжный пароль кота", None),
        ("kJ8#mPq2vL9x", None),
        ("twelve chars", None),
        ("x" * 11, LENGTH),
        ("", LENGTH),
        ("ﬁve chars!", LENGTH),
        ("a long and fine one " * 7, "At most 128 characters."),
        ("aaaaaaaaaaaa", PATTERN),
        ("abababababab", PATTERN),
        ("Abc1Abc1Abc1Abc1", PATTERN),
        ("123456789012", PATTERN),
        ("qwertyuiop[]", PATTERN),
        ("1q2w3e4r5t6y", PATTERN),
        ("zaq12wsxcde3", PATTERN),
        ("йцукенгшщзхъ", PATTERN),
        ("abcdefghijkl", PATTERN),
        ("password1234", COMMON),
        ("Password2024!", COMMON),
        ("P@ssw0rd1234", COMMON),
        ("monkeymonkey1", COMMON),
        ("iloveyoumaster", COMMON),
        ("correct horse battery staple", COMMON),
        ("пароль2024!!!", COMMON),
        *(
            (leaked, COMMON)
            for leaked in (
                "harrypotter123",
                "manchesterunited",
                "newcastleunited",
                "michaeljordan",
                "liverpoolfc1892",
                "motherfucker",
                "lyceumschool1",
                "princessjasmine",
                "slipknot6661",
                "christopher1985",
                "unbelievable",
                "professional1",
            )
        ),
        ("anna-smirnova1", PERSONAL),
        ("annasmirnova!", PERSONAL),
        ("sunlight.2026", PERSONAL),
        ("Smirnova1985", PERSONAL),  # a word of the name is enough
    ],
)
def test_what_guessers_try_first_is_refused(password: str, expected: str | None) -> None:
    assert problem(password, "Анна", "anna smirnova", None, "", "Sun Light") == expected


def test_a_short_name_inside_a_long_password_is_no_matter() -> None:
    assert problem("banana-split-evening", "Li", "ana") is None


def test_the_list_is_long_and_every_entry_long_enough_to_matter() -> None:
    assert len(common()) >= 1000
    assert min(map(len, common())) == passwords.LEAST
    assert all(problem(entry) in (COMMON, PATTERN) for entry in list(common())[:500] if len(entry) <= 128)
