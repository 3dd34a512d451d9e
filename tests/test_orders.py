"""Orders on which files rely, such as that of the classes, are the same in every process."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

NAMES = ("1", "01", "001", "a1", "a01")
"""Names of which some are equal to a sort key that reads digits as numbers."""

SURVEY = """
import json, sys
from pathlib import Path
from trainables.data import survey_images
dataset = survey_images(Path(sys.argv[1]), cache=Path(sys.argv[2])).dataset
print(json.dumps([
    dataset.classes, dataset.paths, dataset.labels.tolist(), dataset.splits.tolist()
]))
"""


@pytest.fixture
def tied(digits: Path, tmp_path: Path) -> Path:
    """A data set whose classes and files have names that differ in leading zeros alone."""
    images: Iterator[Path] = iter(sorted(digits.rglob("*.png")))
    for name in NAMES:
        (tmp_path / "data" / name).mkdir(parents=True)
        for file in ("7", "07", "007", "8", "08", "008"):
            shutil.copy(next(images), tmp_path / "data" / name / f"{file}.png")
    return tmp_path / "data"


def surveyed(data: Path, cache: Path, hash_seed: str) -> list[list[object]]:
    """Classes, paths, labels and splits of a folder, found by a process with this hash seed."""
    done = subprocess.run(
        [sys.executable, "-c", SURVEY, str(data), str(cache)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )
    columns: list[list[object]] = json.loads(done.stdout)
    return columns


@pytest.mark.slow
def test_classes_and_files_have_one_order_in_every_process(tied: Path, tmp_path: Path) -> None:
    def found_with(hash_seed: str) -> list[list[object]]:
        return surveyed(tied, tmp_path / f"cache-{hash_seed}", hash_seed)

    with ThreadPoolExecutor(max_workers=2) as pool:
        first, *others = pool.map(found_with, ("0", "1", "2", "3", "4"))
    assert first[0][:3] == ["001", "01", "1"]
    assert first[1] != sorted(map(str, first[1])), "numbers are sorted by their value"
    assert all(other == first for other in others)
