"""Atomic file writes: a file is complete or absent, even after a power cut."""

import json
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write a temporary file beside ``path``, sync it to disk and rename it to ``path``.

    ``write`` receives the temporary file's path, which no other process has: process ids alone may
    be the same in containers that share a disk. The folder of ``path`` is created if necessary.
    ``path`` is unchanged until the rename. If ``write`` raises, the temporary file is deleted.
    Raises `OSError` with the name of a file if the disk is full or fails.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        partial.touch()
        mode = partial.stat().st_mode
        with disk_errors_named(path):
            write(partial)
        partial.chmod(mode)  # safetensors leaves files readable by their owner alone
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def disk_errors_named(path: Path) -> Iterator[None]:
    """Let every error of the disk in the block be an `OSError` that names a file or folder.

    ``path`` is named if the error names none: Python does not say to which file it could not write,
    and safetensors has an exception of its own.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:  # or not of the disk
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    except SafetensorError as error:
        found = re.search(r"os error (\d+)", str(error))
        if found is None:
            raise
        code = int(found[1])
        raise OSError(code, os.strerror(code), str(path)) from error


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write ``values`` atomically as one indented JSON document."""
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def save_array(path: Path, array: np.ndarray) -> None:
    """Write ``array`` atomically in NumPy's format."""

    def write(partial: Path) -> None:
        with partial.open("wb") as opened:  # given a path, NumPy would append ".npy" to it
            np.save(opened, array)

    write_atomically(path, write)


def printable(text: str) -> str:
    """Text that can be printed and written as UTF-8.

    Bytes of a file's name that are not UTF-8 become ``\\xNN``. Python holds such bytes as lone
    surrogates, which no UTF-8 file and no terminal takes.
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def on_one_line(text: str) -> str:
    """``text`` with spaces for its line breaks. A class of a table may have some in its name."""
    return " ".join(text.splitlines())


def check_writable(folder: Path) -> None:
    """Make ``folder`` and a temporary file in it. Raises `OSError` if either fails."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass
