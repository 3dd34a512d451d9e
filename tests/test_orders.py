"""Orders that are recorded by position must be the same in every process."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

NAMES = ("1", "01", "001", "a1", "a01")
"""Names of which a key that takes digits as numbers finds some equal."""

SURVEY = """
import json, sys
from pathlib import Path
from trainables.data import survey_images
made = survey_images(Path(sys.argv[1]), cache=Path(sys.argv[2])).dataset
print(json.dumps([made.classes, made.paths, made.labels.tolist(), made.splits.tolist()]))
"""


@pytest.fixture
def tied(digits: Path, tmp_path: Path) -> Path:
    """Classes and files whose names differ in leading zeros alone."""
    images: Iterator[Path] = iter(sorted(digits.rglob("*.png")))
    for name in NAMES:
        (tmp_path / "data" / name).mkdir(parents=True)
        for file in ("7", "07", "007", "8", "08", "008"):
            shutil.copy(next(images), tmp_path / "data" / name / f"{file}.png")
    return tmp_path / "data"


def surveyed(data: Path, cache: Path, hash_seed: str) -> list[list[object]]:
    """What another process makes of a folder: classes, paths, labels and splits."""
    done = subprocess.run(
        [sys.executable, "-c", SURVEY, str(data), str(cache)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )
    found: list[list[object]] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_classes_and_files_have_one_order_in_every_process(tied: Path, cache: Path) -> None:
    first = surveyed(tied, cache, "0")
    assert first[0][:3] == ["001", "01", "1"]
    assert first[1] != sorted(map(str, first[1])), "natural order, as people sort"
    for hash_seed in ("1", "2", "3", "4"):
        assert surveyed(tied, cache, hash_seed) == first
