"""The small changes that a test should notice, as replacements in the text of a module.

Left alone, because nobody's behaviour is in them: docstrings, annotations, decorators, imports, assertions (they narrow
types), `__all__`, type variables, texts for people (`_()`, `N_()`, f-strings, "description") and what is written to the
log. A line with `pragma: no cover` is left alone as well, and so is how a row is locked, which SQLite does not do.
"""

import ast
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

SILENT_CALLS = frozenset({"_", "N_", "ngettext", "TypeVar"})
LOCKS = frozenset({"with_for_update"})
UNSAID = frozenset({"description"})  # keys of dicts whose values are texts of the documentation
CONDITIONS = frozenset({"where", "or_", "and_", "order_by", "options", "on_conflict_do_nothing"})
COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Is: (r"\bis\b", "is not"),
    ast.IsNot: (r"\bis\s+not\b", "is"),
    ast.In: (r"\bin\b", "not in"),
    ast.NotIn: (r"\bnot\s+in\b", "in"),
}
ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: (r"\+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: (r"\*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.Pow: (r"\*\*", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: (r"\|", "&"),
}
PAIR = 2
Change = tuple[int, int, str]  # from byte, to byte, what stands there instead


@dataclass(frozen=True)
class Mutant:
    path: str  # in the project
    line: int
    first: int  # lines of the statement, without what it holds
    last: int
    change: Change
    before: str  # the changed lines
    after: str
    key: str  # the same after changes elsewhere in the file

    def applied(self, text: bytes) -> bytes:
        start, end, new = self.change
        return text[:start] + new.encode() + text[end:]


class Source:
    """A module, its tree, and where the nodes of the tree stand in its bytes."""

    def __init__(self, path: str, text: bytes) -> None:
        self.path = path
        self.text = text
        self.lines = text.split(b"\n")
        self._starts = [0]
        for line in self.lines:
            self._starts.append(self._starts[-1] + len(line) + 1)
        self.tree = ast.parse(text)

    def span(self, node: Any) -> tuple[int, int]:
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def between(self, left: Any, right: Any, pattern: str, new: str) -> Iterator[Change]:
        """The operator between two nodes."""
        start, end = self.span(left)[1], self.span(right)[0]
        found = re.search(pattern.encode(), self.text[start:end])
        if found:
            yield start + found.start(), start + found.end(), new

    def whole(self, node: Any, new: str) -> Change:
        return *self.span(node), new

    def code(self, node: Any) -> str:
        start, end = self.span(node)
        return self.text[start:end].decode()

    def without(self, parts: Sequence[Any], dropped: int) -> Change:
        """A list with commas that lacks one of its parts."""
        if dropped + 1 < len(parts):
            return self.span(parts[dropped])[0], self.span(parts[dropped + 1])[0], ""
        start = self.span(parts[dropped - 1])[1] if dropped else self.span(parts[dropped])[0]
        return start, self.span(parts[dropped])[1], ""


def mutants_of(path: str, text: bytes) -> list[Mutant]:
    """All of a module, in the order of its text."""
    source = Source(path, text)
    seen: Counter[str] = Counter()
    found = []
    for first, last, change in sorted(set(_walk(source, source.tree, (1, 1))), key=lambda one: (one[2], one)):
        whole = _same_lines(source, change)
        if _compiles(text[: whole[0]] + whole[2].encode() + text[whole[1] :]):
            before, after = _diff(source, whole)
            name = f"{path}\n{before}\n{after}"
            key = hashlib.sha256(f"{name}\n{seen[name]}".encode()).hexdigest()[:8]
            seen[name] += 1
            line = text.count(b"\n", 0, whole[0]) + 1
            found.append(Mutant(path, line, first, last, whole, before, after, key))
    return found


def _same_lines(source: Source, change: Change) -> Change:
    """Padded, so that all that follows keeps its line."""
    start, end, new = change
    return start, end, new + "\n" * (source.text.count(b"\n", start, end) - new.count("\n"))


def _compiles(text: bytes) -> bool:
    try:
        compile(text, "mutant", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def _diff(source: Source, change: Change) -> tuple[str, str]:
    start, end, new = change
    begin = source.text.rfind(b"\n", 0, start) + 1
    finish = source.text.find(b"\n", end)
    before = source.text[begin:finish]
    after = source.text[begin:start] + new.encode() + source.text[end:finish]
    return before.decode(), "\n".join(line for line in after.decode().split("\n") if line.strip())


Found = tuple[int, int, Change]


def _walk(source: Source, node: ast.AST, lines: tuple[int, int]) -> Iterator[Found]:
    if _silent(source, node):
        return
    if isinstance(node, ast.stmt):
        lines = _header(node)
    for rule in RULES.get(type(node), ()):
        for change in rule(source, node):
            yield *lines, change
    for child in _children(node):
        yield from _walk(source, child, lines)


def _header(node: ast.stmt) -> tuple[int, int]:
    """The lines of a statement without the statements in it."""
    inner = node.cases[0].pattern if isinstance(node, ast.Match) else next(iter(getattr(node, "body", ())), None)
    if inner is None:
        return node.lineno, node.end_lineno or node.lineno
    return node.lineno, max(node.lineno, inner.lineno - 1)


def _silent(source: Source, node: ast.AST) -> bool:
    if isinstance(node, ast.stmt):
        return _silent_statement(source, node)
    if isinstance(node, ast.Call):
        return _name(node.func) in SILENT_CALLS or _of_the_log(node)
    if isinstance(node, ast.keyword):
        return node.arg in LOCKS
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return isinstance(node.left, ast.Call) and _name(node.left.func) in SILENT_CALLS
    return isinstance(node, ast.JoinedStr | ast.arg)


def _silent_statement(source: Source, node: ast.stmt) -> bool:
    if any(b"pragma: no cover" in line for line in source.lines[node.lineno - 1 : _header(node)[1]]):
        return True
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Assert():
            return True
        case ast.Expr(value=ast.Constant()):
            return True  # a docstring
        case ast.Expr(value=ast.Call() as call):
            return _of_the_log(call)
        case ast.Assign(targets=[ast.Name(id="__all__")]):
            return True
    return False


def _of_the_log(call: ast.Call) -> bool:
    func = call.func
    return isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.value.id == "log"


def _name(func: ast.expr) -> str:
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""


def _children(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from node.args.defaults
            yield from (default for default in node.args.kw_defaults if default is not None)
            yield from node.body
        case ast.ClassDef():
            yield from node.body
        case ast.AnnAssign():
            yield from (part for part in (node.value,) if part is not None)
        case ast.Call() if _name(node.func) in LOCKS:
            yield node.func
        case ast.Dict():
            for key, value in zip(node.keys, node.values, strict=True):
                if not (isinstance(key, ast.Constant) and key.value in UNSAID):
                    yield from (part for part in (key, value) if part is not None)
        case _:
            yield from ast.iter_child_nodes(node)


# -- rules: a node gives the changes that can be made to it


def _comparison(source: Source, node: ast.Compare) -> Iterator[Change]:
    sides = [node.left, *node.comparators]
    for left, right, operator in zip(sides, sides[1:], node.ops, strict=False):
        yield from source.between(left, right, *COMPARISONS[type(operator)])


def _logic(source: Source, node: ast.BoolOp) -> Iterator[Change]:
    pattern, new = (r"\band\b", "or") if isinstance(node.op, ast.And) else (r"\bor\b", "and")
    for left, right in zip(node.values, node.values[1:], strict=False):
        yield from source.between(left, right, pattern, new)


def _arithmetic(source: Source, node: ast.BinOp) -> Iterator[Change]:
    if type(node.op) in ARITHMETIC:
        yield from source.between(node.left, node.right, *ARITHMETIC[type(node.op)])


def _unary(source: Source, node: ast.UnaryOp) -> Iterator[Change]:
    yield source.whole(node, f"({source.code(node.operand)})")


def _constant(source: Source, node: ast.Constant) -> Iterator[Change]:
    value = node.value
    if isinstance(value, bool):
        yield source.whole(node, str(not value))
    elif isinstance(value, int | float):
        yield source.whole(node, repr(value + 1))
    elif isinstance(value, str):
        yield source.whole(node, repr(f"XX{value}XX"))
    elif isinstance(value, bytes):
        yield source.whole(node, repr(b"XX" + value + b"XX"))


def _condition(source: Source, node: ast.If | ast.While | ast.IfExp) -> Iterator[Change]:
    yield from _negated(source, node.test)


def _conditions(source: Source, node: ast.comprehension) -> Iterator[Change]:
    for test in node.ifs:
        yield from _negated(source, test)


def _negated(source: Source, test: ast.expr) -> Iterator[Change]:
    """The other kinds of conditions have a rule of their own."""
    if not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Constant):
        yield source.whole(test, f"(not ({source.code(test)}))")


def _arguments(source: Source, node: ast.Call) -> Iterator[Change]:
    """Without one of its conditions or of its named arguments."""
    if _name(node.func) in LOCKS:
        return
    parts = sorted([*node.args, *node.keywords], key=source.span)
    conditions = _name(node.func) in CONDITIONS
    for index, part in enumerate(parts):
        if conditions or (isinstance(part, ast.keyword) and part.arg is not None and part.arg not in LOCKS):
            yield source.without(parts, index)


def _members(source: Source, node: ast.Set) -> Iterator[Change]:
    """Without one of the members."""
    for index in range(len(node.elts)):
        yield source.without(node.elts, index)


def _tuples(source: Source, node: ast.Call | ast.Compare | ast.Assign | ast.keyword) -> Iterator[Change]:
    """Without one member of a tuple that may be of any length: it is not unpacked, nor one of several results."""
    match node:
        case ast.Call():
            values = node.args
        case ast.Compare():
            values = node.comparators
        case ast.Assign(targets=[ast.Name()]) | ast.keyword():
            values = [node.value]
        case _:
            return
    for value in values:
        if isinstance(value, ast.Tuple):
            yield from _shorter(source, value.elts)


def _shorter(source: Source, parts: list[ast.expr]) -> Iterator[Change]:
    if len(parts) == PAIR:  # what is left stays a tuple
        start, end = source.span(parts[0])[0], source.span(parts[1])[1]
        for part in parts:
            yield start, end, f"{source.code(part)},"
    elif len(parts) > PAIR:
        for index in range(len(parts)):
            yield source.without(parts, index)


def _expression(source: Source, node: ast.Expr) -> Iterator[Change]:
    if isinstance(node.value, ast.Call | ast.Await | ast.Yield | ast.YieldFrom):
        yield source.whole(node, "pass")


def _statement(source: Source, node: ast.Raise) -> Iterator[Change]:
    yield source.whole(node, "pass")


def _assignment(source: Source, node: ast.Assign | ast.AnnAssign) -> Iterator[Change]:
    """What changes an object, left undone. A name without its value fails at once and proves nothing."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if all(isinstance(target, ast.Attribute | ast.Subscript) for target in targets):
        yield source.whole(node, "pass")


def _growth(source: Source, node: ast.AugAssign) -> Iterator[Change]:
    if type(node.op) in ARITHMETIC:
        yield from source.between(node.target, node.value, *ARITHMETIC[type(node.op)])


def _return(source: Source, node: ast.Return) -> Iterator[Change]:
    if node.value is not None and not isinstance(node.value, ast.Constant):
        yield source.whole(node, "return None")


def _jump(source: Source, node: ast.Break | ast.Continue) -> Iterator[Change]:
    yield source.whole(node, "continue" if isinstance(node, ast.Break) else "break")


Rule = Callable[[Source, Any], Iterable[Change]]
RULES: dict[type[ast.AST], tuple[Rule, ...]] = {
    ast.Compare: (_comparison, _tuples),
    ast.BoolOp: (_logic,),
    ast.BinOp: (_arithmetic,),
    ast.UnaryOp: (_unary,),
    ast.Constant: (_constant,),
    ast.If: (_condition,),
    ast.While: (_condition,),
    ast.IfExp: (_condition,),
    ast.comprehension: (_conditions,),
    ast.Call: (_arguments, _tuples),
    ast.keyword: (_tuples,),
    ast.Set: (_members,),
    ast.Expr: (_expression,),
    ast.Raise: (_statement,),
    ast.Assign: (_assignment, _tuples),
    ast.AnnAssign: (_assignment,),
    ast.AugAssign: (_growth,),
    ast.Return: (_return,),
    ast.Break: (_jump,),
    ast.Continue: (_jump,),
}
