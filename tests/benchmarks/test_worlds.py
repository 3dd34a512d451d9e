from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.benchmarks.worlds.__main__ import OWN, ratios, table_lines, worlds_of
from tests.benchmarks.worlds.freeze_thaw.kernel import NO_TRIAL, CurveKernel, Rounds
from tests.benchmarks.worlds.freeze_thaw.pace import expected_seconds
from tests.benchmarks.worlds.freeze_thaw.posterior import Posterior
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


def test_the_slopes_of_a_kernel_are_those_of_its_covariances() -> None:
    rng = np.random.default_rng(0)
    rounds = Rounds(rng.random((12, 3)), rng.random(12), rng.integers(0, 4, 12))
    weights = rng.normal(size=(12, 12))
    weights += weights.T
    theta = rng.normal(size=9) * 0.3 - 1

    def weighted(theta: np.ndarray) -> float:
        kernel = CurveKernel(theta)
        return float((weights * (kernel.between(rounds, rounds) + kernel.noise * np.eye(12))).sum())

    step = 1e-5
    slopes = [
        (weighted(theta + step * e) - weighted(theta - step * e)) / (2 * step) for e in np.eye(9)
    ]
    assert CurveKernel(theta).derivatives(rounds, weights) == pytest.approx(slopes, abs=1e-6)


def test_a_curve_is_extrapolated_better_for_its_own_trial_than_for_a_new_one() -> None:
    """What a trial has beside its neighbours lasts to its last round."""
    rng = np.random.default_rng(0)
    luck = rng.normal(size=20)
    trials = np.repeat(np.arange(20), 3)
    rounds = Rounds(np.full((60, 1), 0.5), np.tile([0, 0.5, 1], 20), trials)
    values = luck[trials] + rounds.fidelity + 0.01 * rng.normal(size=60)
    posterior = Posterior.fit(rounds, values, CurveKernel.prior(1), tune=True)
    best = int(luck.argmax())
    ends = Rounds(np.full((2, 1), 0.5), np.ones(2), np.array([best, NO_TRIAL]))
    mean, std = posterior.predict(ends)
    assert mean[0] > mean[1]
    assert std[0] < 0.3 * std[1]


def test_the_pace_of_a_point_follows_from_that_of_others() -> None:
    tried = np.linspace(0, 1, 20)[:, None]
    seconds = np.exp(2 * tried[:, 0])
    slow, fast = expected_seconds(tried, seconds.tolist(), np.array([[0.9], [0.1]]))
    assert slow / fast == pytest.approx(np.exp(1.6), rel=0.3)
