"""The table of goals on the screen, and the same as JSON in benchmarks/results/."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
HEADINGS = ("", "goal", "measured", "by hand", "ratio", "cpu ms", "by hand", "")


@dataclass
class Line:
    """One goal. `ok` is None where there is nothing to reach."""

    title: str
    goal: str
    measured: str
    hand: str = ""
    ratio: float | None = None
    ok: bool | None = None
    values: dict[str, float] = field(default_factory=dict)

    def show(self) -> None:
        """At once: a run takes many minutes and may be cut short."""
        print("  ", *filter(None, self.cells()), sep="  ", flush=True)

    def cells(self) -> tuple[str, ...]:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        verdict = {True: "ok", False: "MISS", None: ""}[self.ok]
        ours, theirs = self._cpu("cpu_ms"), self._cpu("hand_cpu_ms")
        return self.title, self.goal, self.measured, self.hand, ratio, ours, theirs, verdict

    def _cpu(self, name: str) -> str:
        """What the server computes for one request: no busy neighbour changes that much."""
        return f"{self.values[name]:.2f}" if self.values.get(name) else ""


def table(lines: Sequence[Line]) -> str:
    rows = [HEADINGS, *(line.cells() for line in lines)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def save(found: dict[str, Sequence[Line]], about: dict[str, object]) -> Path:
    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = RESULTS / f"{now:%Y-%m-%d-%H%M}.json"
    content = {
        "at": now.isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        **about,
        "lines": {kind: [asdict(line) for line in lines] for kind, lines in found.items()},
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return path
