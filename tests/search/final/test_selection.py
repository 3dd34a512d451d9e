import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax

from search import Sweep
from search.cli import main
from search.cli.output import result_words
from search.config import SweepConfig
from search.final import select_final_model
from search.final.selection import EnsembleMember, FinalModelSpec, pick
from search.operations import report_sweep, retrain_sweep
from search.record import (
    KEPT,
    FinalModel,
    SweepPaths,
    TrialRecord,
    ValidationAnswers,
    load_config,
    read_answers,
    read_trials,
)
from search.result import SweepResult
from spaces import ConfigError, TrialParams
from tests.support.epoch_reports import report
from tests.support.finalizing import hand
from trainables.data import Dataset, read_surveyed_image
from trainables.evaluation import fold_numbers, scores_of
from trainables.inference import ModelSpec, Predictor
from trainables.training import merit

METRIC = "val_accuracy"


def told(labels: np.ndarray, *wrong: slice) -> np.ndarray:
    """Members that are sure and right, but each wrong on some images, and unsure there."""
    members = []
    for some in wrong:
        logits = 3.0 * np.eye(labels.max() + 1)[labels]
        logits[some] = np.roll(logits[some] / 3, 1, axis=1)
        members.append(softmax(logits, axis=1))
    return np.stack(members)


def test_members_that_make_different_mistakes_are_picked_together() -> None:
    labels = np.arange(300) % 3
    members = told(labels, slice(0, 60), slice(60, 130), slice(0, 70))
    picks = pick(members, labels, fold_numbers(labels), METRIC, 3)
    assert set(picks) == {0, 1}, "the third errs where the first does"
    assert set(pick(members, labels, fold_numbers(labels), METRIC, 1)) == {0}


def test_what_only_looks_better_on_the_images_it_was_picked_by_is_not_picked() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    good = softmax(2.0 * np.eye(2)[labels] + rng.normal(size=(60, 2)), axis=1)
    noise = softmax(rng.normal(scale=4, size=(15, 60, 2)), axis=2)
    members = np.concatenate([good[None], noise])
    assert pick(members, labels, fold_numbers(labels), METRIC, 4) == Counter([0])


def record(number: int, logits: np.ndarray, labels: np.ndarray, **fields: object) -> TrialRecord:
    accuracy = scores_of(logits.astype(np.float32), labels).accuracy
    params = TrialParams.parse({"backbone": "test_vit", "image_size": 32, **fields})
    return TrialRecord(number, params, "completed", (report(1, accuracy),), "")


@pytest.fixture
def paths(tmp_path: Path) -> SweepPaths:
    return SweepPaths(tmp_path)


def only_validation(labels: np.ndarray) -> Dataset:
    """Images that are all validated on, each of other bytes."""
    digests = tuple(f"{row:03d}" for row in range(len(labels)))
    classes = tuple(f"class {k}" for k in range(labels.max() + 1))
    splits = np.full(len(labels), "val")
    return Dataset(Path("nowhere"), classes, digests, labels, splits, digests, "fingerprint")


def keeper(
    paths: SweepPaths, dataset: Dataset, records: Sequence[TrialRecord] = ()
) -> ValidationAnswers:
    """What a sweep over a dataset keeps logits with."""
    digests = dataset.digests_of("val")
    return ValidationAnswers(
        paths.answers, METRIC, records, classes=dataset.classes, digests=digests
    )


def read(
    paths: SweepPaths, records: Sequence[TrialRecord], dataset: Dataset
) -> Mapping[int, np.ndarray]:
    return read_answers(paths.answers, records, METRIC, dataset, ["val"])


def config(**settings: object) -> SweepConfig:
    return SweepConfig.parse({"data": "nowhere", "metric": METRIC, **settings})


def test_the_answers_of_the_best_trials_are_kept(paths: SweepPaths) -> None:
    labels = np.arange(40) % 2
    images = only_validation(labels)
    answers = keeper(paths, images)
    records = []
    for number in range(KEPT + 4):
        logits = np.eye(2)[labels]
        logits[: 2 * number] = logits[: 2 * number, ::-1] if number < 20 else 0
        records.append(record(number, logits, labels))
        answers.keep(number, records[-1].reports[0], logits.astype(np.float16))
    assert set(read(paths, records, images)) == set(range(KEPT))
    again = keeper(paths, images, records)
    better = record(99, np.eye(2)[labels], labels)
    again.keep(99, better.reports[0], np.eye(2, dtype=np.float16)[labels])
    assert set(read(paths, [*records, better], images)) == {*range(KEPT - 1), 99}


def test_answers_of_an_epoch_that_is_not_the_best_are_left_out(paths: SweepPaths) -> None:
    labels = np.arange(40) % 2
    images = only_validation(labels)
    keeper(paths, images).keep(0, report(1, 0.5), np.zeros((40, 2), np.float16))
    assert set(read(paths, [record(0, np.zeros((40, 2)), labels)], images)) == {0}
    later = record(0, np.eye(2)[labels], labels)
    assert not read(paths, [later], images)


def test_logits_are_matched_by_class_and_image(paths: SweepPaths) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(12) % 3
    images = only_validation(labels)
    logits = rng.normal(size=(12, 3)).astype(np.float16)
    trial = record(0, logits, labels)
    keeper(paths, images).keep(0, trial.reports[0], logits)
    rows, columns = rng.permutation(12), [2, 0, 1]
    turned = replace(
        images,
        classes=tuple(images.classes[k] for k in columns),
        labels=np.argsort(columns)[labels[rows]],
        digests=tuple(images.digests[row] for row in rows),
    )
    found = read(paths, [trial], turned)[0]
    assert found.tolist() == logits[rows][:, columns].tolist()
    others = replace(images, digests=tuple(f"other {row}" for row in range(12)))
    assert not read(paths, [trial], others), "of images that it was not asked about"


def test_logits_of_earlier_versions_are_read_as_they_lie(paths: SweepPaths) -> None:
    labels = np.arange(12) % 3
    logits = np.eye(3, dtype=np.float16)[labels]
    paths.answers.mkdir()
    np.save(paths.answers / "0000.npy", logits)
    trial = record(0, logits, labels)
    images = only_validation(labels)
    assert read(paths, [trial], images)[0].tolist() == logits.tolist()
    keeper(paths, images, [trial]).keep(0, trial.reports[0], logits)
    assert [file.name for file in paths.answers.iterdir()] == ["0000.npz"]


def test_members_see_images_as_the_winner_does(paths: SweepPaths, dataset: Dataset) -> None:
    labels = dataset.labels[dataset.rows("val")]
    spoiled = [slice(0, 4), slice(4, 9), slice(4, 9)]
    logits = [np.log(member) for member in told(labels, *spoiled)]
    sizes: list[dict[str, object]] = [{}, {"image_size": 64}, {"backbone": "test_vit2"}]
    records = [record(k, logits[k], labels, **size) for k, size in enumerate(sizes)]
    answers = keeper(paths, dataset)
    for each, told_by in zip(records, logits, strict=True):
        answers.keep(each.number, each.reports[0], told_by.astype(np.float16))
    chosen = select_final_model(records[0], records, paths, dataset, config(ensemble=3)).members
    assert [one.trial.number for one in chosen] == [0, 2], "of 1 the images are larger"
    assert sum(one.weight for one in chosen) == pytest.approx(1)
    alone = select_final_model(records[0], records, paths, dataset, config())
    assert alone == FinalModelSpec((EnsembleMember(records[0]),))


def test_confidence_is_mended_only_if_asked_for(paths: SweepPaths, dataset: Dataset) -> None:
    labels = dataset.labels[dataset.rows("val")]
    logits = np.log(told(labels, slice(0, 3))[0])
    winner = record(0, 8 * logits, labels)
    keeper(paths, dataset).keep(0, winner.reports[0], (8 * logits).astype(np.float16))
    (chosen,) = select_final_model(winner, [winner], paths, dataset, config(calibrate=True)).members
    assert chosen.temperature > 1.5
    (plain,) = select_final_model(winner, [winner], paths, dataset, config(ensemble=2)).members
    assert plain.temperature == 1


def test_a_winner_without_answers_stays_alone(paths: SweepPaths, dataset: Dataset) -> None:
    labels = dataset.labels[dataset.rows("val")]
    winner = record(0, np.eye(3)[labels], labels)
    asked = config(ensemble=4)
    assert select_final_model(winner, [winner], paths, dataset, asked) == FinalModelSpec(
        (EnsembleMember(winner),)
    )
    with pytest.raises(ConfigError, match="calibrate can't be had of trial 0000: it has left no"):
        select_final_model(winner, [winner], paths, dataset, config(calibrate=True))


@pytest.fixture(scope="module")
def ensemble(sweep: SweepResult, tmp_path_factory: pytest.TempPathFactory) -> SweepPaths:
    """The sweep's two best trials as one model, which no validation was asked about."""
    paths = SweepPaths(tmp_path_factory.mktemp("sweeps") / "ensemble")
    shutil.copytree(sweep.paths.root, paths.root)
    trials = sorted(
        (trial for trial in read_trials(paths.journal) if trial.repeat is None),
        key=lambda trial: merit(trial.best(METRIC), METRIC),  # type: ignore[arg-type]
    )[-2:]
    members = (EnsembleMember(trials[1], 0.75, 2.0), EnsembleMember(trials[0], 0.25))
    hand(paths, members)
    return paths


def test_an_ensemble_is_exported_as_one_model(ensemble: SweepPaths) -> None:
    final, dataset = FinalModel.read(ensemble), Dataset.read(ensemble.dataset, ensemble.split)
    assert [member.weight for member in final.members] == [0.75, 0.25]
    assert not (ensemble.export / "config.json").exists(), "it is no timm model"
    card = ensemble.card.read_text()
    assert "The timm folder is left out: an ensemble of 2 trials" in card
    assert "Its logits are divided by 2.00." in card
    files = [dataset.file(row) for row in dataset.rows("test")]
    tested = pd.read_parquet(ensemble.predictions).filter(like="p.").to_numpy()
    for name in ("model.onnx", "model.pt2"):
        told = Predictor.load(ensemble.export / name).probabilities(files)
        assert told == pytest.approx(tested, abs=1e-3)


def test_its_answers_are_the_mean_of_its_members(ensemble: SweepPaths) -> None:
    final, dataset = FinalModel.read(ensemble), Dataset.read(ensemble.dataset, ensemble.split)
    spec = ModelSpec.of(final.winner.params, dataset.classes)
    rows = dataset.rows("test")
    images = spec.preprocess([read_surveyed_image(dataset, row, side=32) for row in rows])
    mean = 0.0
    with torch.inference_mode():
        for k, member in enumerate(final.members):
            model = member.load(ensemble.member_weights(k), len(dataset.classes))
            mean = mean + member.weight * model(images).softmax(dim=1).numpy()
    tested = pd.read_parquet(ensemble.predictions).filter(like="p.").to_numpy()
    assert tested == pytest.approx(mean, abs=1e-4)


def test_its_report_says_what_it_is_made_of(ensemble: SweepPaths) -> None:
    page = report_sweep(ensemble).read_text()
    names = [member.trial_id for member in FinalModel.read(ensemble).members]
    assert f"the mean of trials {', '.join(names)} has a test accuracy of" in page


def test_what_is_made_of_a_sweep_can_be_changed_afterwards(
    sweep: SweepResult, tmp_path: Path
) -> None:
    paths = SweepPaths(tmp_path / "again")
    shutil.copytree(sweep.paths.root, paths.root)
    retrain_sweep(paths, changes={"ensemble": 3, "calibrate": True})
    kept = load_config(paths)
    assert (kept.ensemble, kept.calibrate) == (3, True)
    final = FinalModel.read(paths)
    assert sum(member.weight for member in final.members) == pytest.approx(1)
    leftovers = {path.name for path in paths.retrained.glob("*.safetensors")}
    assert leftovers == {paths.member_weights(k).name for k in range(len(final.members))}


def test_of_an_ensemble_that_makes_way_for_one_trial_nothing_is_left(
    ensemble: SweepPaths, tmp_path: Path
) -> None:
    paths = SweepPaths(tmp_path / "alone")
    shutil.copytree(ensemble.root, paths.root)
    (trial,) = retrain_sweep(paths, trial="0").final.members  # type: ignore[union-attr]
    assert trial.trial_id == "0000"
    assert [file.name for file in paths.retrained.glob("*.safetensors")] == ["model.safetensors"]
    assert (paths.export / "config.json").exists(), "it is timm's again"


def test_retrain_changes_nothing_else(
    sweep: SweepResult, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--results-dir", str(sweep.paths.root.parent)]
    with pytest.raises(SystemExit):
        main(["retrain", "digits", "--trials", "9", *where])
    assert "retrain changes ensemble, calibrate, sensitivity, not trials" in capsys.readouterr().err


@pytest.fixture(scope="module")
def careful(
    settings: dict[str, Any],
    digits: Path,
    ray_cluster: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> SweepResult:
    """A sweep of two classes, of which ones must not be missed."""
    folder = tmp_path_factory.mktemp("two")
    for name in ("one", "seven"):
        shutil.copytree(digits / name, folder / "data" / name)
    given = {**settings, "data": folder / "data", "results_dir": folder, "name": "careful"}
    asked = {"trials": 2, "max_epochs": 1, "confirm": 0, "sensitivity": "one=0.9"}
    return Sweep(SweepConfig.parse({**given, **asked})).run()


def test_a_class_that_must_not_be_missed_has_a_threshold(careful: SweepResult) -> None:
    assert careful.final is not None
    rates = careful.final.rates
    assert rates is not None
    assert (rates.point.positive, rates.point.wanted) == ("one", 0.9)
    assert FinalModel.read(careful.paths) == careful.final
    table = pd.read_parquet(careful.paths.predictions)
    found = table["p.one"] >= rates.point.threshold
    assert rates.sensitivity == pytest.approx(found[table["label"] == "one"].mean())
    assert rates.specificity == pytest.approx(1 - found[table["label"] != "one"].mean())
    said = f"sensitivity where one is answered from {rates.point.threshold:.3f} on"
    assert said in careful.paths.card.read_text()
    assert report_sweep(careful.paths).read_text().count(said) == 1
    assert f"In the test   {said}: {rates.sensitivity:.4f}" in told_of(careful)


def told_of(made: SweepResult, **asked: object) -> str:
    """What the terminal says in the end."""
    return result_words(made, load_config(made.paths).model_copy(update=asked))


def test_what_became_of_an_ensemble_and_a_calibration_is_told(
    careful: SweepResult, ensemble: SweepPaths
) -> None:
    said = told_of(careful, ensemble=3, calibrate=True, folds=5)
    assert "Ensemble      none: none was found" in said
    assert "Calibrated    logits divided, of trial 000" in said
    assert "in cross-validation: scores" in said
    made = told_of(replace(careful, final=FinalModel.read(ensemble)))
    assert re.search(r"Ensemble      the mean of trials \d+ \(0.75\), \d+ \(0.25\)", made)


@pytest.mark.parametrize("name", ["", "model.onnx", "model.pt2"])
def test_every_export_answers_from_that_threshold(careful: SweepResult, name: str) -> None:
    assert careful.final is not None
    assert careful.final.rates is not None
    predictor = Predictor.load(careful.paths.export / name)
    assert predictor.spec.point == careful.final.rates.point


def test_a_sensitivity_of_no_class_of_two_is_refused_before_a_trial(
    settings: dict[str, Any], ray_cluster: None
) -> None:
    asked = {**settings, "name": "refused", "sensitivity": "one=0.9"}
    with pytest.raises(ConfigError, match="is of one of two classes, not of 'one' among 3"):
        Sweep(SweepConfig.parse(asked)).run()
    for wrong in ("one", "one=0", "one=1.5", "=0.9"):
        with pytest.raises(ConfigError, match="sensitivity: must be CLASS=SHARE, such as"):
            config(sensitivity=wrong)


def test_a_cross_validated_sweep_is_scored_on_every_image_but_the_tests(
    settings: dict[str, Any], ray_cluster: None, tmp_path: Path
) -> None:
    asked = {"folds": 3, "trials": 2, "max_epochs": 1, "confirm": 0, "calibrate": True}
    given = {**settings, "name": "folds", "results_dir": tmp_path, **asked}
    made = Sweep(SweepConfig.parse(given)).run()
    dataset = Dataset.read(made.paths.dataset, made.paths.split)
    trials = read_trials(made.paths.journal)
    answers = read_answers(made.paths.answers, trials, METRIC, dataset, ["train", "val"])
    assert len(answers) == 2
    assert len(answers[0]) == len(dataset) - len(dataset.rows("test"))
    assert made.final is not None
    assert len(pd.read_parquet(made.paths.predictions)) == len(dataset.rows("test"))


def test_more_folds_than_a_class_has_images_are_refused(
    settings: dict[str, Any], ray_cluster: None
) -> None:
    with pytest.raises(ConfigError, match="folds is 99, but a class has 34 different training and"):
        Sweep(SweepConfig.parse({**settings, "name": "many", "folds": 99})).run()
    with pytest.raises(ConfigError, match="folds must be 0, or 2 or more"):
        config(folds=1)
