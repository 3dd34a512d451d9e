import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from search import SweepConfig
from search.planning import PreparedPlan, prepare_plan
from search.planning.initial_points import POINTS_PER_SWEEP, prior_points
from search.record import Status, SweepPaths
from search.tuning.study import StudyJournal
from spaces import ConfigError, SearchSpace, TrialParams
from tests.support.round_reports import report

SPACE = SearchSpace.from_table(
    {
        "backbone": {"choices": ["a", "b"]},
        "unfreeze": {"low": 0, "high": 0.5},
        "optimizer": {"choices": ["adamw", "sgd"]},
        "dropout": 0.3,
    },
    name="test",
)
SIZES = {"a": 32, "b": 64}


def earlier(results: Path, name: str, *trials: tuple[TrialParams, float | None, Status]) -> None:
    """A sweep of trials of one epoch, or of none where there is no accuracy."""
    paths = SweepPaths(results / name)
    paths.root.mkdir(parents=True)
    config = SweepConfig.parse({"data": "d", "name": name, "metric": "val_accuracy"})
    paths.config.write_text(config.model_dump_json())
    journal = StudyJournal.open(
        paths.journal, SPACE, metric=config.metric, sampler="tpe", seed=0, max_rounds=9
    )
    for params, accuracy, status in trials:
        number = journal.ask_at({})
        journal.begin(number, params)
        if accuracy is not None:
            journal.report(number, report(1, accuracy))
        journal.end(number, status)


def point(backbone: str, unfreeze: float, **given: Any) -> TrialParams:
    return TrialParams(backbone=backbone, unfreeze=unfreeze, image_size=96, **given)


def test_the_best_points_of_earlier_sweeps_alternate_and_are_within_the_bounds(
    tmp_path: Path,
) -> None:
    earlier(
        tmp_path,
        "one",
        (point("a", 0.1), 0.7, "stopped"),
        (point("b", 0.9, optimizer="adam"), 0.9, "completed"),
        (point("other", 0.2), 0.99, "completed"),
        (point("a", 0.4), 0.95, "failed"),
        (point("a", 0.3), None, "stopped"),
    )
    earlier(tmp_path, "two", (point("a", 0.2, optimizer="sgd"), 0.6, "completed"))
    found = prior_points([Path("one"), tmp_path / "two"], SPACE, SIZES, results_dir=tmp_path)
    assert [(p.backbone, p.unfreeze, p.optimizer) for p in found] == [
        ("b", 0.5, "adamw"),
        ("a", 0.2, "sgd"),
        ("a", 0.1, "adamw"),
    ]
    assert {(p.image_size, p.dropout) for p in found} == {(64, 0.3), (32, 0.3)}


def test_a_prior_sweep_without_a_point_in_the_space_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    earlier(tmp_path, "other", (point("other", 0.2), 0.9, "completed"))
    assert prior_points([Path("other")], SPACE, SIZES, results_dir=tmp_path) == []
    assert "the prior sweep other has no point with a backbone of this space" in caplog.text


def test_only_a_few_of_many_earlier_points_are_used(tmp_path: Path) -> None:
    many = [(point("a", n / 20), n / 20, "completed") for n in range(10)]
    earlier(tmp_path, "many", *many)  # type: ignore[arg-type]
    found = prior_points([Path("many")], SPACE, SIZES, results_dir=tmp_path)
    assert [p.unfreeze for p in found] == [0.45, 0.4, 0.35][:POINTS_PER_SWEEP]


def test_points_of_earlier_sweeps_are_tried_before_the_defaults(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    earlier(tmp_path, "old", (point("test_vit", 0.6, augment=0.1), 0.9, "completed"))
    given = {**settings, "prior": ["old"], "results_dir": tmp_path, "trials": 9}
    points = prepare_plan(SweepConfig.parse(given)).points
    assert (points[1].backbone, points[1].unfreeze, points[1].image_size) == ("test_vit", 0.6, 32)
    assert [p.backbone for p in points[2:]] == ["test_efficientnet", "test_vit"]


def test_every_backbone_is_tried_at_the_defaults_after_the_given_points(
    settings: dict[str, Any],
) -> None:
    prepared = prepare_plan(SweepConfig.parse({**settings, "trials": 5}))
    first, *starts = prepared.points
    assert first.label_smoothing == 0.1
    assert [s.backbone for s in starts] == ["test_efficientnet", "test_vit"]
    assert {s.unfreeze for s in starts} == {1.0}
    few = prepare_plan(SweepConfig.parse({**settings, "trials": 3}))
    assert few.points == prepared.points[:2], "half of the trials at most"
    none = prepare_plan(SweepConfig.parse({**settings, "trials": 5, "starts": False}))
    assert none.points == prepared.points[:1]


def test_random_features_are_not_probed(settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "points.json").write_text('[{"head": "solved"}]')
    values = {**settings, "points": tmp_path / "points.json"}
    with pytest.raises(ConfigError, match="needs pretrained weights, not untrained ones"):
        prepare_plan(SweepConfig.parse(values))


def grid_of_six(settings: dict[str, Any], tmp_path: Path, **more: Any) -> PreparedPlan:
    space = tmp_path / "grid.toml"
    space.write_text(
        'image_size = 32\n[backbone]\nchoices = ["test_vit", "test_efficientnet"]\n'
        "[unfreeze]\nlow = 0\nhigh = 1\nstep = 0.5\n"
    )
    values = {**settings, "space": str(space), "points": None, "sampler": "grid", **more}
    return prepare_plan(SweepConfig.parse(values))


def test_all_points_of_a_grid_are_tried(settings: dict[str, Any], tmp_path: Path) -> None:
    points = grid_of_six(settings, tmp_path, trials=6).points
    assert {(p.backbone, p.unfreeze) for p in points} == set(
        itertools.product(("test_vit", "test_efficientnet"), (0.0, 0.5, 1.0))
    )
    assert grid_of_six(settings, tmp_path, trials=4).points == points[:4]
    assert grid_of_six(settings, tmp_path, trials=6, seed=1).points != points


def test_a_grid_continues_after_points_that_were_already_tried(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    points = grid_of_six(settings, tmp_path, trials=6).points
    tried = tmp_path / "points.json"
    tried.write_text(json.dumps([point.model_dump() for point in points[:4]]))
    assert grid_of_six(settings, tmp_path, trials=6, points=tried).points == points


def test_more_trials_than_a_grid_has_points_are_refused(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="set trials to 6 or fewer"):
        grid_of_six(settings, tmp_path, trials=7)
