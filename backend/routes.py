"""Every router of the product. The rules that hold for all routes are tested over these tuples."""

from fastapi import APIRouter

from backend.api import auth as api_auth
from backend.api import bot_chats as api_bot_chats
from backend.api import courses as api_courses
from backend.api import doors as api_doors
from backend.api import lessons as api_lessons
from backend.api import media as api_media
from backend.api import orders as api_orders
from backend.api import promo_codes as api_promo_codes
from backend.api import purchases as api_purchases
from backend.api import system as api_system
from backend.api import tickets as api_tickets
from backend.api import users as api_users
from backend.crm import audit as crm_audit
from backend.crm import auth as crm_auth
from backend.crm import confirm as crm_confirm
from backend.crm import courses as crm_courses
from backend.crm import dashboard as crm_dashboard
from backend.crm import elsewhere as crm_elsewhere
from backend.crm import forgotten as crm_forgotten
from backend.crm import grants as crm_grants
from backend.crm import history as crm_history
from backend.crm import imports as crm_imports
from backend.crm import invitations as crm_invitations
from backend.crm import jobs as crm_jobs
from backend.crm import lessons as crm_lessons
from backend.crm import letters as crm_letters
from backend.crm import media as crm_media
from backend.crm import orders as crm_orders
from backend.crm import outbox as crm_outbox
from backend.crm import payments as crm_payments
from backend.crm import personal as crm_personal
from backend.crm import preferences as crm_preferences
from backend.crm import promo_codes as crm_promo_codes
from backend.crm import register as crm_register
from backend.crm import roles as crm_roles
from backend.crm import sales as crm_sales
from backend.crm import search as crm_search
from backend.crm import second as crm_second
from backend.crm import security as crm_security
from backend.crm import settings as crm_settings
from backend.crm import staff as crm_staff
from backend.crm import ticket_list as crm_ticket_list
from backend.crm import tickets as crm_tickets
from backend.crm import users as crm_users
from backend.crm import views as crm_views

API: tuple[APIRouter, ...] = (
    api_auth.router,
    api_auth.alias,
    api_doors.router,
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
    crm_invitations.router,
    crm_forgotten.router,
    crm_register.router,
    crm_elsewhere.router,
    crm_elsewhere.accounts,
    crm_settings.router,
    crm_preferences.router,
    crm_staff.router,
    crm_staff.back,
    crm_roles.router,
    crm_audit.router,
    crm_second.router,
    crm_confirm.router,
    crm_security.router,
    crm_dashboard.router,
    crm_search.router,
    crm_history.pages,
    crm_history.router,
    *crm_imports.routers,  # before the lists: /dashboard/users/import is nobody
    crm_users.router,
    crm_grants.router,
    crm_personal.router,
    crm_lessons.router,
    crm_courses.router,
    crm_media.router,
    crm_promo_codes.router,
    crm_payments.router,  # before sales: /dashboard/sales/payments is no purchase
    crm_orders.router,
    crm_sales.router,
    crm_ticket_list.router,  # before the desk: /dashboard/tickets/list is no ticket
    crm_tickets.router,
    crm_letters.router,
    crm_outbox.router,
    crm_jobs.router,
    crm_views.router,
)
OTHER: tuple[APIRouter, ...] = (api_system.router,)
ROUTERS: tuple[APIRouter, ...] = (*API, *CRM, *OTHER)
