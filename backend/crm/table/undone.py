"""A list after an undo in it: only the rows that it has changed, so that those which are loaded stay where they are."""

from collections.abc import Sequence

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response

from backend.core.deps import Current, read_query
from backend.core.templating import wants_fragment
from backend.crm.table.declare import TABLES
from backend.crm.table.screen import Screen, respond_changed, screen_params
from backend.database.crud.history import Sight
from backend.database.crud.undo import Touched
from backend.database.verbs import BULK_NOW


def in_place(request: Request, caller: Current, page: str, touched: Sequence[Touched], sight: Sight) -> Response | None:
    """The changed rows of the list at the address `page`. `sight`: whose records the person may see.

    None where they are not the whole story: elsewhere, for records of other lists too, for one that has come back.
    """
    path, _, query = page.partition("?")
    table = next((each for each in TABLES.values() if path == f"{each.prefix}/"), None)
    if table is None or not wants_fragment(request) or not 0 < len(touched) <= BULK_NOW:
        return None
    root = table.crud.model.__tablename__
    if not sight.covers(root) or any(each.root != root or each.back for each in touched):
        return None
    asked = Request({**request.scope, "query_string": query.encode()})
    try:
        params = read_query(asked, screen_params(table.params))
    except RequestValidationError:  # no list has this address
        return None
    screen = Screen(table, request, caller, params)
    return respond_changed(screen, sorted({each.root_id for each in touched}))
