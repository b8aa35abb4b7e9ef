"""What `make mutants` changes, what it leaves alone, and that a running function is really another one afterwards."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from scripts.mutants.__main__ import interval, sampled
from scripts.mutants.forking import BrokenError, Tell, watched
from scripts.mutants.mapping import Map, Taken, ordered
from scripts.mutants.operators import Mutant, mutants_of
from scripts.mutants.swapping import AtImportError, Running, compiled, pairs


def changed(text: str) -> list[str]:
    """What each mutant's lines say instead."""
    return [mutant.after.strip() for mutant in mutants_of("one.py", text.encode())]


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("a = b == c\n", ["a = b != c"]),
        ("a = b < c\n", ["a = b <= c"]),
        ("a = b is not c\n", ["a = b is c"]),
        ("a = b not in c\n", ["a = b in c"]),
        ("a = b and c\n", ["a = b or c"]),
        ("a = b | c\n", ["a = b & c"]),
        ("a += b\n", ["a -= b"]),
        ("a = not b\n", ["a = (b)"]),
        ("a = 15\n", ["a = 16"]),
        ("a = True\n", ["a = False"]),
        ('a = "paid"\n', ["a = 'XXpaidXX'"]),
        ("a = b if c else d\n", ["a = b if (not (c)) else d"]),
        ("a = [b for b in c if b]\n", ["a = [b for b in c if (not (b))]"]),
        ("a.b = c\n", ["pass"]),
        ("a(b)\n", ["pass"]),
        ("raise A\n", ["pass"]),
        ("def a():\n    return b\n", ["return None"]),
        ("for a in b:\n    continue\n", ["break"]),
        ("a = b.where(c, d)\n", ["a = b.where(d)", "a = b.where(c)"]),
        ("a = b(c, d=e)\n", ["a = b(c)"]),
        ("a = b, c\n", ["a = b,", "a = c,"]),
        ("a = {b, c}\n", ["a = {c}", "a = {b}"]),
    ],
)
def test_one_change_of_each_kind(text: str, instead: list[str]) -> None:
    assert sorted(changed(text)) == sorted(instead)


@pytest.mark.parametrize(
    "text",
    [
        '"""A text."""\n',
        "import a\n",
        "__all__ = ['a']\n",
        "assert a == 1\n",
        "a: 'int'\n",
        "def a(b: 'int') -> 'str': ...\n",
        "@a(b=1)\ndef c(): ...\n",
        "log.warning('a', b=1)\n",
        "a = _('Nobody is there.')\n",
        "a = _('%s is gone.') % b\n",
        "a = f'{b} is {c + 1}'\n",
        "a = T = TypeVar('T', bound=b)\n",
        "a = b == 1  # pragma: no cover - never\n",
        "a = b.with_for_update(skip_locked=True)\n",
    ],
)
def test_what_says_nothing_about_behaviour_is_left_alone(text: str) -> None:
    assert changed(text) == []


LONG = """\
import functools

SCALE = 2


def more(function):
    @functools.wraps(function)
    def call(*given):
        return function(*given) + 1

    return call


@more
def price(stars, part):
    taken = stars.replace(part, "")
    print(
        taken,
    )
    return len(taken) * SCALE


@functools.cache
def once():
    return len("first")
"""


def of_long(after: str) -> Mutant:
    (found,) = [mutant for mutant in mutants_of("one.py", LONG.encode()) if mutant.after.strip() == after]
    return found


def test_what_follows_a_change_keeps_its_line() -> None:
    assert of_long("pass").applied(LONG.encode()).decode() == LONG.replace(
        "    print(\n        taken,\n    )\n", "    pass\n\n\n"
    )
    for mutant in mutants_of("one.py", LONG.encode()):
        assert mutant.applied(LONG.encode()).count(b"\n") == LONG.count("\n")


def test_a_key_stays_when_lines_are_put_before() -> None:
    before = [mutant.key for mutant in mutants_of("one.py", LONG.encode())]
    assert [mutant.key for mutant in mutants_of("one.py", f"x = y\n\n{LONG}".encode())] == before
    assert len(set(before)) == len(before)


@pytest.fixture
def running(tmp_path: Path) -> ModuleType:
    """LONG, imported; its functions have run."""
    path = tmp_path / "one.py"
    path.write_text(LONG)
    made = ModuleType("one")
    made.__file__ = str(path)
    exec(compiled(path, LONG.encode()), made.__dict__)
    assert (made.price("a-b", "-"), made.once()) == (2 * 2 + 1, 5)
    return made


@pytest.mark.parametrize(
    ("after", "price", "once"),
    [
        ("return function(*given) - 1", 2 * 2 - 1, 5),  # a closure that was made at import
        ("return len(taken) / SCALE", 2 / 2 + 1, 5),  # what a decorator wraps
        ("return len('XXfirstXX')", 2 * 2 + 1, 9),  # what a cache has kept
    ],
)
def test_a_running_function_is_another_one(running: ModuleType, after: str, price: float, once: int) -> None:
    path = Path(running.__file__ or "")
    changes = list(pairs(compiled(path, LONG.encode()), compiled(path, of_long(after).applied(LONG.encode()))))
    Running([path]).swap(changes)
    assert (running.price("a-b", "-"), running.once()) == (price, once)


def test_what_runs_at_import_cannot_be_swapped(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    changed = compiled(path, of_long("SCALE = 3").applied(LONG.encode()))
    with pytest.raises(AtImportError):
        list(pairs(compiled(path, LONG.encode()), changed))


def speak(tell: Tell) -> None:
    tell("next", 30.0)
    tell("said", {"a": 1})


def hang(tell: Tell) -> None:
    tell("next", 0.1)
    time.sleep(30)


def die(tell: Tell) -> None:
    os._exit(len(str(tell)))


def fall(tell: Tell) -> None:
    raise ValueError(tell)


@pytest.mark.parametrize(
    ("work", "heard"),
    [(speak, [("said", {"a": 1}), ("ended", None)]), (hang, [("late", None)]), (die, [("ended", None)])],
)
def test_a_child_is_watched(work: Callable[[Tell], None], heard: list[tuple[str, object]]) -> None:
    assert list(watched(work)) == heard


def test_a_mistake_of_the_child_is_one_of_the_parent() -> None:
    with pytest.raises(BrokenError, match="ValueError"):
        list(watched(fall))


def test_tests_about_the_file_come_first_and_then_the_fastest_of_each_file() -> None:
    took = {
        "tests/api/test_users.py::b": 0.2,
        "tests/api/test_users.py::a": 0.1,
        "tests/crm/test_sales.py::a": 0.15,
        "tests/money/test_payments.py::b": 5.0,
        "tests/money/test_payments.py::a": 1.0,
        "tests/money/test_payments.py::c": 9.0,
    }
    known = Map(tests={name: Taken(seconds, {"crud/payments.py": [3]}) for name, seconds in took.items()})
    assert known.of("crud/payments.py", [2, 3]) == list(took)
    assert known.of("crud/payments.py", [4]) == []
    assert ordered(known, "crud/payments.py", list(took), 7.0) == [
        "tests/money/test_payments.py::a",
        "tests/money/test_payments.py::b",
        "tests/api/test_users.py::a",
        "tests/crm/test_sales.py::a",
        "tests/api/test_users.py::b",
    ]


def made(path: str, count: int) -> list[Mutant]:
    return [Mutant(path, n, n, n, (0, 0, ""), "", "", f"{path}{n}") for n in range(count)]


def test_a_sample_is_in_proportion_and_the_same_for_its_seed() -> None:
    mutants = made("a", 200) + made("b", 100)
    first = sampled(mutants, 30, 1)
    assert (sum(one.path == "a" for one in first), len(first)) == (20, 30)
    assert sampled(mutants, 30, 1) == first
    assert sampled(mutants, 30, 2) != first
    assert sampled(mutants, 0, 1) == mutants


def test_the_interval_is_wilsons() -> None:
    low, high = interval(270, 300)
    assert (round(low, 4), round(high, 4)) == (0.8608, 0.9291)
