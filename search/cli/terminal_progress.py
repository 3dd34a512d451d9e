"""Progress of a command in a terminal, as one line for each step."""

import sys

from trainables.progress import Progress


def terminal_progress() -> Progress:
    """Progress callback that writes a line for each step to standard error and updates it in place.

    It writes nothing where standard error is not a terminal.
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
