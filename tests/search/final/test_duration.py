from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from search.config import Format, SweepConfig
from search.final import FinalizationTime, export_seconds
from search.record import TrialRecord
from search.trial import TrialJob
from spaces import TrialParams
from tests.support.round_reports import report
from trainables.data import Dataset

PARAMS = TrialParams(backbone="a", image_size=32)


def expected(trials: Sequence[TrialRecord], *, on_gpu: bool = True, **settings: Any) -> float:
    """Seconds of the final model, of 60 training, 20 validation and 20 test images."""
    names = tuple(f"{k}.png" for k in range(100))
    splits = np.array(["train"] * 60 + ["val"] * 20 + ["test"] * 20)
    dataset = Dataset(Path("/"), ("a", "b"), names, np.arange(100) % 2, splits, names, "f")
    config = SweepConfig.parse(
        {"data": "d", "metric": "val_accuracy", "export": {"formats": ["timm"]}, **settings}
    )
    job = TrialJob(config, dataset, {}, {}, on_gpu=on_gpu)
    return FinalizationTime(job, cpus_per_trial=1).seconds(trials)


def trial(number: int, *scores: float, prefix: float = 0.5, **params: Any) -> TrialRecord:
    """Of rounds of two seconds: 0.5 s are for the prefix of 80 images and 0.5 s for validation."""
    reports = [report(k, score) for k, score in enumerate(scores, start=1)]
    timed = {"prefix_seconds": prefix, "prefix_seconds_per_image": prefix / 80}
    reports = [replace(each, **timed) for each in reports]  # type: ignore[arg-type]
    return TrialRecord(number, PARAMS.model_copy(update=params), "completed", tuple(reports), "")


def test_the_best_trial_is_retrained_with_more_images_and_without_kept_features() -> None:
    trials = [
        trial(0, 0.9, 0.2, prefix=0.1),
        trial(1, 0.5, prefix=0.7),
        trial(2, 0.6, image_size=8),
    ]
    seconds = (2 - 0.1 - 0.5) * 80 / 60 + 0.7
    test = 20 * (0.5 / 20 + 0.7 / 80)
    assert expected(trials) == pytest.approx(export_seconds(["timm"]) + seconds + test)


def test_the_best_linear_probe_to_compare_with_is_solved_and_tested_again() -> None:
    alone = expected([trial(0, 0.9)])
    probes = [trial(1, 0.5, head="solved"), trial(2, 0.4, head="solved", image_size=64, prefix=1.9)]
    tested = 20 * 0.5 / 80
    assert expected([trial(0, 0.9), *probes]) == pytest.approx(alone + 2 + tested)


def test_a_linear_probe_that_wins_is_compared_only_with_an_ensemble() -> None:
    probe, export = trial(1, 0.9, head="solved"), export_seconds(["timm"])
    assert expected([trial(0, 0.5), probe]) == expected([probe])
    member, solved = expected([probe]) - export, 2 + 20 * 0.5 / 80
    assert expected([probe], ensemble=2) == pytest.approx(export + 2 * member + solved)


def test_features_that_an_earlier_sweep_has_kept_are_computed_again_in_a_retraining() -> None:
    cold = trial(0, 0.9, 0.2, prefix=0.7)
    warm = replace(cold, reports=tuple(replace(r, prefix_seconds=0.0) for r in cold.reports))
    spared = 0.7 * 80 / 60  # a warm round has trained for all of its time
    assert expected([warm]) == pytest.approx(expected([cold]) + spared)


def test_rounds_and_folds_do_not_divide_the_prefix_of_an_epoch() -> None:
    plain = trial(0, 0.9, prefix=0.7)
    parts = [replace(report(k, 0.9 - k / 10), epoch=k / 4) for k in (1, 2, 3, 4)]
    quarters = replace(plain, reports=tuple(replace(r, prefix_seconds_per_image=1) for r in parts))
    training = (2 - 0.5 - 0.5) * 80 / 60
    test = 20 * (0.5 / 20 + 1)
    known = export_seconds(["timm"]) + training + 80 / 4 + test
    assert expected([quarters]) == pytest.approx(known)
    folded, whole = (expected([plain], folds=folds) for folds in (2, 0))
    assert folded < whole + 0.5, "only the training is divided"
    assert folded > 0.7


def test_every_flip_of_the_test_takes_time() -> None:
    once = 20 * (0.5 / 20 + 0.5 / 80)
    none, one, both = (
        expected([trial(0, 0.9)], test_time_flips=flips) for flips in ("none", "horizontal", "both")
    )
    assert (one - none, both - none) == pytest.approx((2 * once, 3 * once))


def test_before_a_trial_has_a_score_nothing_is_known() -> None:
    assert expected([]) == expected([trial(0), trial(1, float("nan"))]) == 0
    assert expected([trial(0, 0.9)], retrain=False) == 0


def test_on_a_cpu_all_cores_retrain(monkeypatch: pytest.MonkeyPatch) -> None:
    export = export_seconds(["timm"])
    monkeypatch.setattr("search.final.duration.available_cpus", lambda: 4)
    on_gpu, on_cpu = (expected([trial(0, 0.9)], on_gpu=each) - export for each in (True, False))
    assert on_cpu == pytest.approx(on_gpu / 2)


def test_every_format_has_a_time() -> None:
    assert all(export_seconds([name]) > 0 for name in get_args(Format))
