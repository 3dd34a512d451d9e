"""Trials with validation logits, made without training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from search.record import SweepPaths, TrialRecord, ValidationLogitsStore
from spaces import TrialParams
from tests.support.round_reports import report
from trainables.data import Dataset
from trainables.evaluation import scores_of

METRIC = "val_accuracy"


def trial_with_logits(
    number: int, logits: np.ndarray, labels: np.ndarray, **fields: object
) -> TrialRecord:
    """Trial of one epoch with the accuracy of these logits, ``(n, classes)``."""
    accuracy = scores_of(logits.astype(np.float32), labels).accuracy
    params = TrialParams.parse({"backbone": "test_vit", "image_size": 32, **fields})
    return TrialRecord(number, params, "completed", (report(1, accuracy),), "")


def validation_dataset(labels: np.ndarray) -> Dataset:
    """Dataset of distinct images, all of them in the validation split."""
    digests = tuple(f"{row:03d}" for row in range(len(labels)))
    classes = tuple(f"class {k}" for k in range(labels.max() + 1))
    splits = np.full(len(labels), "val")
    return Dataset(Path("nowhere"), classes, digests, labels, splits, digests, "fingerprint")


def logits_store(
    paths: SweepPaths, dataset: Dataset, records: Sequence[TrialRecord] = ()
) -> ValidationLogitsStore:
    """Store for the validation logits of a sweep over ``dataset``."""
    digests = dataset.digests_at(dataset.rows("val"))
    return ValidationLogitsStore(
        paths.validation_logits, METRIC, records, classes=dataset.classes, digests=digests
    )
