"""Every router of the product. The rules that hold for all routes are tested over these tuples."""

from fastapi import APIRouter

from backend.api import auth as api_auth
from backend.api import bot_chats as api_bot_chats
from backend.api import courses as api_courses
from backend.api import lessons as api_lessons
from backend.api import media as api_media
from backend.api import orders as api_orders
from backend.api import promo_codes as api_promo_codes
from backend.api import purchases as api_purchases
from backend.api import system as api_system
from backend.api import tickets as api_tickets
from backend.api import users as api_users
from backend.crm import auth as crm_auth
from backend.crm import courses as crm_courses
from backend.crm import dashboard as crm_dashboard
from backend.crm import grants as crm_grants
from backend.crm import history as crm_history
from backend.crm import imports as crm_imports
from backend.crm import jobs as crm_jobs
from backend.crm import lessons as crm_lessons
from backend.crm import media as crm_media
from backend.crm import outbox as crm_outbox
from backend.crm import payments as crm_payments
from backend.crm import promo_codes as crm_promo_codes
from backend.crm import sales as crm_sales
from backend.crm import search as crm_search
from backend.crm import settings as crm_settings
from backend.crm import tags as crm_tags
from backend.crm import tickets as crm_tickets
from backend.crm import users as crm_users
from backend.crm import views as crm_views

API: tuple[APIRouter, ...] = (
    api_auth.router,
    api_auth.alias,
    api_users.router,
    api_lessons.router,
    api_lessons.content_router,
    api_courses.router,
    api_media.router,
    api_promo_codes.router,
    api_orders.router,
    api_purchases.router,
    api_purchases.of_user,
    api_tickets.router,
    api_bot_chats.router,
)
CRM: tuple[APIRouter, ...] = (
    crm_auth.router,
    crm_settings.router,
    crm_dashboard.router,
    crm_search.router,
    crm_history.pages,
    crm_history.router,
    *crm_imports.routers,  # before the lists: /dashboard/users/import is nobody
    crm_users.router,
    crm_grants.router,
    crm_lessons.router,
    crm_courses.router,
    crm_media.router,
    crm_promo_codes.router,
    crm_payments.router,  # before sales: /dashboard/sales/payments is no purchase
    crm_sales.router,
    crm_tickets.router,
    crm_outbox.router,
    crm_jobs.router,
    crm_tags.router,
    crm_views.router,
)
OTHER: tuple[APIRouter, ...] = (api_system.router,)
ROUTERS: tuple[APIRouter, ...] = (*API, *CRM, *OTHER)
