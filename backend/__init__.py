"""Lyceum: the back office of a school that lives in Telegram."""

from backend.database.crud.users import init_roles

__all__ = ["init_roles"]
