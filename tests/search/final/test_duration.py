from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.config import SweepConfig
from search.final import DurationAfterSearch, export_seconds
from search.record import TrialRecord
from search.trial import TrialJob
from spaces import TrialParams
from tests.support.round_reports import report
from trainables.data import Dataset

PARAMS = TrialParams(backbone="a", image_size=32)


def after(concurrent: int = 2, *, on_gpu: bool = True, **settings: Any) -> DurationAfterSearch:
    """Of a sweep with 60 training images, 20 to validate on and 20 to test on."""
    names = tuple(f"{k}.png" for k in range(100))
    splits = np.array(["train"] * 60 + ["val"] * 20 + ["test"] * 20)
    dataset = Dataset(Path("/"), ("a", "b"), names, np.arange(100) % 2, splits, names, "f")
    config = SweepConfig.parse(
        {"data": "d", "metric": "val_accuracy", "export": {"formats": ["timm"]}, **settings}
    )
    return DurationAfterSearch(
        TrialJob(config, dataset, {}, {}, on_gpu=on_gpu), concurrent, cpus_per_trial=1
    )


def trial(number: int, *scores: float, prefix: float = 0.5, **params: Any) -> TrialRecord:
    """Of rounds of two seconds: 0.5 s are for the prefix and 0.5 s for validation."""
    reports = [report(k, score) for k, score in enumerate(scores, start=1)]
    reports = [replace(each, prefix_seconds=prefix) for each in reports]
    return TrialRecord(number, PARAMS.model_copy(update=params), "completed", tuple(reports), "")


def test_the_best_trial_is_retrained_with_more_images_and_without_kept_features() -> None:
    trials = [
        trial(0, 0.9, 0.2, prefix=0.1),
        trial(1, 0.5, prefix=0.7),
        trial(2, 0.6, image_size=8),
    ]
    seconds = (2 - 0.1 - 0.5) * 80 / 60 + 0.7
    test = 20 * (0.5 / 20 + 0.7 / 80)
    assert after()(trials) == pytest.approx(export_seconds(["timm"]) + seconds + test)


def test_the_linear_probe_to_compare_with_is_solved_again() -> None:
    alone = after()([trial(0, 0.9)])
    assert after()([trial(0, 0.9), trial(1, 0.5, head="solved")]) == alone + 2


def test_the_repeats_run_side_by_side() -> None:
    trials = [trial(0, 0.5, 0.9), trial(1, 0.9, dropout=0.2)]
    extra = after(confirm=2)(trials) - after(confirm=0)(trials)
    assert extra == 2 * (4 + 2) / 2
    assert after(confirm=2, retrain=False)(trials) == extra


def test_before_a_trial_has_a_score_nothing_is_known() -> None:
    assert after()([]) == after()([trial(0), trial(1, float("nan"))]) == 0


def test_on_a_cpu_all_cores_retrain(monkeypatch: pytest.MonkeyPatch) -> None:
    export = export_seconds(["timm"])
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    on_gpu, on_cpu = (after(on_gpu=each)([trial(0, 0.9)]) - export for each in (True, False))
    assert on_cpu == pytest.approx(on_gpu / 2)
