"""Telegram in a box: a Bot API server, the students' side of it and a chat page.

`mount(app, path=...)` serves it under /sandbox of an application; `python -m backend.sandbox` runs
it as a process of its own. A bot uses it through `TelegramAPIServer.from_base("<origin>/sandbox")`.
It answers this machine only, and knows nothing of the school: no database, no bot code.
"""

from backend.sandbox.app import PREFIX, Sandbox, mount

__all__ = ["PREFIX", "Sandbox", "mount"]
