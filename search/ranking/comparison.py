"""Comparison of sweeps: their trials in one ranking, and their final models on the same images."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd

from search.config import Objective, SweepConfig
from search.ranking.leaderboard import rank, trial_table
from search.record import FinalModel, SweepPaths, TrialRecord, load_sweep_config, read_trials
from spaces import ConfigError
from trainables.data import Dataset
from trainables.evaluation import McNemarTest

_UNEVALUABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NameError,
    NotImplementedError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""Exceptions that pandas raises for an expression that it can't evaluate."""


@dataclass(frozen=True)
class Comparison:
    """Result of `compare_sweeps`."""

    trials: pd.DataFrame
    """One row per trial, the best first; the column ``sweep`` names its sweep."""
    sweeps: pd.DataFrame
    """One row per sweep: sizes, cost, best score and test result."""
    mcnemar_tests: tuple[McNemarTest, ...]
    """One test for each pair of sweeps whose final models were tested on the same images."""
    metric: str
    """Metric that all trials are ranked by: the metric of the first sweep."""
    objectives: tuple[Objective, ...]
    """Costs that at least one sweep minimizes in addition to its metric."""
    warnings: tuple[str, ...]
    """Sentences that say what can't be compared."""


@dataclass(frozen=True)
class _Launched:
    """Settings, data and trials of a launched sweep."""

    name: str
    paths: SweepPaths
    config: SweepConfig
    records: Sequence[TrialRecord]
    table: pd.DataFrame
    """The sweep's `trial_table`, ranked by the metric of the comparison."""

    @cached_property
    def dataset(self) -> Dataset:
        """Labelled images of the sweep, read at first use."""
        return Dataset.read(self.paths.dataset, self.paths.split)


def compare_sweeps(all_paths: Sequence[SweepPaths], *, where: str | None = None) -> Comparison:
    """Rank the trials of several sweeps together, by the first sweep's metric.

    ``where`` is a pandas expression over the columns of ``trials.parquet``; it names the columns of
    parameters without their prefix ``params.``. Only trials for which it is true are kept. Raises
    `ConfigError` if no trial has begun, or if ``where`` can't be evaluated or is true for no trial.
    """
    metric = load_sweep_config(all_paths[0]).metric
    sweeps = [
        _read(name, paths, metric)
        for name, paths in zip(_distinct_names(all_paths), all_paths, strict=True)
    ]
    begun = [sweep.table for sweep in sweeps if not sweep.table.empty]
    if not begun:
        names = ", ".join(sweep.name for sweep in sweeps)
        raise ConfigError(f"No trial of {names} has begun yet; wait for one.")
    trials = rank(pd.concat(begun, ignore_index=True), metric)
    if where is not None:
        trials = _filter(trials, where)
    objectives = dict.fromkeys(name for sweep in sweeps for name in sweep.config.objectives)
    return Comparison(
        trials,
        pd.DataFrame([_sweep_row(sweep, metric) for sweep in sweeps]),
        _mcnemar_tests(sweeps),
        metric,
        tuple(name for name in objectives if name in trials),
        tuple(_warnings(sweeps, metric)),
    )


def _read(name: str, paths: SweepPaths, metric: str) -> _Launched:
    records = read_trials(paths.journal)
    return _Launched(
        name=name,
        paths=paths,
        config=load_sweep_config(paths),
        records=records,
        table=trial_table(records, metric).assign(sweep=name),
    )


def _warnings(sweeps: Sequence[_Launched], metric: str) -> list[str]:
    warnings = []
    if any(sweep.config.metric != metric for sweep in sweeps):
        warnings.append(f"The sweeps have different metrics; all are ranked by {metric}.")
    if len({sweep.dataset.fingerprint for sweep in sweeps}) > 1:
        warnings.append(
            "The sweeps have different images or splits: their scores are not comparable."
        )
    if metric != "val_accuracy" and len(sweeps) > 1:
        warnings.append(f"Trials are ranked by {metric}; final models are compared by accuracy.")
    return warnings


def _distinct_names(all_paths: Sequence[SweepPaths]) -> list[str]:
    """Names of the sweeps' folders, or their whole paths if two folders share a name."""
    names = [paths.root.name for paths in all_paths]
    if len(set(names)) == len(names):
        return names
    return [str(paths.root) for paths in all_paths]


def _filter(trials: pd.DataFrame, where: str) -> pd.DataFrame:
    """The rows of ``trials`` for which the expression ``where`` is true."""
    bare_names = trials.rename(columns=lambda name: str(name).removeprefix("params."))
    example = "write an expression such as \"unfreeze > 0.5 and status == 'completed'\"."
    try:
        holds = bare_names.eval(where, engine="python")
    except _UNEVALUABLE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(f"--where {where!r} can't be evaluated ({reason}); {example}") from None
    if not (isinstance(holds, pd.Series) and pd.api.types.is_bool_dtype(holds)):
        raise ConfigError(f"--where {where!r} gives neither true nor false for a trial; {example}")
    holds = holds.fillna(value=False).astype(bool)  # a trial without a score has no best epoch
    if not holds.any():
        raise ConfigError(f"--where {where!r} is true for no trial; relax the expression.")
    return trials[holds].reset_index(drop=True)


def _sweep_row(sweep: _Launched, metric: str) -> dict[str, object]:
    row: dict[str, object] = {
        "sweep": sweep.name,
        "images": len(sweep.dataset),
        "trials": len(sweep.table),
        "hours": sum(trial.seconds for trial in sweep.records) / 3600,
        metric: sweep.table[metric].iloc[0] if len(sweep.table) else None,
    }
    if sweep.paths.metrics.exists():
        test = FinalModel.read(sweep.paths).test
        low, high = test.accuracy_ci95
        row |= {"test_accuracy": test.accuracy, "95%": f"{low:.4f} to {high:.4f}"}
        row |= {"test_balanced_accuracy": test.balanced_accuracy}
    return row


def _mcnemar_tests(sweeps: Sequence[_Launched]) -> tuple[McNemarTest, ...]:
    """One test for each pair of final models that were tested on the same labelled images."""
    correct = {
        sweep.name: _correct_by_image(sweep) for sweep in sweeps if sweep.paths.metrics.exists()
    }
    comparable = [
        (first, second)
        for first, second in combinations(correct, 2)
        if correct[first].index.equals(correct[second].index)
    ]
    tests = []
    for first, second in comparable:
        right, also_right = correct[first].to_numpy(), correct[second].to_numpy()
        tests.append(McNemarTest.of(first, second, right, also_right, pairs=len(comparable)))
    return tuple(tests)


def _correct_by_image(sweep: _Launched) -> pd.Series:
    """Whether the final model is right, indexed by the digest and the label of each test image."""
    tested = FinalModel.read(sweep.paths).predictions(sweep.paths, sweep.dataset.classes)
    labels = np.array(sweep.dataset.classes)[tested.labels]
    index = [sweep.dataset.digests_at(sweep.dataset.rows("test")), labels]
    return pd.Series(tested.correct, index=index).sort_index(kind="stable")
