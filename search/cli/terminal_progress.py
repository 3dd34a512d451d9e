"""How far a command is, as one line of a terminal."""

import sys

from trainables.progress import Progress


def terminal_progress() -> Progress:
    """A line on standard error that is drawn over; nothing where there is no terminal."""

    def show(what: str, done: int, total: int) -> None:
        if not sys.stderr.isatty():
            return
        step = max(1, total // 100)
        if total == 0:
            sys.stderr.write(f"{what} ...\n")
        elif done % step == 0 or done == total:
            sys.stderr.write(f"\r{what}: {done} of {total}" + ("\n" if done == total else ""))
        sys.stderr.flush()

    return show
