"""Measures the goals: `python -m benchmarks [--quick | --million] [--growth] [--only sqlite|postgresql]`.

Quick is a smoke run on a tenth of the school: its times say little. The machine must have nothing
else to do; ratios to the same by hand say more than milliseconds.
"""

import argparse
import os
from collections.abc import Iterable, Iterator, Sequence

from backend.core import logging
from benchmarks.bulk import ROWS, bulk
from benchmarks.goals import Bench
from benchmarks.growth import growth
from benchmarks.imports import ROWS as FILE_ROWS
from benchmarks.imports import file_imports
from benchmarks.report import Line, save, table
from benchmarks.school import FULL, MILLION, QUICK
from benchmarks.storage import available, school

KINDS = ("sqlite", "postgresql")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the school, few requests")
    parser.add_argument("--million", action="store_true", help="five times the people: a million")
    parser.add_argument("--growth", action="store_true", help="also with ten times the people")
    parser.add_argument("--only", choices=KINDS, help="one database")
    chosen = parser.parse_args()
    logging.configure(debug=False)
    size = QUICK if chosen.quick else MILLION if chosen.million else FULL
    found: dict[str, Sequence[Line]] = {}
    for kind in [chosen.only] if chosen.only else KINDS:
        if not available(kind):
            print(f"{kind}: skipped, TEST_DATABASE_URL names no server")
            continue
        with school(kind, size) as url:
            lines = Bench(kind, url, size, 0.2 if chosen.quick else 1.0).run()
            lines += _shown(bulk(url, ROWS if not chosen.quick else ROWS // 10))
            lines += _shown(file_imports(url, FILE_ROWS if not chosen.quick else FILE_ROWS // 10))
            if chosen.growth:
                lines += _shown(growth(kind, url))
        print(f"\n\n{kind}, {size.users:,} users, {size.purchases:,} purchases")
        print(table(lines), flush=True)
        found[kind] = lines
    about = {"users": size.users, "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    print(f"\n{save(found, dict(about))}")


def _shown(lines: Iterable[Line]) -> Iterator[Line]:
    for line in lines:
        line.show()
        yield line


if __name__ == "__main__":
    main()
