"""Ctrl-C and SIGTERM while a search runs."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_first_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` at the first SIGINT or SIGTERM; a second one has its usual effect.

    Tune's SIGINT handler only sets a flag, which Tune does not look at while it waits for a node;
    Ray's SIGTERM handler prints a traceback. Outside of the main thread, which alone can set
    handlers, this does nothing.
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
