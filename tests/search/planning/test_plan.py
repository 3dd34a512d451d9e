import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.config import SweepConfig
from search.planning import complete_plan, prepare_plan
from search.planning.plan import class_imbalance
from spaces import ConfigError


@pytest.mark.parametrize(
    ("left", "given", "metric"),
    [
        (40, {}, "val_accuracy"),
        (12, {}, "val_balanced_accuracy"),
        (12, {"metric": "val_macro_f1"}, "val_macro_f1"),
    ],
)
def test_uneven_classes_are_ranked_by_balanced_accuracy(
    left: int,
    given: dict[str, str],
    metric: str,
    settings: dict[str, Any],
    digits: Path,
    tmp_path: Path,
) -> None:
    shutil.copytree(digits, tmp_path / "digits")
    for file in sorted((tmp_path / "digits" / "seven").iterdir())[left:]:
        file.unlink()
    config = SweepConfig.parse({**settings, "data": tmp_path / "digits", **given})
    plan = complete_plan(prepare_plan(config))
    assert plan.config.metric == metric
    assert (class_imbalance(plan.survey.dataset) > 3) is (left == 12)


def test_a_resume_reorders_images_as_at_the_launch(settings: dict[str, Any]) -> None:
    prepared = prepare_plan(SweepConfig.parse(settings))
    dataset = complete_plan(prepared).survey.dataset
    again = complete_plan(prepared, recorded=dataset).survey.dataset
    assert again.fingerprint == dataset.fingerprint
    assert list(again.digests) == list(dataset.digests)


def test_a_resume_with_other_classes_is_refused(
    settings: dict[str, Any], digits: Path, tmp_path: Path
) -> None:
    recorded = complete_plan(prepare_plan(SweepConfig.parse(settings))).survey.dataset
    shutil.copytree(digits, tmp_path / "digits")
    (tmp_path / "digits" / "seven").rename(tmp_path / "digits" / "eight")
    prepared = prepare_plan(SweepConfig.parse({**settings, "data": tmp_path / "digits"}))
    with pytest.raises(ConfigError, match=r"\(new: eight; missing: seven\); restore the images"):
        complete_plan(prepared, recorded=recorded)


def test_a_resume_with_other_images_is_refused(
    settings: dict[str, Any], digits: Path, tmp_path: Path
) -> None:
    recorded = complete_plan(prepare_plan(SweepConfig.parse(settings))).survey.dataset
    shutil.copytree(digits, tmp_path / "digits")
    next((tmp_path / "digits" / "seven").iterdir()).unlink()
    prepared = prepare_plan(SweepConfig.parse({**settings, "data": tmp_path / "digits"}))
    with pytest.raises(ConfigError, match="are not those that the sweep"):
        complete_plan(prepared, recorded=recorded)


def test_a_resume_keeps_the_recorded_splits_though_a_launch_would_draw_others(
    settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    seed = {**settings, "seed": 5}
    recorded = complete_plan(prepare_plan(SweepConfig.parse(seed))).survey.dataset
    prepared = prepare_plan(SweepConfig.parse(settings))
    again = complete_plan(prepared, recorded=recorded).survey.dataset
    assert (again.splits == recorded.splits).all()
    assert (again.digests, again.fingerprint) == (recorded.digests, recorded.fingerprint)
    assert "keeps the splits that it was launched with" in caplog.text


def test_more_folds_than_images_of_a_class_are_refused(settings: dict[str, Any]) -> None:
    prepared = prepare_plan(SweepConfig.parse({**settings, "folds": 2}))
    many = replace(prepared, config=prepared.config.model_copy(update={"folds": 35}))
    with pytest.raises(ConfigError, match="a class has only 34 different training and validation"):
        complete_plan(many)


def test_a_sensitivity_for_an_unknown_class_is_refused(settings: dict[str, Any]) -> None:
    prepared = prepare_plan(SweepConfig.parse({**settings, "sensitivity": "crack=0.9"}))
    with pytest.raises(ConfigError, match="names 'crack', and the data have 3"):
        complete_plan(prepared)
