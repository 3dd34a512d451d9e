import warnings
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from search import Sweep
from search.config import SweepConfig
from search.final import select_final_model
from search.final.selection import EnsembleMember, FinalModelSpec, pick_members
from search.record import Repeat, ResolvedSettings, SweepPaths, TrialRecord
from spaces import ConfigError
from tests.support.validation_logits import (
    METRIC,
    logits_store,
    trial_with_logits,
    validation_dataset,
)
from trainables.data import Dataset
from trainables.evaluation import fold_numbers
from trainables.files import write_json


@pytest.fixture
def paths(tmp_path: Path) -> SweepPaths:
    """Files of a sweep whose launch has resolved its settings."""
    paths = SweepPaths(tmp_path)
    write_json(paths.resolved, asdict(ResolvedSettings(METRIC, 0, 2)))
    return paths


def config(**settings: object) -> SweepConfig:
    return SweepConfig.parse({"data": "nowhere", "metric": METRIC, **settings})


def alone(trial: TrialRecord) -> FinalModelSpec:
    return FinalModelSpec((EnsembleMember(trial),))


def probabilities_wrong_on(labels: np.ndarray, *wrong: slice) -> np.ndarray:
    """Probabilities of members, each right and confident but for images where it is neither."""
    members = []
    for images in wrong:
        logits = 3.0 * np.eye(labels.max() + 1)[labels]
        logits[images] = np.roll(logits[images] / 3, 1, axis=1)
        members.append(softmax(logits, axis=1))
    return np.stack(members)


def test_members_that_make_different_mistakes_are_picked_together() -> None:
    labels = np.arange(300) % 3
    members = probabilities_wrong_on(labels, slice(0, 60), slice(60, 130), slice(0, 70))
    picks = pick_members(members, labels, fold_numbers(labels), METRIC, 3)
    assert set(picks) == {0, 1}, "the third errs where the first does"
    assert set(pick_members(members, labels, fold_numbers(labels), METRIC, 1)) == {0}


def test_members_that_only_help_on_the_images_used_for_selection_are_not_picked() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    good = softmax(2.0 * np.eye(2)[labels] + rng.normal(size=(60, 2)), axis=1)
    noise = softmax(rng.normal(scale=4, size=(15, 60, 2)), axis=2)
    members = np.concatenate([good[None], noise])
    assert pick_members(members, labels, fold_numbers(labels), METRIC, 4) == Counter([0])


def test_without_images_to_hold_out_the_winner_stays_alone() -> None:
    labels = np.arange(60) % 3
    members = probabilities_wrong_on(labels, slice(0, 12), slice(12, 26))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pick_members(members, labels, np.zeros(60, int), METRIC, 2) == Counter([0])


def test_members_have_the_same_preprocessing_as_the_winner(
    paths: SweepPaths, dataset: Dataset
) -> None:
    labels = dataset.labels[dataset.rows("val")]
    wrong = [slice(0, 4), *3 * [slice(4, 9)]]
    logits = [np.log(member) for member in probabilities_wrong_on(labels, *wrong)]
    fields: list[dict[str, object]] = [
        {},
        {"image_size": 64},
        {"backbone": "test_vit2"},
        {"fit": "crop"},
    ]
    trials = [trial_with_logits(k, logits[k], labels, **fields[k]) for k in range(4)]
    store = logits_store(paths, dataset)
    for trial, kept in zip(trials, logits, strict=True):
        store.keep(trial.number, trial.reports[0], kept.astype(np.float16))
    members = select_final_model(trials[0], trials, paths, dataset, config(ensemble=3)).members
    assert [member.trial.number for member in members] == [0, 2], (
        "trial 1 has larger images, trial 3 crops them"
    )
    assert sum(member.weight for member in members) == pytest.approx(1)
    assert select_final_model(trials[0], trials, paths, dataset, config()) == alone(trials[0])


def test_logits_are_calibrated_only_if_asked_for(paths: SweepPaths, dataset: Dataset) -> None:
    labels = dataset.labels[dataset.rows("val")]
    overconfident = 8 * np.log(probabilities_wrong_on(labels, slice(0, 3))[0])
    winner = trial_with_logits(0, overconfident, labels)
    logits_store(paths, dataset).keep(0, winner.reports[0], overconfident.astype(np.float16))
    (calibrated,) = select_final_model(
        winner, [winner], paths, dataset, config(calibrate=True)
    ).members
    assert calibrated.temperature > 1.5
    (plain,) = select_final_model(winner, [winner], paths, dataset, config(ensemble=2)).members
    assert plain.temperature == 1


def test_a_winner_without_saved_logits_stays_alone(paths: SweepPaths, dataset: Dataset) -> None:
    labels = dataset.labels[dataset.rows("val")]
    winner = trial_with_logits(0, np.eye(3)[labels], labels)
    spec = select_final_model(winner, [winner], paths, dataset, config(ensemble=4))
    assert spec == alone(winner)
    refusal = (
        r"Trial 0000 has no saved validation logits \(only the best trials keep them\), so it "
        r"can't be calibrated. Choose another trial with '.*finesweep retrain .* --trial ID.*', or "
        r"retrain this one with --no-calibrate."
    )
    with pytest.raises(ConfigError, match=refusal):
        select_final_model(winner, [winner], paths, dataset, config(calibrate=True))


@pytest.mark.slow
def test_a_sensitivity_with_three_classes_is_refused_before_the_first_trial(
    settings: dict[str, Any], ray_cluster: None
) -> None:
    given = {**settings, "name": "refused", "sensitivity": "one=0.9"}
    with pytest.raises(ConfigError, match="it names 'one', and the data have 3 classes"):
        Sweep(SweepConfig.parse(given)).run()


@pytest.mark.parametrize("wrong", ["one", "one=0", "one=1.5", "=0.9"])
def test_a_sensitivity_must_be_a_class_and_a_share(wrong: str) -> None:
    with pytest.raises(ConfigError, match="sensitivity: must be CLASS=SHARE, such as"):
        config(sensitivity=wrong)


def test_the_best_linear_probe_is_the_baseline_unless_it_is_the_final_model(
    paths: SweepPaths,
) -> None:
    labels = np.arange(30) % 3
    right = 3.0 * np.eye(3)[labels]
    probe = {"head": "solved", "unfreeze": 0, "augment": 0}
    winner = trial_with_logits(0, right, labels)
    worse = trial_with_logits(1, np.roll(right, 1, axis=1), labels, **probe)
    better = trial_with_logits(2, right, labels, **probe)
    trials, dataset = [winner, worse, better], validation_dataset(labels)
    settings = config(ensemble=1)
    spec = select_final_model(winner, trials, paths, dataset, settings)
    assert spec.probe == EnsembleMember(better)
    repeat = replace(trial_with_logits(3, right, labels, **probe), repeat=Repeat(1, 1, 1, part=0))
    trials.append(repeat)
    assert select_final_model(winner, trials, paths, dataset, settings).probe == spec.probe
    for final in (better, worse):
        assert select_final_model(final, trials, paths, dataset, settings).probe is None
    assert select_final_model(winner, [winner], paths, dataset, settings).probe is None
