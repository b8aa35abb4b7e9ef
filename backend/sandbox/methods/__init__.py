"""The methods of the Bot API that the sandbox performs. Importing the modules fills the table."""

from backend.sandbox.methods import chats, editing, messages, payments, profile, updates
from backend.sandbox.methods.table import HANDLERS

__all__ = ["HANDLERS", "chats", "editing", "messages", "payments", "profile", "updates"]
