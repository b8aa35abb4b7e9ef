"""Whether this process has been told to end: what stays open, as a live page does, has to end by itself."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

stopping = threading.Event()


def with_signals(stop: Callable[[], None] = stopping.set) -> None:
    """Live pages and long polls end on SIGTERM and SIGINT: uvicorn waits for open requests before it stops us."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        previous = signal.getsignal(number)
        if not callable(previous):
            continue

        def handle(signum: int, frame: FrameType | None, previous: Callable[..., Any] = previous) -> None:
            stop()
            previous(signum, frame)

        signal.signal(number, handle)
