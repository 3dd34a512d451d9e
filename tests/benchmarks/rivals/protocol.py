"""What a rival is given, and what it gives back. Needs the standard library alone.

A rival is a module that is run as ``python -m MODULE FOLDER --weights ... --out FILE.json``. It
imports what it needs, may rehearse to learn how long things take, and calls `Task.start`. From then
on it has ``seconds`` until it calls `Task.choose`, with a model that no longer changes. Only then
does it open the test images, and calls `Task.answer`.
"""

import argparse
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path


@dataclass(eq=False)
class Task:
    """Images, weights, a seed and a time limit."""

    folder: Path
    """Folder with ``train/CLASS``, ``val/CLASS`` and ``test/CLASS``."""
    weights: Path
    """Folder with ``BACKBONE.safetensors`` of each backbone, in timm's layout."""
    seconds: float
    seed: int
    out: Path
    """File to be written. Its folder is the rival's own."""
    _started: float = field(default=0.0, init=False)
    _taken: float = field(default=0.0, init=False)
    _chosen: str = field(default="", init=False)

    @classmethod
    def from_command_line(cls) -> "Task":
        """The task that this process was started with."""
        parser = argparse.ArgumentParser()
        parser.add_argument("folder", type=Path)
        parser.add_argument("--weights", type=Path, required=True)
        parser.add_argument("--seconds", type=float, required=True)
        parser.add_argument("--seed", type=int, required=True)
        parser.add_argument("--out", type=Path, required=True)
        return cls(**vars(parser.parse_args()))

    def words(self) -> list[str]:
        """Arguments that `from_command_line` reads."""
        options = {"weights": self.weights, "seconds": self.seconds, "seed": self.seed}
        named = [[f"--{name}", str(value)] for name, value in {**options, "out": self.out}.items()]
        return [str(self.folder), *(word for pair in named for word in pair)]

    def files(self, split: str) -> list[Path]:
        """Images of a split, in the order of their classes and names."""
        return sorted((self.folder / split).glob("*/*"))

    def start(self) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return self.seconds - (time.monotonic() - self._started)

    def choose(self, description: str) -> None:
        """Stop the clock: the final model exists. ``description`` says briefly what it is."""
        self._taken, self._chosen = time.monotonic() - self._started, description

    def answer(self, predictions: Mapping[str, str], packages: Iterable[str]) -> None:
        """Write the class of each test image, by the file's name, and versions of ``packages``."""
        answer = Answer(
            self._taken, self._chosen, {name: version(name) for name in packages}, dict(predictions)
        )
        answer.write(self.out)


@dataclass(frozen=True)
class Answer:
    """A rival's predictions, and how it came to them."""

    seconds: float
    """Wall seconds from the start of the clock until the final model existed."""
    chosen: str
    """The final model in a few words."""
    versions: dict[str, str]
    """Versions of the rival's packages."""
    predictions: dict[str, str]
    """Class of each test image, by the file's name."""

    def write(self, file: Path) -> None:
        """Write the answer as JSON."""
        file.write_text(json.dumps(vars(self)), encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> "Answer":
        """Read an answer that `write` wrote."""
        return cls(**json.loads(file.read_text(encoding="utf-8")))
