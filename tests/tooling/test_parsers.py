"""Five thousand of the million texts that `make fuzz` sends to all parsers, and whether it notices what they break."""

from pathlib import Path

from scripts.parsers import Target, fuzz, targets

CASES = 5_000


def test_nothing_comes_out_but_declared_errors() -> None:
    found = fuzz(CASES)
    assert found.broken == []
    assert sum(found.cases.values()) == CASES
    assert all(count > 100 for count in found.cases.values())
    assert len(found.cases) == len(targets(Path())) == 16


def careless(given: str) -> str:
    """Breaks at half a character, and declares only what `int` says."""
    if given.isdecimal():
        int(given)
    return given.encode().decode()


def test_a_parser_that_breaks_is_found_again_by_the_seed() -> None:
    def chosen(_folder: Path) -> list[Target]:
        return [Target("careless", careless, ("a text", "12"), (ZeroDivisionError,))]

    found = fuzz(2_000, 7, chosen)
    assert {line.split(": ")[1] for line in found.broken} >= {"UnicodeEncodeError"}
    assert fuzz(2_000, 7, chosen).broken == found.broken
    assert fuzz(2_000, 8, chosen).broken != found.broken
