"""Every router of the product. The rules that hold for all routes are tested over these tuples."""

from fastapi import APIRouter

from backend.api import courses as api_courses
from backend.api import lessons as api_lessons
from backend.api import media as api_media
from backend.api import users as api_users
from backend.crm import dashboard as crm_dashboard
from backend.crm import history as crm_history
from backend.crm import users as crm_users

API: tuple[APIRouter, ...] = (
    api_users.router,
    api_lessons.router,
    api_lessons.content_router,
    api_courses.router,
    api_media.router,
)
CRM: tuple[APIRouter, ...] = (crm_dashboard.router, crm_history.router, crm_users.router)
OTHER: tuple[APIRouter, ...] = ()
ROUTERS: tuple[APIRouter, ...] = (*API, *CRM, *OTHER)
