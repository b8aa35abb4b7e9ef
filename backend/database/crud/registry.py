"""The lists whose verbs a job can do, by table."""

from typing import Any

from backend.database.crud.base import BaseCRUD
from backend.database.crud.courses import CourseCRUD
from backend.database.crud.lessons import LessonCRUD
from backend.database.crud.promo_codes import PromoCodeCRUD
from backend.database.crud.ticket_list import TicketListCRUD
from backend.database.crud.users import StudentCRUD

TABLES: dict[str, type[BaseCRUD[Any]]] = {
    crud.model.__tablename__: crud for crud in (StudentCRUD, LessonCRUD, CourseCRUD, PromoCodeCRUD, TicketListCRUD)
}
