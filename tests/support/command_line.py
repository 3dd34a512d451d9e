"""The command line as tests use it."""

from typing import Any

import pytest

from search.cli import parser as cli


def finesweep(*words: object) -> int:
    """Run a command here; its exit status."""
    with pytest.raises(SystemExit) as ended:
        cli.main([str(word) for word in words])
    return int(ended.value.code or 0)


def flags(settings: dict[str, Any]) -> list[str]:
    """Settings as words of the command line."""
    given = []
    for name, value in settings.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            given.append(f"--{flag}" if value else f"--no-{flag}")
        elif name != "data":
            given += [f"--{flag}", str(value)]
    return given
