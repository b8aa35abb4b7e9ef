"""Web processes that share what is the same in all of them.

uvicorn starts each from nothing: 110 MB that all of them hold alike. Copies of one process that has loaded the program
hold together what none of them changes. Only for Linux: libraries of other systems do not bear to be copied.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
from contextlib import suppress
from functools import partial
from multiprocessing import connection

from uvicorn import _subprocess
from uvicorn.supervisors.multiprocess import SIGNALS, Process

from backend.core import memory, templating
from backend.core.config import Settings

END_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


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
    Process._healthcheck = _answer  # type: ignore[method-assign] # the other way to ask it  # noqa: SLF001 - as above
    os.register_at_fork(after_in_child=partial(_begin, os.getpid()))


def _begin(supervisor: int) -> None:
    """A copy is told to end before its server listens to signals: it must not wait for the supervisor's loop. It ends
    with its supervisor, too: nobody would replace it, or tell it to end and free the port.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    if os.getppid() != supervisor:
        return  # of a copy, by a library
    ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGTERM)
    if os.getppid() != supervisor:  # it ended meanwhile
        os._exit(0)


def _answer(self: Process, timeout: float) -> bool | None:
    """What the copy says when asked whether it has started; None at once when it ends instead. The other copies hold
    its end of the pipe open: who asks the pipe alone waits until the time is up, and nobody is replaced meanwhile.
    """
    with suppress(Exception):  # whatever came, it is no answer
        self.parent_conn.send(b"ping")
        if self.parent_conn in connection.wait([self.parent_conn, self.process.sentinel], timeout):
            return bool(self.parent_conn.recv())
    return None
