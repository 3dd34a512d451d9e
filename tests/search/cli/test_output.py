from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from search import SweepResult
from search.cli import output
from search.config import UNLIMITED_TRIALS, SweepConfig
from search.planning import PlanDocument
from search.planning.document import ExpectedCost
from search.record import SweepPaths
from spaces import SearchSpace, TrialParams
from trainables.data import ExpectedStore, ImageIssue

TABLE = pd.DataFrame(
    {"trial_id": ["0000"], "val_accuracy": ["0.9"], "backbone": ["a" * 30], "dropout": ["0.1"]}
)


@pytest.mark.parametrize(
    ("width", "left_out"), [(100, []), (60, ["dropout"]), (30, ["backbone", "dropout"])]
)
def test_a_table_has_the_columns_that_fit_a_terminal_and_names_the_others(
    width: int,
    left_out: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal = partial(Console, force_terminal=True, color_system=None)
    monkeypatch.setattr(output, "Console", lambda width=width: terminal(width=width))
    output.print_table(TABLE)
    drawn, _, more = capsys.readouterr().out.partition("A wider")
    assert all(len(row) <= width for row in drawn.splitlines())
    assert [name for name in TABLE.columns if name in more] == left_out
    assert [name for name in TABLE.columns if name not in drawn] == left_out


def test_a_file_gets_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(TABLE)
    assert "a" * 30 in capsys.readouterr().out


def plan(**changes: Any) -> PlanDocument:
    """A plan of nothing, but for ``changes``."""
    empty = PlanDocument(
        data="d",
        kind="folder per class",
        classes=["a", "b"],
        counts={"train": {"a": 6, "b": 4}, "val": {"a": 2, "b": 1}, "test": {"a": 2, "b": 1}},
        split="made here",
        folds=0,
        fingerprint="f",
        unused=[],
        notes=[],
        bad_images=[],
        odd_images=[],
        metric="val_accuracy",
        unevenness=1.5,
        space="x",
        open=SearchSpace.from_table(
            {
                "backbone": {"choices": ["a", "b"]},
                "unfreeze": {"low": 0, "high": 1},
                "dropout": {"low": 0, "high": 0.5},
            },
            name="x",
        ).open,
        dependencies={},
        points=[],
        backbones=[],
        decoded_gib=0.25,
        cache_gib=50.0,
        stores=[ExpectedStore(128, "decoded", 2**28)],
        cost=ExpectedCost(9, 9.0, 1, 13, 4, "core", 1.0, "one core"),
    )
    return replace(empty, **changes)


def test_a_plan_says_which_parameters_depend_on_others() -> None:
    text = output.plan_text(plan(dependencies={"dropout": ("backbone", "unfreeze")}))
    assert "\n  dropout depends on backbone, unfreeze\n" in text


def test_a_plan_lists_the_initial_points() -> None:
    points = [
        TrialParams(backbone=backbone, unfreeze=unfreeze, dropout=0.12345678, image_size=32)
        for unfreeze in (0, 0.25)
        for backbone in ("a", "b")
    ]
    text = output.plan_text(plan(points=points))
    begins, head, deep = text[text.index("Begins") :].splitlines()[:3]
    assert begins == "Begins with 4 trials"
    assert head == "  a, b: unfreeze 0, dropout 0.1235"
    assert deep == "  a, b: unfreeze 0.25, dropout 0.1235"
    assert "Begins" not in output.plan_text(plan())


def test_a_plan_shortens_long_lists_and_counts_the_rest() -> None:
    issues = [ImageIssue(f"{i}.png", "bad", "torn") for i in range(7)]
    counts = {"train": {f"class{i}": 1 for i in range(10)}}
    points = [
        TrialParams(backbone="a", unfreeze=i / 10, dropout=0.0, image_size=32) for i in range(8)
    ]
    text = output.plan_text(plan(bad_images=issues, counts=counts, points=points))
    assert "  train     10 images: class0 1, " in text and ", and 2 more classes" in text
    assert "Left out    7 images\n  0.png: torn\n" in text and "  and 2 more; --json" in text
    assert "  and 3 more settings; --json lists them all" in text


def test_a_plan_with_a_budget_has_a_cost_for_each_trial() -> None:
    budget = ExpectedCost(
        UNLIMITED_TRIALS, 9.0, 1, 13, 4, "core", UNLIMITED_TRIALS / 60, "one core"
    )
    assert "of one core per trial, until the budget is spent" in output.plan_text(plan(cost=budget))
    assert "of one core: 9 trials, 9 epochs in total" in output.plan_text(plan())


def test_a_plan_of_a_large_set_says_how_long_a_round_is() -> None:
    large = plan(
        cost=ExpectedCost(9, 0.45, 20, 3000, 900, "core", 1.0, "one core"),
    )
    text = output.plan_text(large)
    assert (
        "Rounds      about 20 in an epoch, each of 3000 training images and scored on 900 "
        "validation images\n" in text
    )
    assert "9 trials, 0.45 epochs in total" in text
    many = ExpectedCost(200, 2000.0, 1, 13, 4, "core", 1.0, "one core")
    assert "200 trials, 2000 epochs in total" in output.plan_text(plan(cost=many))
    assert "Rounds" not in output.plan_text(plan())


def test_a_plan_says_if_decoded_images_have_no_room() -> None:
    assert "Pixels      0.25 GiB if all images are decoded\n" in output.plan_text(plan())
    stores = [
        ExpectedStore(128, "decoded", 20 * 2**30),
        ExpectedStore(224, "compressed", 12 * 2**30),
        ExpectedStore(384, "originals", 0),
    ]
    assert (
        "Pixels      140 GiB if all images are decoded, more than cache_gib (50), so 128 px are "
        "decoded (20 GiB); 224 px are compressed as JPEGs (about 12 GiB); 384 px are decoded anew "
        "in every epoch. Raise cache_gib to decode more once\n"
    ) in output.plan_text(plan(decoded_gib=140.2, stores=stores))


def test_a_plan_with_folds_says_how_often_each_trial_trains() -> None:
    text = output.plan_text(plan(folds=5))
    assert (
        "each trial trains 5 times, each time without one fold of the 13 train and val images"
        in text
    )


def test_an_interrupted_sweep_says_what_is_missing_and_how_to_resume(tmp_path: Path) -> None:
    config = SweepConfig.parse({"data": "d", "name": "s", "trials": 9})
    result = SweepResult(SweepPaths(tmp_path / "s"), pd.DataFrame(), unfinished=4)
    text = output.result_text(result, config)
    assert "Stopped early: 4 of 9 trials did not finish" in text
    assert f"resume s --results-dir {tmp_path}" in text
    unconfirmed = output.result_text(replace(result, unfinished=0, unconfirmed=2), config)
    assert "Stopped early: 2 repeats of the best trials did not finish" in unconfirmed
    budget = config.model_copy(update={"trials": UNLIMITED_TRIALS})
    assert "the budget is not spent yet" in output.result_text(result, budget)


def test_a_sweep_without_trials_has_an_empty_table(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(pd.DataFrame())
    assert capsys.readouterr().out.strip() == ""
