"""Does the list of people stay as fast with ten times the people?"""

from statistics import median

from backend.database.session import Database
from benchmarks.client import Wire, request
from benchmarks.goals import ROUNDS, WARM, grant
from benchmarks.report import Line
from benchmarks.school import GROWN
from benchmarks.serving import APP, serving
from benchmarks.storage import school

LIMIT = 1.3
PATHS = {
    "list": "/dashboard/users/",
    "list by name": "/dashboard/users/?sort=name",
    "search": "/dashboard/users/?q=%D0%BE%D1%80%D0%BB%D0%BE%D0%B2%D0%B0%20%D0%B0%D0%BD%D0%BD%D0%B0",
}


def growth(kind: str, url: str) -> list[Line]:
    with school(kind, GROWN) as grown:
        addresses = (url, grown)
        headers = []
        for address in addresses:
            database = Database(address)
            headers.append(grant(database).page)
            database.dispose()
        with serving(APP, url) as small, serving(APP, grown) as large:
            wires = [Wire(small.port), Wire(large.port)]
            lines = []
            for title, path in PATHS.items():
                sent = [request(path, some) for some in headers]
                taken: list[list[float]] = [[], []]
                for wire, asked in zip(wires, sent, strict=True):
                    wire.time(asked, WARM)
                for _ in range(ROUNDS):
                    for wire, asked, found in zip(wires, sent, taken, strict=True):
                        found.extend(wire.time(asked, 40))
                before, after = map(median, taken)
                shown = f"{before:.2f} -> {after:.2f} ms"
                ratio = after / before
                values = {"before_ms": before, "after_ms": after}
                line = Line(f"growth 10x, {title}", f"<= {LIMIT}", shown, "", ratio, ratio <= LIMIT)
                line.values = values
                lines.append(line)
    return lines
