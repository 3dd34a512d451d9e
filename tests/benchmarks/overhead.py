"""B3: overhead per trial and per epoch report, in Finesweep and in plain Ray Tune.

    python -m tests.benchmarks.overhead

The trials train nothing. Finesweep runs them with `run_trials`, and so with journal, checkpoints,
TensorBoard, leaderboard and sampler. Plain Ray Tune runs a function trainable with its defaults.
"""

import os
from dataclasses import replace
from typing import Any

import optuna
import torch
from ray import tune

import search.tuning.tuner
from search.cluster import connect_to_ray
from search.config import SweepConfig
from search.planning import complete_plan, prepare_plan
from search.record import SweepPaths
from search.trial import STATE_KEY, TrialJob
from search.trial.checkpoints import pack
from search.tuning import fit_resources
from tests.benchmarks.measuring import (
    SCRATCH,
    alternate,
    fresh,
    seconds,
    split_folder,
    spread,
    write_table,
)
from trainables.training import RoundReport

PLAIN_TRIALS, TRIALS, EPOCHS = 60, 300, 400


class NullTrial(search.tuning.tuner.FineTuneTrial):
    """Trial that trains nothing. Its checkpoints are as large as those of a head-only trial."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._epoch = 0
        return True

    def step(self) -> dict[str, Any]:
        self._epoch += 1
        last = self._epoch == self._job.config.max_epochs
        epoch = self._epoch
        report = RoundReport(epoch, epoch, 0.5, 0.5, 0.9, 0.9, 0.9, 1e-3, 0, 0, 0, 1, 1, last)
        result = {**report.to_dict(), "done": last}
        if not last:
            result[STATE_KEY] = pack(
                {"head": torch.zeros(2, 1280), "moments": torch.zeros(2, 2, 1280)}
            )
        return result


def ours(trials: int, epochs: int) -> float:
    """Wall seconds of a Finesweep search with `NullTrial`, without the start of Ray."""
    folder, _ = split_folder("elpv", 100)
    config = SweepConfig.parse(
        {
            "data": folder,
            "space": "demo",
            "trials": trials,
            "max_epochs": epochs,
            "stopping": "none",
            "gpus_per_trial": 0,
            "cache_dir": SCRATCH / "overhead",
        }
    )
    plan = complete_plan(prepare_plan(config))
    paths = SweepPaths(fresh(SCRATCH / "overhead-results"))
    search.tuning.tuner.FineTuneTrial = NullTrial  # type: ignore[misc]
    return seconds(
        lambda: search.tuning.tuner.run_trials(
            TrialJob(plan.config, plan.survey.dataset, {}, plan.weights, on_gpu=False),
            replace(plan, points=()),
            paths,
            fit_resources(config),
        )
    )


def plain(trials: int, epochs: int) -> float:
    """Wall seconds of the same trials in plain Ray Tune: function trainable, default settings."""

    def null(config: dict[str, Any]) -> None:
        for epoch in range(epochs):
            tune.report({"val_accuracy": 0.9, "epoch": epoch})

    tuner = tune.Tuner(
        tune.with_resources(null, {"cpu": 1}),
        param_space={"learning_rate": tune.loguniform(3e-4, 1e-2)},
        tune_config=tune.TuneConfig(num_samples=trials),
        run_config=tune.RunConfig(storage_path=str(fresh(SCRATCH / "plain-results")), verbose=0),
    )
    return seconds(tuner.fit)


def optuna_alone(trials: int) -> float:
    """Wall seconds of Optuna's TPE alone for ``trials`` trials, in memory."""

    def objective(trial: optuna.Trial) -> float:
        for k in range(7):
            trial.suggest_float(f"x{k}", 0, 1)
        return 0.9

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return seconds(lambda: study.optimize(objective, n_trials=trials))


def main() -> None:
    """Measure, and write the table.

    The time per trial or report is the slope between a short and a long sweep, which leaves out
    the start and the end.
    """
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    connect_to_ray("local")
    ours(4, 2)

    def per_trial(run: Any, trials: int) -> float:
        return 1000 * (run(trials, 1) - run(trials // 6, 1)) / (trials - trials // 6)

    def per_report(run: Any) -> float:
        return 1000 * (run(4, EPOCHS) - run(4, 4)) / (4 * (EPOCHS - 4))

    trial = alternate(
        {
            "plain": lambda: per_trial(plain, PLAIN_TRIALS),
            "ours": lambda: per_trial(ours, TRIALS),
        }
    )
    report = alternate({"plain": lambda: per_report(plain), "ours": lambda: per_report(ours)})
    alone = alternate({"optuna": lambda: 1000 * optuna_alone(TRIALS) / TRIALS})
    lines = [
        f"Wall milliseconds with two workers: the slope between a short and a long sweep. The long "
        f"sweep has {TRIALS} trials of one report each ({PLAIN_TRIALS} for plain Ray Tune), or 4 "
        f"trials of {EPOCHS} reports each, so that the start of the workers hardly counts.",
        "",
        "| | Finesweep | plain Ray Tune | Optuna's TPE alone | aim |",
        "| --- | --- | --- | --- | --- |",
        f"| per trial | **{spread(trial['ours'], 3)}** | {spread(trial['plain'], 3)} | "
        f"{spread(alone['optuna'], 3)} | 100 |",
        f"| per report | **{spread(report['ours'], 3)}** | {spread(report['plain'], 3)} | | 5 |",
    ]
    write_table("overhead", "B3: overhead", "python -m tests.benchmarks.overhead", lines)


if __name__ == "__main__":
    main()
