"""What a row of a file may hold, beside the schemas of the domains, and the columns that its fields are read from."""

from typing import Annotated, Any

from pydantic import BaseModel, EmailStr, Field, field_validator

from backend.database.schemas.base import MAX_ID, Id, Input
from backend.database.schemas.users import LanguageCode, Name, Username


class StudentRow(Input):
    """A student of another system. Who never wrote to the bot was never seen there."""

    telegram_id: Id
    first_name: Name
    last_name: Annotated[str | None, Field(max_length=128)] = None
    username: Username = None
    email: EmailStr | None = None
    language_code: LanguageCode = "ru"
    is_active: bool = True
    source: Annotated[str | None, Field(max_length=64, pattern=r"^[A-Za-z0-9_-]*$")] = None

    @field_validator("username", mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        """@maria and t.me/maria are maria."""
        return (
            value.removeprefix("https://").removeprefix("t.me/").removeprefix("@") if isinstance(value, str) else value
        )


class ColumnsForm(Input):
    """Which column is which field: one of `columns` for each of the file, "-" for none."""

    columns: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=100)]
    key: Annotated[str, Field(max_length=64)]
    clears: Annotated[bool, Field(description="Empty cells empty the field")] = False


class StartForm(Input):
    checks: int


class ImportParams(BaseModel):
    show: Annotated[str, Field(max_length=10, description="Rows of this kind")] = ""
    after: Annotated[int, Field(ge=0, le=MAX_ID, description="The last row of the page before")] = 0
    columns: Annotated[bool, Field(description="Choose the columns anew")] = False
