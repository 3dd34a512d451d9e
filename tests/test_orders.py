"""Orders do not depend on the hash seed: those of classes, images, initial points, proposals."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

NAMES = ("1", "01", "001", "a1", "a01")
"""Names of which some are equal to a sort key that reads digits as numbers."""

HASH_SEEDS = ("0", "1", "2")
"""Values of PYTHONHASHSEED: each gives sets of strings another order."""

SURVEY = """
import json, sys
from pathlib import Path
from trainables.data import survey_images
dataset = survey_images(Path(sys.argv[1]), cache=Path(sys.argv[2])).dataset
print(json.dumps([
    dataset.classes, dataset.paths, dataset.labels.tolist(), dataset.splits.tolist()
]))
"""

PROPOSALS = """
import json
from optuna.storages import InMemoryStorage
from search.tuning.study import StudyJournal
from spaces import SearchSpace
from tests.support.round_reports import report
space = SearchSpace.load("demo")
sizes = dict.fromkeys(space.backbones, 224)
points = [params.model_dump() for params in space.initial_points(native_image_size=sizes)]
study = StudyJournal(
    InMemoryStorage(), space, metric="val_accuracy", sampler="mfgp", seed=0, max_rounds=3
)
for _ in range(12):
    number, values = study.ask()
    params = space.params(values, native_image_size=sizes)
    study.begin(number, params)
    study.report(number, report(1, params.dropout))
    study.end(number, "stopped")
    points.append(params.model_dump())
print(json.dumps(points))
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


def printed(script: str, *arguments: Path, hash_seed: str) -> Any:
    """What a script prints in a process with this hash seed: a JSON document."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )
    return json.loads(done.stdout)


@pytest.mark.slow
def test_classes_and_files_have_one_order_in_every_process(tied: Path, tmp_path: Path) -> None:
    def found_with(hash_seed: str) -> list[list[object]]:
        """Classes, paths, labels and splits."""
        columns: list[list[object]] = printed(
            SURVEY, tied, tmp_path / f"cache-{hash_seed}", hash_seed=hash_seed
        )
        return columns

    with ThreadPoolExecutor(max_workers=2) as pool:
        first, *others = pool.map(found_with, HASH_SEEDS)
    assert first[0][:3] == ["001", "01", "1"]
    assert first[1] != sorted(map(str, first[1])), "numbers are sorted by their value"
    assert all(other == first for other in others)


@pytest.mark.slow
def test_points_have_one_order_in_every_process() -> None:
    with ThreadPoolExecutor(max_workers=2) as pool:
        first, *others = pool.map(lambda seed: printed(PROPOSALS, hash_seed=seed), HASH_SEEDS)
    assert len({str(point) for point in first}) > 12, "initial points, then proposals"
    assert all(other == first for other in others)
