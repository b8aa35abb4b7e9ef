"""Which tests run which lines of the files, and how long each test takes; kept in .mutants/map.json.

The tests of a file are run in a fork of their own, so that what the program makes once is made, and seen, once a file.
Hashes tell which files were changed since: all is drawn anew after a change of the program, else what is new in tests.
"""

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import coverage
import pytest

from scripts.mutants.forking import Tell, watched
from scripts.mutants.swapping import Running
from scripts.mutants.testing import passes, warm

Lines = dict[str, list[int]]  # by file
TEST_SECONDS = 300.0


@dataclass(frozen=True)
class Taken:
    """`seconds` and lines of a test that passed."""

    seconds: float
    lines: Lines


@dataclass
class Map:
    sources: str = ""  # the hash of the files that are changed
    imported: Lines = field(default_factory=dict)  # what runs when they are imported
    files: dict[str, str] = field(default_factory=dict)  # the hash of each test file
    tests: dict[str, Taken] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> "Map":
        if not path.exists():
            return cls()
        raw = json.loads(path.read_text())
        tests = {name: Taken(**test) for name, test in raw.pop("tests").items()}
        return cls(**raw, tests=tests)

    def save(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(asdict(self)))

    def of(self, path: str, lines: Iterable[int]) -> list[str]:
        """The tests that run any of these lines."""
        wanted = set(lines)
        return [name for name, test in self.tests.items() if not wanted.isdisjoint(test.lines.get(path, ()))]


def hashed(*paths: Path) -> str:
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()[:16]


class Mapper:
    """Draws what is missing in a map; its `loop` is pytest's, see testing.collected."""

    def __init__(self, root: Path, files: Sequence[str], place: Path, say: Callable[[str], None]) -> None:
        self.root = root
        self.say = say
        self.files = files
        self.place = place
        self.map = Map.load(place)
        self._paths = [root / name for name in files]
        self._tracer = _tracer(self._paths)

    def begin(self) -> None:
        """Before anything of the project is imported."""
        self._tracer.start()

    def loop(self, items: list[pytest.Item]) -> None:
        self._tracer.stop()
        if (now := hashed(*self._paths)) != self.map.sources:
            self.map = Map(now)
        self.map.imported = {path: sorted(lines) for path, lines in self._seen(self._tracer).items()}
        by_file: dict[str, list[pytest.Item]] = defaultdict(list)
        for item in items:
            by_file[item.nodeid.partition("::")[0]].append(item)
        self.map.files = {name: self.map.files[name] for name in by_file if name in self.map.files}
        self.map.tests = {
            name: test for name, test in self.map.tests.items() if name.partition("::")[0] in self.map.files
        }
        warm(items)
        running = Running(self._paths)
        for name, tests in by_file.items():
            if self.map.files.get(name) != (now := hashed(self.root / name)):
                self._draw(name, tests, running)
                self.map.files[name] = now
                self.map.save(self.place)  # an hour's work is not lost when it is interrupted
        self.map.save(self.place)

    def _draw(self, name: str, items: Sequence[pytest.Item], running: Running) -> None:
        self.map.tests = {key: test for key, test in self.map.tests.items() if key.partition("::")[0] != name}
        for kind, fact in watched(lambda tell: self._run(items, running, tell)):
            if kind == "test":
                self.map.tests[fact[0]] = Taken(*fact[1:])
            elif kind == "failed":
                self.say(f"left out, it fails without any change: {fact}")
            elif kind == "late":
                self.say(f"left out from where it hangs: {name}")

    def _run(self, items: Sequence[pytest.Item], running: Running, tell: Tell) -> None:
        tracer = _tracer(self._paths)
        tracer.start()
        for item, following in zip(items, [*items[1:], None], strict=True):
            tell("next", TEST_SECONDS)
            running.forget()
            tracer.switch_context(item.nodeid)
            began = time.monotonic()
            passed = passes(item, following)
            seconds = round(time.monotonic() - began, 3)
            if passed:
                tell("test", (item.nodeid, seconds, self._seen(tracer, item.nodeid)))
            elif passed is False:
                tell("failed", item.nodeid)

    def _seen(self, tracer: coverage.Coverage, context: str = "") -> Lines:
        data = tracer.get_data()
        data.set_query_context(context)
        found = ((name, data.lines(str(path))) for name, path in zip(self.files, self._paths, strict=True))
        return {name: lines for name, lines in found if lines}


def _tracer(paths: Iterable[Path]) -> coverage.Coverage:
    made = coverage.Coverage(data_file=None, include=[str(path) for path in paths], config_file=False)
    made.set_option("run:disable_warnings", ["no-data-collected"])  # a test may run no line of these files
    return made


def near(path: str) -> tuple[str, ...]:
    """What the files of tests are called that are about a file."""
    name = Path(path).stem
    return (f"test_{name}.py", f"test_{name.rstrip('s')}.py", f"test_{name}s.py")


def ordered(known: Map, path: str, tests: Sequence[str], seconds: float) -> list[str]:
    """Those of a time that are likeliest to notice: first what is about the file, then the fastest test of each
    file of tests, the second fastest of each, and so on.
    """
    about, ranks = near(path), defaultdict[str, int](int)

    def place(name: str) -> str:
        return name.partition("::")[0]

    ranked: list[tuple[int, float, str]] = []
    for name in sorted(tests, key=lambda name: (known.tests[name].seconds, name)):
        ranks[place(name)] += 1
        rank = 0 if place(name).endswith(about) else ranks[place(name)]
        ranked.append((rank, known.tests[name].seconds, name))
    return list(_within(known, (name for _rank, _seconds, name in sorted(ranked)), seconds))


def _within(known: Map, names: Iterable[str], seconds: float) -> Iterator[str]:
    """The first one always."""
    spent = 0.0
    for name in names:
        if spent and spent + known.tests[name].seconds > seconds:
            continue
        spent += known.tests[name].seconds
        yield name


def limit(test: Taken) -> float:
    """How long a test may take before it counts as hanging: this machine has other work, too."""
    return 15 + 10 * test.seconds
