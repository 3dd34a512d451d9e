"""Several sweeps side by side: all their trials, and whether one's final model is better."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from search.config import Objective
from search.ranking.leaderboard import rank, trial_table
from search.record import FinalModel, SweepPaths, TrialRecord, load_config, read_trials
from spaces import ConfigError
from trainables.data import Dataset
from trainables.evaluation import Predictions

_NO_EXPRESSION = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NameError,
    NotImplementedError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""What pandas raises for words that it can't evaluate."""


@dataclass(frozen=True)
class Comparison:
    """What `compare` finds."""

    trials: pd.DataFrame
    """One row a trial with its ``sweep``, the best first."""
    sweeps: pd.DataFrame
    """One row a sweep: what it found, and what that cost."""
    mcnemar_tests: tuple["McNemarTest", ...]
    """Of sweeps whose final models were tested on the same images."""
    metric: str
    objectives: tuple[Objective, ...]
    """Of any of the sweeps."""
    warnings: tuple[str, ...]
    """Sentences on what doesn't compare."""


@dataclass(frozen=True)
class McNemarTest:
    """The accuracy of two final models on the same test images, by McNemar's exact test."""

    one: str
    other: str
    images: int
    only_one: int
    """Images that only ``one`` has right."""
    only_other: int
    pairs: int = 1
    """How many pairs of models are looked at, any of which may differ by chance."""

    @property
    def p(self) -> float:
        """How likely so uneven a share is between equals, in any of the pairs (Bonferroni)."""
        differing = self.only_one + self.only_other
        alone = float(binomtest(self.only_one, differing).pvalue) if differing else 1.0
        return min(1.0, self.pairs * alone)

    def __str__(self) -> str:
        if not (self.only_one or self.only_other):
            return (
                f"{self.one} and {self.other} are right on the same of {self.images} test images."
            )
        verdict = "more than chance" if self.p < 0.05 else "may be chance"
        among = f" for {self.pairs} pairs" if self.pairs > 1 else ""
        return (
            f"On the same {self.images} test images {self.one} alone is right on {self.only_one}, "
            f"{self.other} alone on {self.only_other}: {verdict} (McNemar's exact test{among}, "
            f"p = {self.p:.2g})."
        )


def compare_sweeps(found: Sequence[SweepPaths], *, where: str | None = None) -> Comparison:
    """Rank their trials together by the first one's metric.

    ``where`` keeps trials for which it holds: an expression of pandas over the columns of
    ``trials.parquet``, parameters by their own names. Raises `ConfigError`.
    """
    configs, names = [load_config(paths) for paths in found], _names(found)
    metric = configs[0].metric
    records = [read_trials(paths.journal) for paths in found]
    tables = [
        trial_table(trials, metric).assign(sweep=name)
        for name, trials in zip(names, records, strict=True)
    ]
    begun = [table for table in tables if not table.empty]
    if not begun:
        raise ConfigError(f"No trial of {', '.join(names)} has begun yet; wait for one.")
    warnings = []
    if any(config.metric != metric for config in configs):
        warnings.append(f"The sweeps have different metrics; all are ranked by {metric}.")
    datasets = [Dataset.read(paths.dataset, paths.split) for paths in found]
    if len({dataset.fingerprint for dataset in datasets}) > 1:
        warnings.append("The sweeps have different images or splits: scores don't compare.")
    trials = _kept(rank(pd.concat(begun, ignore_index=True), metric), where)
    if metric != "val_accuracy" and len(found) > 1:
        warnings.append(f"Trials are ranked by {metric}; final models are weighed by accuracy.")
    objectives = dict.fromkeys(name for config in configs for name in config.objectives)
    each = zip(names, found, records, tables, datasets, strict=True)
    return Comparison(
        trials,
        pd.DataFrame([_row(*one, metric) for one in each]),
        _duels(names, found, datasets),
        metric,
        tuple(name for name in objectives if name in trials),
        tuple(warnings),
    )


def _names(found: Sequence[SweepPaths]) -> list[str]:
    """What each is called: its folder's name, or where that is another's too, its path."""
    names = [paths.root.name for paths in found]
    if len(set(names)) == len(names):
        return names
    return [str(paths.root) for paths in found]


def _kept(trials: pd.DataFrame, where: str | None) -> pd.DataFrame:
    if where is None:
        return trials
    named = trials.rename(columns=lambda name: str(name).removeprefix("params."))
    example = "write an expression such as \"unfreeze > 0.5 and status == 'completed'\"."
    try:
        holds = named.eval(where, engine="python")
    except _NO_EXPRESSION as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(f"--where can't be {where!r} ({reason}); {example}") from None
    if not isinstance(holds, pd.Series) or holds.dtype != bool:
        raise ConfigError(f"--where {where!r} is neither true nor false of a trial; {example}")
    if not holds.any():
        raise ConfigError(f"No trial has {where}; ask for less.")
    return trials[holds].reset_index(drop=True)


def _row(
    name: str,
    paths: SweepPaths,
    records: Sequence[TrialRecord],
    trials: pd.DataFrame,
    dataset: Dataset,
    metric: str,
) -> dict[str, object]:
    """What is said of a sweep."""
    row: dict[str, object] = {
        "sweep": name,
        "images": len(dataset),
        "trials": len(trials),
        "hours": sum(trial.seconds for trial in records) / 3600,
        metric: trials[metric].iloc[0] if len(trials) else None,
    }
    if paths.metrics.exists():
        test = FinalModel.read(paths).test
        low, high = test.accuracy_ci95
        row |= {"test_accuracy": test.accuracy, "95%": f"{low:.4f} to {high:.4f}"}
        row |= {"test_balanced_accuracy": test.balanced_accuracy}
    return row


def _duels(
    names: Sequence[str], found: Sequence[SweepPaths], datasets: Sequence[Dataset]
) -> tuple[McNemarTest, ...]:
    """Of every two sweeps that were tested on the same images with the same labels."""
    answers = {
        name: _answers(paths, dataset)
        for name, paths, dataset in zip(names, found, datasets, strict=True)
        if paths.metrics.exists()
    }
    same = [
        (one, other)
        for one, other in combinations(answers, 2)
        if answers[one].index.equals(answers[other].index)
    ]
    mcnemar_tests = []
    for one, other in same:
        first, second = answers[one].to_numpy(), answers[other].to_numpy()
        only_one, only_other = int((first & ~second).sum()), int((second & ~first).sum())
        mcnemar_tests.append(McNemarTest(one, other, len(first), only_one, only_other, len(same)))
    return tuple(mcnemar_tests)


def _answers(paths: SweepPaths, dataset: Dataset) -> pd.Series:
    """Whether the final model is right, by the bytes and the label of each test image."""
    tested = Predictions.read(paths.predictions, dataset.classes)
    images = [dataset.digests_of("test"), np.array(dataset.classes)[tested.labels]]
    return pd.Series(tested.correct, index=images).sort_index(kind="stable")
