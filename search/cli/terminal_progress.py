"""Progress of a command, as one line of a terminal."""

import sys

from trainables.progress import Progress


def terminal_progress() -> Progress:
    """Progress callback that draws a line on standard error, and draws over it.

    It draws nothing where standard error is not a terminal.
    """

    def show(step: str, done: int, total: int) -> None:
        if not sys.stderr.isatty():
            return
        percent = max(1, total // 100)
        if total == 0:
            sys.stderr.write(f"{step} ...\n")
        elif done % percent == 0 or done == total:
            sys.stderr.write(f"\r{step}: {done} of {total}" + ("\n" if done == total else ""))
        sys.stderr.flush()

    return show
