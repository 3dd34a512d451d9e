"""Progress of a command in a terminal, as one line for each step."""

import sys

from trainables.progress import Progress


def terminal_progress() -> Progress:
    """Progress callback that shows each step as one line of standard error, updated in place.

    It writes nothing if standard error is not a terminal.
    """

    def show(step: str, done: int, total: int) -> None:
        if not sys.stderr.isatty():
            return
        one_percent = max(1, total // 100)
        if total == 0:
            sys.stderr.write(f"{step} ...\n")
        elif done % one_percent == 0 or done == total:
            sys.stderr.write(f"\r{step}: {done} of {total}" + ("\n" if done == total else ""))
        sys.stderr.flush()

    return show
