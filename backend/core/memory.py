"""What a web process keeps in memory once it has started."""

import ctypes
import gc
from contextlib import suppress

M_ARENA_MAX, ARENAS = -8, 2  # glibc, malloc.h


def settle() -> None:
    """Call once, when everything is loaded and no worker thread has run yet."""
    # The collector's full passes over start-up objects are the tail latency of list pages. A page leaves some 200
    # objects in cycles: passes over the young are short when they are frequent, 2 ms instead of 20.
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 20, 50)
    # Each thread would keep a heap of its own, 10 MB by and by, although the GIL lets only one use it; what the start
    # has left behind goes back to the system. Another C library has neither call, and nothing to mend.
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_ARENA_MAX, ARENAS)
        libc.malloc_trim(0)
