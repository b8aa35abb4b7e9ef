from typing import Annotated

from pydantic import Field

from backend.database.schemas.base import Input

ViewName = Annotated[str, Field(min_length=1, max_length=60)]
Query = Annotated[str, Field(max_length=2000)]


class ViewMarks(Input):
    """What a person makes of a view for themselves."""

    is_pinned: bool = False
    is_default: bool = False


class ViewUpdate(ViewMarks):
    name: ViewName
    is_shared: bool = False
    version: int | None = None


class ViewCreate(ViewMarks):
    list_name: Annotated[str, Field(max_length=32)]
    query: Query = ""
    name: ViewName
    is_shared: bool = False


class ViewQuery(Input):
    """The filters of the moment, to be kept under the view's name."""

    query: Query = ""
    version: int | None = None
