from typing import Annotated

from pydantic import Field

from backend.database.schemas.base import Input


class TagName(Input):
    tag: Annotated[str, Field(min_length=1, max_length=50, pattern=r"^[^\x00-\x1f\x7f]*$")]
