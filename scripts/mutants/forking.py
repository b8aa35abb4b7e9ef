"""Work in a child of this process, which has everything imported, watched by the clock."""

import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

START_SECONDS = 60.0
Tell = Callable[[str, Any], None]


class BrokenError(Exception):
    """Work failed in a child; with its traceback."""


def watched(work: Callable[[Tell], None]) -> Iterator[tuple[str, Any]]:
    """What the child tells, as (kind, fact). ("next", seconds) gives it so long until it tells something else.

    Ends with ("late", None) when it did not, with ("ended", None) when it is over. Its whole process group ends too.
    Raises BrokenError when `work` does: that is a mistake of ours and says nothing about a change.
    """
    ours, theirs = Pipe()
    child = os.fork()
    if child == 0:
        ours.close()
        _be_child(work, theirs)
    theirs.close()
    try:
        yield from _told(ours)
    finally:
        ours.close()
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        with suppress(ProcessLookupError):  # before it has made its group
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _told(ours: Connection) -> Iterator[tuple[str, Any]]:
    seconds = START_SECONDS
    while ours.poll(seconds):
        try:
            kind, fact = ours.recv()
        except EOFError:
            yield "ended", None
            return
        if kind == "broken":
            raise BrokenError(fact)
        if kind == "next":
            seconds = fact
        else:
            yield kind, fact
    yield "late", None


def _be_child(work: Callable[[Tell], None], theirs: Connection) -> None:
    """Never returns: neither the parent's `finally` nor its exit handlers are the child's."""
    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nowhere, stream)
        work(lambda kind, fact: theirs.send((kind, fact)))
    except BaseException:
        theirs.send(("broken", traceback.format_exc()))
        raise
    finally:
        os._exit(0)
