"""Lyceum: the back office of a school that lives in Telegram."""

import sys

# structlog takes rich along to draw tracebacks on terminals, 7 MB of every process; ours are lines of JSON.
_known = "rich" in sys.modules
sys.modules.setdefault("rich", None)  # type: ignore[arg-type] # what Python itself keeps for "there is none"
import structlog  # noqa: E402, F401 - see above

if not _known:
    del sys.modules["rich"]

from backend.core import late_models  # noqa: E402 - after structlog

late_models.install()

from backend.database.crud.users import init_roles  # noqa: E402 - after both

__all__ = ["init_roles"]
