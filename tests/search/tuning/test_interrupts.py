import os
import signal
import threading

import pytest

from search.tuning.interrupts import on_first_interrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_interrupt_stops_and_the_second_has_its_usual_effect(
    number: signal.Signals,
) -> None:
    stops: list[bool] = []

    def usual(received: int, frame: object) -> None:
        raise KeyboardInterrupt(received)

    before = signal.signal(number, usual)
    try:
        with pytest.raises(KeyboardInterrupt), on_first_interrupt(lambda: stops.append(True)):
            os.kill(os.getpid(), number)
            assert stops == [True]
            os.kill(os.getpid(), number)
        assert stops == [True]
        assert signal.getsignal(number) is usual
    finally:
        signal.signal(number, before)


def test_another_thread_sets_no_handlers() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def run() -> None:
        with on_first_interrupt(lambda: None):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]
