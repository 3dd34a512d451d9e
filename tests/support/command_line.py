"""Runs of the `finesweep` command inside a test's process."""

from typing import Any

import pytest

from search.cli import main


def finesweep(*arguments: object) -> int:
    """Run a command in this process, and return its exit status."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def flags(settings: dict[str, Any]) -> list[str]:
    """Command-line flags for ``settings``, except for "data"."""
    arguments: list[str] = []
    for name, value in settings.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            arguments.append(f"--{flag}" if value else f"--no-{flag}")
        elif name != "data":
            arguments += [f"--{flag}", str(value)]
    return arguments
