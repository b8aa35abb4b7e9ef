"""The one list of the CRM: a domain names its columns, filters and verbs, and gets everything a list does.

    TABLE = Table(
        name="lessons", key="lesson", crud=LessonCRUD, params=LessonListFilters, prefix="/dashboard/lessons",
        title=N_("Lessons"), search=N_("Title"), label=lambda row: row.title, write=Permission.LESSONS_WRITE,
        update=LessonUpdate, none="lessons/_none.html",
        columns=(Column("title", N_("Lesson"), title, sort="title", edit=Edit(link=True)), ..., CREATED, NUMBER),
        filters=(choice("is_active", N_("Status"), ("true", N_("On sale")), ("false", N_("Hidden"))), ...),
        actions=(Action("put_on_sale", N_("Put on sale"), "eye"), ...),
        export=attributes("id", "title", ...),
    )
    install(router, TABLE)      # before the routes with an id

`declare` holds these words, `cells` and `ready` what stands in a cell, `screen` what one request shows, `editing` and
`bulk` the changes from the list, `routes` the addresses, templates/table how it looks.
"""

from backend.crm.table import cells
from backend.crm.table.declare import (
    PERCENT,
    Action,
    Alone,
    Column,
    Edit,
    Field,
    Table,
    attributes,
    between,
    choice,
    empty,
    relation,
)
from backend.crm.table.ready import CHANGED, CREATED, NUMBER, when
from backend.crm.table.routes import install
from backend.crm.table.screen import Screen

__all__ = [
    "CHANGED", "CREATED", "NUMBER", "PERCENT", "Action", "Alone", "Column", "Edit", "Field", "Screen", "Table",
    "attributes", "between", "cells", "choice", "empty", "install", "relation", "when",
]  # fmt: skip
