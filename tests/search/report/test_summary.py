from dataclasses import replace
from pathlib import Path

import numpy as np

from search.config import SweepConfig
from search.record import SweepPaths, TrialRecord
from search.report.summary import _described, summary
from search.report.sweep_data import SweepData
from spaces import TrialParams
from tests.support.predictions import final_model_of, random_predictions
from tests.support.search_history import SPACE, trial_of
from trainables.data import Dataset


def data_of(trials: list[TrialRecord], **settings: object) -> SweepData:
    """A sweep over six images that has these trials so far."""
    names = tuple("abcdef")
    split = np.array(["train", "train", "train", "val", "val", "test"])
    dataset = Dataset(
        Path("nowhere"), ("cat", "dog"), names, np.arange(6) % 2, split, names, "fingerprint"
    )
    return SweepData(
        paths=SweepPaths(Path("nowhere")),
        config=SweepConfig.parse(
            {"data": "nowhere", "trials": 16, "metric": "val_accuracy", **settings}
        ),
        space=SPACE,
        dataset=dataset,
        trials=tuple(trials),
        final=None,
        predictions=None,
    )


def test_before_the_first_trial_the_summary_describes_the_search() -> None:
    assert summary(data_of([])) == [
        "The sweep searches for the best classifier of 2 classes on 6 images (3 train, 2 val, "
        "1 test), with 16 trials of the space test.",
        "No trial has begun yet.",
    ]


def test_trials_are_counted_by_how_they_ended() -> None:
    trials = [
        trial_of(0, 0.5),
        trial_of(1, 0.4, status="stopped"),
        trial_of(2, status="failed"),
        trial_of(4, 0.3, status="running"),
    ]
    sentences = summary(data_of(trials))
    assert sentences[1].startswith(
        "4 trials of 2 backbones have begun (1 stopped early, 1 failed, 1 running), with "
    )
    assert (
        "The winner is trial 0000: a with unfreeze 0 has a val_accuracy of 0.5000." in sentences[2]
    )
    assert sentences[3] == "No model has been retrained and tested yet."


def test_a_single_trial_is_counted_in_the_singular() -> None:
    assert summary(data_of([trial_of(0, 0.5)]))[1].startswith("1 trial of 1 backbone has begun, ")


def test_the_test_result_comes_with_its_most_frequent_confusion() -> None:
    predictions = random_predictions(3)
    tested = replace(
        data_of([trial_of(0, 0.5)], metric="val_macro_f1"),
        final=final_model_of(predictions),
        predictions=predictions,
    )
    *_, result, confusion = summary(tested)
    assert f"trial 0000 has a test accuracy of {predictions.correct.mean():.4f}" in result
    assert "The macro F1" in result
    assert confusion.startswith("The most frequent confusion is class ")


def test_a_winner_that_is_a_linear_probe_is_called_so() -> None:
    probe = TrialParams(backbone="a", head="solved", unfreeze=0, augment=0)
    assert _described(probe) == "a linear probe on a"
    assert _described(TrialParams(backbone="a", unfreeze=0.25)) == "a with unfreeze 0.25"
