"""Web processes that share what is the same in all of them.

uvicorn starts each from nothing: 110 MB that all of them hold alike. Copies of one process that has loaded the program
hold together what none of them changes. Only for Linux: libraries of other systems do not bear to be copied.
"""

import multiprocessing
import os
import signal
import sys

from uvicorn import _subprocess
from uvicorn.supervisors.multiprocess import SIGNALS

from backend.core import memory, templating
from backend.core.config import Settings


def share(config: Settings) -> None:
    """From now on uvicorn copies this process, which must have neither threads nor connections.

    It loads the program and makes no app: each copy has its own, with its own connections and secrets.
    """
    if sys.platform != "linux":
        return
    import main  # noqa: F401, PLC0415 - loads every page, which no other command needs

    if config.telegram_here:
        from backend import runtime  # noqa: F401, PLC0415 - aiogram, as main loads it
    templating.prepare(debug=config.debug)
    memory.settle()  # what it freezes, no copy's collector touches
    _subprocess.spawn = multiprocessing.get_context("fork")  # type: ignore[assignment] # the other way to start one
    os.register_at_fork(after_in_child=_forget_signals)


def _forget_signals() -> None:
    """A copy is told to end before its server listens to signals: it must not wait for the supervisor's loop."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
