from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.benchmarks.worlds.__main__ import OWN, ratios, table_lines, worlds_of
from tests.benchmarks.worlds.simulation import STRATEGIES, Search, strategy
from tests.benchmarks.worlds.taskset import TaskSet

ROUNDS = 9


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Sixty points that learn the better the nearer their rate is to 0.001; one diverges."""
    rng = np.random.default_rng(0)
    rates = 10 ** rng.uniform(-6, 0, 60)
    reached = 0.5 + 0.3 * np.abs(np.log10(rates) + 3)
    curves = [[2.0, *(r + (2.0 - r) * 0.6 ** np.arange(1, ROUNDS + 1))] for r in reached]
    curves[0][4:] = [np.nan] * (ROUNDS - 3)
    betas = 1 - 10 ** rng.uniform(-4, -0.1, 60)
    return pd.DataFrame(
        {
            "hp.learning_rate": rates,
            "hp.beta1": betas,
            "valid_loss": curves,
            "test_loss": [[loss + 0.01 for loss in curve] for curve in curves],
        }
    )


@pytest.fixture(scope="module")
def task(table: pd.DataFrame) -> TaskSet:
    return TaskSet("small", table)


def test_a_recorded_point_has_its_own_curve(table: pd.DataFrame, task: TaskSet) -> None:
    row = table.iloc[7]
    point = {"learning_rate": row["hp.learning_rate"], "one_minus_beta1": 1 - row["hp.beta1"]}
    curve = task.run(point, np.random.default_rng(0))
    assert curve.validation == pytest.approx(-np.log(row["valid_loss"][1:]))
    assert curve.seconds.tolist() == [1.0] * ROUNDS


def test_a_diverged_run_scores_as_before_training(table: pd.DataFrame, task: TaskSet) -> None:
    row = table.iloc[0]
    point = {"learning_rate": row["hp.learning_rate"], "one_minus_beta1": 1 - row["hp.beta1"]}
    assert task.run(point, np.random.default_rng(0)).validation[-1] == pytest.approx(-np.log(2))


@pytest.mark.parametrize("name", STRATEGIES)
def test_regret_falls_with_the_budget(name: str, task: TaskSet) -> None:
    search = Search(task, strategy(name, task, 0), seed=0, workers=4)
    regrets = search.regrets([0.5, 20, 120])
    assert regrets[0] == task.best - task.untrained
    assert regrets == sorted(regrets, reverse=True)
    assert regrets[-1] < 0.3 * regrets[0]


def test_worlds_are_found_in_a_folder_and_other_tables_are_not(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    table.to_parquet(tmp_path / "taskset_small.parquet")
    pd.DataFrame({"model": ["a"]}).to_parquet(tmp_path / "other.parquet")
    assert [world.name for world in worlds_of(tmp_path)] == ["small"]


def test_a_table_tells_worlds_in_view_from_those_kept_back(table: pd.DataFrame) -> None:
    regrets = {name: np.full((2, 3), 1.0) for name in STRATEGIES}
    tasks = [TaskSet("patch32_GRU128_bs128", table), TaskSet("patch32_GRU256_bs128", table)]
    text = "\n".join(table_lines([(task, regrets) for task in tasks]))
    assert "| patch32_GRU128_bs128 | yes |" in text
    assert "| patch32_GRU256_bs128 |  |" in text
    assert "ours, 1 worlds that were kept back: mean 1.00 1.00 1.00" in text


def test_a_ratio_is_that_to_the_better_rival() -> None:
    regrets = {name: np.full((2, 3), 4.0) for name in OWN}
    regrets |= {"random + ASHA": np.full((2, 3), 8.0), "TPE + ASHA": np.full((2, 3), 5.0)}
    assert ratios(regrets).tolist() == [[0.8] * 3] * len(OWN)
