from datetime import tzinfo
from typing import Annotated, Literal

from pydantic import AliasChoices, ConfigDict, Field, field_validator, model_validator

from backend.core.i18n import _, ngettext
from backend.database.schemas.base import Id, Input, ListParams, Moment, Output, Title, UTCMoment
from backend.database.schemas.sales import Day, begins, ends

TELEGRAM_TEXT = 4096
STAFF_TEXT = 3800  # the rest of Telegram's 4096 characters says what it is an answer to
Status = Literal["open", "in_progress", "closed"]
Side = Literal["student", "staff"]
StudentText = Annotated[str, Field(min_length=1, max_length=TELEGRAM_TEXT)]
StaffText = Annotated[str, Field(min_length=1, max_length=STAFF_TEXT)]


class TicketCreate(Input):
    """A student's question."""

    user_id: Annotated[Id, Field(examples=[1])]
    subject: Annotated[Title, Field(examples=["Не открывается третий урок"])]
    message: Annotated[StudentText, Field(examples=["Крутится кружок, и всё."])]


class TicketUpdate(Input):
    """`admin_response` is a reply: it joins the thread and goes to the student."""

    status: Annotated[Status | None, Field(examples=["closed"])] = None
    assignee_id: Annotated[Id | None, Field(description="null: nobody", examples=[2])] = None
    admin_response: Annotated[StaffText | None, Field(examples=["Обновите страницу."])] = None
    version: int | None = None

    @field_validator("status", mode="after")
    @classmethod
    def _not_null(cls, value: object) -> object:
        if value is None:
            raise ValueError(_("Fill in this field."))
        return value


class MessageCreate(Input):
    """`internal` is a note among staff: never sent, never shown to the bot."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    text: Annotated[StudentText, Field(examples=["Redmi 8, ему уже пять лет"])]
    side: Annotated[Side, Field(alias="from", examples=["student"])]
    internal: bool = False
    user_id: Annotated[Id | None, Field(description="The student; another one's ticket is not found")] = None

    @model_validator(mode="after")
    def _fits(self) -> "MessageCreate":
        if self.side == "staff" and len(self.text) > STAFF_TEXT:
            limit = ngettext("At most %d character.", "At most %d characters.", STAFF_TEXT)
            raise ValueError(limit % STAFF_TEXT)
        if self.side == "student" and self.internal:
            raise ValueError(_("Only staff write notes."))
        return self


class ReplyForm(Input):
    """What staff write on the page: to the student, or a note among themselves."""

    text: StaffText
    to: Literal["reply", "note"] = "reply"


class StaffTicketForm(Input):
    """The school writes to a student first."""

    user_id: Id
    subject: Title
    text: StaffText


class TicketFilters(ListParams):
    status: Status | None = None
    user_id: Id | None = None
    assignee_id: Id | None = None


class TicketListFilters(TicketFilters):
    """The list of all tickets: what a person may ask about them besides."""

    waiting: bool | None = None
    taken: Literal["yes", "no"] | None = None
    answered: bool | None = None
    opened_since: Day | None = None
    opened_until: Day | None = None

    def asked(self, zone: tzinfo) -> "TicketListFilters":
        """The same for the database: moments instead of days."""
        return self.model_copy(
            update={"opened_since": begins(self.opened_since, zone), "opened_until": ends(self.opened_until, zone)}
        )


class ToAssignee(Input):
    """Who a ticket is given to."""

    assignee_id: Id


class QueueFilters(TicketFilters):
    """The page: `waiting` for an answer, `mine` that are not closed, or `all`."""

    tab: Literal["waiting", "mine", "all"] = "waiting"
    limit: Annotated[int, Field(ge=1, le=100)] = 25  # two screens; the next ones load before their end is reached
    answered: bool | None = None
    opened_since: Moment | None = None
    opened_until: Moment | None = None

    @field_validator("tab", mode="before")
    @classmethod
    def _default_tab(cls, value: object) -> object:
        return value or "waiting"


class MessageResponse(Output):
    id: int
    side: Annotated[Side, Field(validation_alias=AliasChoices("side", "from"), serialization_alias="from")]
    text: Annotated[str, Field(validation_alias=AliasChoices("body", "text"))]
    internal: bool
    created_at: UTCMoment


class TicketResponse(Output):
    id: int
    user_id: int
    subject: str
    message: str
    status: Status
    admin_response: str | None
    assignee_id: int | None
    waiting_since: UTCMoment | None
    first_reply_at: UTCMoment | None
    created_at: UTCMoment
    updated_at: UTCMoment
    version: int
    messages: list[MessageResponse]


class PostedResponse(MessageResponse):
    """The message, and its ticket as it stands now."""

    ticket_id: int
    status: Status
