from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.record import (
    MAX_KEPT_TRIALS,
    SweepPaths,
    TrialRecord,
    read_validation_logits,
)
from tests.support.round_reports import report
from tests.support.validation_logits import (
    METRIC,
    logits_store,
    trial_with_logits,
    validation_dataset,
)
from trainables.data import Dataset


@pytest.fixture
def paths(tmp_path: Path) -> SweepPaths:
    return SweepPaths(tmp_path)


def read(
    paths: SweepPaths, records: Sequence[TrialRecord], dataset: Dataset
) -> Mapping[int, np.ndarray]:
    return read_validation_logits(
        paths.validation_logits, records, METRIC, dataset, dataset.rows("val")
    )


def test_the_logits_of_the_best_trials_are_kept(paths: SweepPaths) -> None:
    labels = np.arange(40) % 2
    images = validation_dataset(labels)
    store = logits_store(paths, images)
    records = []
    for number in range(MAX_KEPT_TRIALS + 4):
        logits = np.eye(2)[labels]
        logits[: 2 * number] = logits[: 2 * number, ::-1] if number < 20 else 0
        records.append(trial_with_logits(number, logits, labels))
        store.keep(number, records[-1].reports[0], logits.astype(np.float16))
    assert set(read(paths, records, images)) == set(range(MAX_KEPT_TRIALS))
    again = logits_store(paths, images, records)
    better = trial_with_logits(99, np.eye(2)[labels], labels)
    again.keep(99, better.reports[0], np.eye(2, dtype=np.float16)[labels])
    assert set(read(paths, [*records, better], images)) == {*range(MAX_KEPT_TRIALS - 1), 99}


def test_logits_of_an_epoch_that_is_not_the_best_are_left_out(paths: SweepPaths) -> None:
    labels = np.arange(40) % 2
    images = validation_dataset(labels)
    logits_store(paths, images).keep(0, report(1, 0.5), np.zeros((40, 2), np.float16))
    assert set(read(paths, [trial_with_logits(0, np.zeros((40, 2)), labels)], images)) == {0}
    later = trial_with_logits(0, np.eye(2)[labels], labels)
    assert not read(paths, [later], images)


def test_logits_are_matched_by_class_and_image(paths: SweepPaths) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(12) % 3
    images = validation_dataset(labels)
    logits = rng.normal(size=(12, 3)).astype(np.float16)
    trial = trial_with_logits(0, logits, labels)
    logits_store(paths, images).keep(0, trial.reports[0], logits)
    rows, columns = rng.permutation(12), [2, 0, 1]
    turned = replace(
        images,
        classes=tuple(images.classes[k] for k in columns),
        labels=np.argsort(columns)[labels[rows]],
        digests=tuple(images.digests[row] for row in rows),
    )
    aligned = read(paths, [trial], turned)[0]
    assert aligned.tolist() == logits[rows][:, columns].tolist()
    others = replace(images, digests=tuple(f"other {row}" for row in range(12)))
    assert not read(paths, [trial], others), "they are of other images"


def test_logits_of_earlier_versions_are_read_in_their_stored_order(paths: SweepPaths) -> None:
    labels = np.arange(12) % 3
    logits = np.eye(3, dtype=np.float16)[labels]
    paths.validation_logits.mkdir()
    np.save(paths.validation_logits / "0000.npy", logits)
    trial = trial_with_logits(0, logits, labels)
    images = validation_dataset(labels)
    assert read(paths, [trial], images)[0].tolist() == logits.tolist()
    logits_store(paths, images, [trial]).keep(0, trial.reports[0], logits)
    assert [file.name for file in paths.validation_logits.iterdir()] == ["0000.npz"]
