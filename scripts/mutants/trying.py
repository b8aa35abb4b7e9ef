"""One mutant after the other before its tests: what each of them came to."""

import ast
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

from scripts.mutants.forking import Tell, watched
from scripts.mutants.mapping import Map, limit, near, ordered
from scripts.mutants.operators import Mutant
from scripts.mutants.swapping import AtImportError, Pair, Running, compiled, pairs
from scripts.mutants.testing import collected, try_all

# What most of a start goes into. Not what pytest wants to import by itself.
HEAVY = (
    "sqlalchemy.orm",
    "fastapi.routing",
    "pydantic_settings",
    "alembic.command",
    "structlog",
    "psycopg",
    "cryptography.fernet",
)
KILLED, SURVIVED, LATE = "killed", "survived", "timed out"


@dataclass(frozen=True)
class Verdict:
    mutant: Mutant
    state: str
    by: str = ""  # the test that noticed
    tried: int = 0  # tests


@dataclass(frozen=True)
class Plan:
    """A mutant with its tests. `changes`: of functions, None when the module has to be imported anew."""

    mutant: Mutant
    tests: tuple[str, ...]
    changes: tuple[Pair, ...] | None


class Planner:
    def __init__(self, root: Path, known: Map, seconds: float) -> None:
        self.root = root
        self.map = known
        self.seconds = seconds

    def plan(self, mutant: Mutant) -> Plan:
        path = self.root / mutant.path
        text = path.read_bytes()
        lines = range(mutant.first, mutant.last + 1)
        changes = _changes(compiled(path, text), compiled(path, mutant.applied(text)))
        imported = set(self.map.imported.get(mutant.path, ()))
        if changes is not None and imported.intersection(lines):
            changes = None  # what it did at import is done
        found = self.map.of(mutant.path, lines)
        if changes is None:
            found = self._users(mutant, text) or found or self.map.of(mutant.path, range(1, text.count(b"\n") + 2))
            found = [*{*found, *self._about(mutant.path)}]  # a test of nothing but data runs no line
        return Plan(mutant, tuple(ordered(self.map, mutant.path, found, self.seconds)), changes)

    def _about(self, path: str) -> list[str]:
        return [name for name in self.map.tests if name.partition("::")[0].endswith(near(path))]

    def _users(self, mutant: Mutant, text: bytes) -> list[str]:
        """Tests of the functions of the file that name what a statement of the module gives a name to."""
        tree = ast.parse(text)
        names = {name for node in tree.body if node.lineno == mutant.first for name in _given(node)}
        wide = names
        while wide:  # LIVE_BY_ID is made of LIVE
            wide = {name for node in tree.body if not names.isdisjoint(_read(node)) for name in _given(node)} - names
            names |= wide
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        lines = {
            node.lineno
            for function in functions
            for node in ast.walk(function)
            if isinstance(node, ast.Name) and node.id in names
        }
        return self.map.of(mutant.path, lines)


def _changes(old: CodeType, new: CodeType) -> tuple[Pair, ...] | None:
    with suppress(AtImportError):
        return tuple(pairs(old, new))
    return None


def _given(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Assign | ast.AnnAssign):
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                yield part.id


def _read(node: ast.stmt) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}


Note = Callable[[Verdict], None]


class Trial:
    """Tries plans, the cheap ones in one session of pytest, the others in a session each."""

    def __init__(self, root: Path, known: Map, folder: Path, note: Note) -> None:
        self.root = root
        self.map = known
        self.folder = folder
        self.note = note

    def swapped(self, plans: Sequence[Plan], items: list[pytest.Item]) -> None:
        """In forks of a process that has collected all tests and is warm."""
        by_name = {item.nodeid: item for item in items}
        running = Running({self.root / plan.mutant.path for plan in plans})
        for plan in plans:
            tests = [by_name[name] for name in plan.tests]

            def work(tell: Tell, plan: Plan = plan, tests: list[pytest.Item] = tests) -> None:
                running.swap(plan.changes or ())
                try_all(tests, self._limits(plan), tell)

            self.note(_verdict(plan, work))

    def imported(self, plan: Plan, *, changed: bool = True) -> None:
        """In a fork of a process that has imported nothing of the project yet."""

        def loop(items: list[pytest.Item], tell: Tell) -> None:
            by_name = {item.nodeid: item for item in items}
            try_all([by_name[name] for name in plan.tests if name in by_name], self._limits(plan), tell)

        def work(tell: Tell) -> None:
            path = self.root / plan.mutant.path
            text = path.read_bytes()
            code = compiled(path, plan.mutant.applied(text) if changed else text)
            sys.meta_path.insert(0, Instead(plan.mutant.path, code))
            places = sorted({name.partition("::")[0] for name in plan.tests})
            collected(places, str(self.folder / "one"), lambda items: loop(items, tell))
            tell(KILLED, "the import")  # nobody hears it when the tests have spoken

        self.note(_verdict(plan, work))

    def _limits(self, plan: Plan) -> list[float]:
        return [limit(self.map.tests[name]) for name in plan.tests]


def _verdict(plan: Plan, work: Callable[[Tell], None]) -> Verdict:
    if not plan.tests:
        return Verdict(plan.mutant, SURVIVED)
    for kind, fact in watched(work):
        match kind:
            case "killed":
                return Verdict(plan.mutant, KILLED, by=fact)
            case "survived":
                return Verdict(plan.mutant, SURVIVED, tried=fact)
            case "late":
                return Verdict(plan.mutant, LATE)
    return Verdict(plan.mutant, KILLED, by="the end of the process")


class Instead(MetaPathFinder):
    """Finds one module with other code in it."""

    def __init__(self, path: str, code: CodeType) -> None:
        self._name = path.removesuffix(".py").replace("/", ".")
        self._code = code

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self._name:
            return None
        spec = PathFinder.find_spec(name, path, target)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = _Changed(name, spec.origin, self._code)
        return spec


class _Changed(SourceFileLoader):
    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code


def preload() -> None:
    for name in HEAVY:
        import_module(name)
