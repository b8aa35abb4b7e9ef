"""Every list of the CRM as htmx asks for it: each sort up and down, near and far, and each filter."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles
from urllib.parse import urlencode

from sqlalchemy import func, select
from sqlalchemy.orm import Session

import backend.routes  # noqa: F401 - every domain declares its list
from backend.crm.table.declare import TABLES, Filter, Table
from backend.database.listing import Cursor
from backend.database.session import Database
from benchmarks.client import Wire, request
from benchmarks.report import Line
from benchmarks.serving import Server

P95_MS = 10
EACH = 4  # requests; the first of them draws its rows
PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}
Query = dict[str, str]


def fragments(server: Server, headers: dict[str, str], database: Database) -> Iterator[Line]:
    """The p95 of all of them, and the three that compute most."""
    wire, every, cpu = Wire(server.port), list[float](), dict[str, float]()
    with database.read() as session:
        paths = [f"{table.prefix}/?{urlencode(query)}" for table in TABLES.values() for query in asked(session, table)]
    for path in paths:
        before = server.cpu_ms()
        every += wire.time(request(path, headers | PARTIAL), EACH)
        cpu[path] = (server.cpu_ms() - before) / EACH
    wire.close()
    p95 = quantiles(every, n=100)[94]
    title, values = f"list fragment, p95 of {len(paths)}", {"p95_ms": p95, "p50_ms": median(every)}
    yield Line(title, f"<= {P95_MS} ms", f"{p95:.1f} / {median(every):.1f} ms", ok=p95 <= P95_MS, values=values)
    for path in sorted(cpu, key=lambda path: cpu[path], reverse=True)[:3]:
        yield Line(f"  {path[:60]}", "", f"{cpu[path]:.1f} ms of CPU", values={"cpu_ms": cpu[path]})


def asked(session: Session, table: Table) -> Iterator[Query]:
    for name in ("id", *table.crud.sorts):
        for sort in (name, f"-{name}"):
            yield {"sort": sort}
            if cursor := deep(session, table, sort):
                yield {"sort": sort, "cursor": cursor}
    for each in table.filters:
        yield from _filtered(session, each)


def deep(session: Session, table: Table, sort: str) -> str:
    """Behind nine tenths of a list; "" of an empty one."""
    crud, name = table.crud, sort.removeprefix("-")
    column, row_id = crud.sorting(name), crud.model.id
    listed = crud.list_statement().order_by(None)
    number = session.scalar(listed.with_only_columns(func.count(), maintain_column_froms=True)) or 0
    order = (column.desc(), row_id.desc()) if sort.startswith("-") else (column, row_id)
    place = listed.with_only_columns(row_id, column, maintain_column_froms=True).order_by(*order)
    found = session.execute(place.offset(number * 9 // 10).limit(1)).first()
    return Cursor(sort, found[1], found[0]).encode() if found else ""


def _filtered(session: Session, each: Filter) -> Iterator[Query]:
    if each.options:
        yield from ({each.name: value} for value, _label in each.options)
    elif each.find is not None:
        some = session.scalar(select(func.max(each.find.model.id)))
        yield {each.name: str(some or 1)}
    else:
        month_ago = (datetime.now(UTC) - timedelta(days=30)).date().isoformat()
        yield {each.names[0]: month_ago if each.kind == "date" else "2"}
