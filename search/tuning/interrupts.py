"""Handling of Ctrl-C (SIGINT) and SIGTERM while a search runs."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_first_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` at the first SIGINT or SIGTERM; a second signal has its usual effect.

    This replaces two handlers. Tune's handler of SIGINT only sets a flag, and Tune does not check
    the flag while it waits for a node. Ray's handler of SIGTERM prints a traceback. Only the main
    thread can set handlers; in any other thread this function does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: object) -> None:
        restore()
        stop()

    def restore() -> None:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)

    previous_handlers = {
        number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        restore()
