import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spaces import TrialParams
from trainables.data import Dataset, ImageSet, build_store
from trainables.evaluation import fold_numbers, scores_of
from trainables.images import PixelFormat
from trainables.inputs import FeatureStore
from trainables.models import Weights
from trainables.training import (
    ComputeSettings,
    CrossValidation,
    FineTuneSettings,
    FineTuning,
    RoundReport,
    finetune,
)

FOLDS = 3


@pytest.fixture
def pool(dataset: Dataset, cache: Path) -> ImageSet:
    store = build_store(dataset, PixelFormat(32, "bicubic"), cache=cache)
    return ImageSet.of(dataset, store, "train", "val")


@pytest.fixture
def begin(
    pool: ImageSet, params: TrialParams, untrained: Weights
) -> Callable[..., CrossValidation]:
    """Begin a cross-validated fine-tune of the digits."""
    numbers = fold_numbers(pool.labels, FOLDS)

    def make(
        *, patience: int | None = None, store: FeatureStore | None = None, **fields: Any
    ) -> CrossValidation:
        chosen = params.model_copy(update=fields)
        tunings = [
            FineTuning(
                chosen,
                untrained,
                num_classes=3,
                train=pool.subset(numbers != k),
                val=pool.subset(numbers == k),
                settings=FineTuneSettings(max_epochs=4, views=2),
                compute=ComputeSettings(store=store),
            )
            for k in range(FOLDS)
        ]
        return CrossValidation(
            tunings, numbers, pool.labels, metric="val_accuracy", patience=patience
        )

    return make


def numbers_of(report: RoundReport) -> RoundReport:
    """Report without times and memory."""
    timed = {"seconds": 0, "prefix_seconds": 0, "evaluate_seconds": 0}
    timed |= {"prefix_seconds_per_image": 0}
    return replace(report, images_per_second=0, peak_memory_mib=0, **timed)


def test_every_image_is_scored_by_the_model_that_did_not_train_on_it(
    begin: Callable[..., CrossValidation], pool: ImageSet
) -> None:
    folds = begin()
    reports = []
    while not folds.ended:
        reports.append(folds.run_round())
        if folds.best_logits is not None:
            assert folds.best_logits.shape == (len(pool), 3)
            scores = scores_of(folds.best_logits.astype(np.float32), pool.labels)
            assert scores.accuracy == pytest.approx(reports[-1].val_accuracy, abs=0.02)
    assert [report.epoch for report in reports] == [1, 2, 3, 4]
    assert [report.is_last for report in reports] == [False, False, False, True]
    assert max(report.val_accuracy for report in reports) > 0.5


def test_each_fold_is_a_fine_tune_like_any_other(
    begin: Callable[..., CrossValidation], pool: ImageSet, params: TrialParams, untrained: Weights
) -> None:
    numbers = fold_numbers(pool.labels, FOLDS)
    alone = FineTuning(
        params,
        untrained,
        num_classes=3,
        train=pool.subset(numbers != 1),
        val=pool.subset(numbers == 1),
        settings=FineTuneSettings(max_epochs=4, views=2),
    )
    list(finetune(alone))
    folds = begin()
    while not folds.ended:
        folds.run_round()
    theirs = folds._tunings[1].model.state_dict()
    for name, tensor in alone.model.state_dict().items():
        assert torch.equal(tensor, theirs[name])


def test_a_cross_validation_continued_from_a_checkpoint_gives_the_same_numbers(
    begin: Callable[..., CrossValidation],
) -> None:
    whole, first = begin(), begin()
    reports = [numbers_of(whole.run_round()) for _ in range(4)]
    for _ in range(2):
        first.run_round()
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    again = begin()
    again.load_state_dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    assert [numbers_of(again.run_round()) for _ in range(2)] == reports[2:]


def test_the_folds_share_stored_features(
    begin: Callable[..., CrossValidation], tmp_path: Path
) -> None:
    store = FeatureStore(tmp_path, 2**30, "float32")
    kept, plain = begin(store=store, unfreeze=0.0), begin(unfreeze=0.0)
    for _ in range(3):
        ours, theirs = kept.run_round(), plain.run_round()
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-4)
    files = len(list(store.folder.glob("*.float32")))
    assert files <= 3, "as it is, and a view or two; not as many for every fold"


def test_a_fold_that_diverges_ends_all_folds(begin: Callable[..., CrossValidation]) -> None:
    folds = begin(learning_rate=1e30, optimizer="sgd")
    while not folds.ended:
        report = folds.run_round()
    assert report.diverged
    assert report.is_last
    assert folds.best_logits is None


def test_patience_counts_epochs_by_the_score_over_all_folds(
    begin: Callable[..., CrossValidation],
) -> None:
    folds = begin(patience=1, learning_rate=1e-9)
    reports = [folds.run_round()]
    while not folds.ended:
        reports.append(folds.run_round())
    assert len(reports) < 4
