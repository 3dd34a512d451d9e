"""Several sweeps side by side: all their trials, and whether one's final model is better."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from search.checks import load_config
from search.config import Objective
from search.leaderboard import rank, trial_table
from search.paths import SweepPaths
from search.study import read_trials
from spaces import ConfigError
from trainables.dataset import Dataset


@dataclass(frozen=True)
class Comparison:
    """What `compare` finds."""

    trials: pd.DataFrame
    """One row a trial with its ``sweep``, the best first."""
    sweeps: pd.DataFrame
    """One row a sweep: what it found, and what that cost."""
    duels: tuple["Duel", ...]
    """Of sweeps whose final models were tested on the same images."""
    metric: str
    objectives: tuple[Objective, ...]
    """Of any of the sweeps."""
    doubts: tuple[str, ...]
    """Sentences on what doesn't compare."""


@dataclass(frozen=True)
class Duel:
    """Two final models on the same test images, by McNemar's exact test (McNemar 1947)."""

    one: str
    other: str
    images: int
    only_one: int
    """Images that only ``one`` has right."""
    only_other: int

    @property
    def p(self) -> float:
        """How likely so uneven a share of what only one has right is between equals."""
        differing = self.only_one + self.only_other
        return float(binomtest(self.only_one, differing).pvalue) if differing else 1.0

    def __str__(self) -> str:
        verdict = "more than chance" if self.p < 0.05 else "may be chance"
        return (
            f"On the same {self.images} test images {self.one} alone is right on {self.only_one}, "
            f"{self.other} alone on {self.only_other}: {verdict} (McNemar's exact test, "
            f"p = {self.p:.2g})."
        )


def compare_sweeps(found: Sequence[SweepPaths], *, where: str | None = None) -> Comparison:
    """Rank their trials together by the first one's metric.

    ``where`` keeps trials for which it holds: an expression of pandas over the columns of
    ``trials.parquet``, parameters by their own names. Raises `ConfigError`.
    """
    configs = [load_config(paths) for paths in found]
    metric = configs[0].metric
    records = [read_trials(paths.journal) for paths in found]
    tables = [
        trial_table(trials, metric).assign(sweep=paths.root.name)
        for paths, trials in zip(found, records, strict=True)
    ]
    begun = [table for table in tables if not table.empty]
    if not begun:
        called = ", ".join(paths.root.name for paths in found)
        raise ConfigError(f"No trial of {called} has begun yet; wait for one.")
    doubts = []
    if any(config.metric != metric for config in configs):
        doubts.append(f"The sweeps have different metrics; all are ranked by {metric}.")
    datasets = [Dataset.read(paths.dataset, paths.split) for paths in found]
    if len({dataset.fingerprint for dataset in datasets}) > 1:
        doubts.append("The sweeps have different images or splits: scores don't compare.")
    trials = _kept(rank(pd.concat(begun, ignore_index=True), metric), where)
    answers = [_right(paths, dataset) for paths, dataset in zip(found, datasets, strict=True)]
    names = [paths.root.name for paths in found]
    pairs = combinations([(n, a) for n, a in zip(names, answers, strict=True) if a], 2)
    objectives = dict.fromkeys(name for config in configs for name in config.objectives)
    return Comparison(
        trials,
        pd.DataFrame([_row(*one, metric) for one in zip(found, tables, datasets, strict=True)]),
        tuple(duel for (n, a), (m, b) in pairs if (duel := _duel(n, a, m, b)) is not None),
        metric,
        tuple(name for name in objectives if name in trials),
        tuple(doubts),
    )


def _kept(trials: pd.DataFrame, where: str | None) -> pd.DataFrame:
    if where is None:
        return trials
    named = trials.rename(columns=lambda name: str(name).removeprefix("params."))
    try:
        rows = named.query(where, engine="python").index
    except (ValueError, TypeError, SyntaxError, LookupError, NameError, AttributeError) as error:
        raise ConfigError(
            f"--where can't be {where!r} ({str(error).splitlines()[0]}); write an expression such "
            "as \"unfreeze > 0.5 and status == 'completed'\"."
        ) from None
    if rows.empty:
        raise ConfigError(f"No trial has {where}; ask for less.")
    return trials.loc[rows].reset_index(drop=True)


def _row(
    paths: SweepPaths, trials: pd.DataFrame, dataset: Dataset, metric: str
) -> dict[str, object]:
    """What is said of a sweep."""
    row: dict[str, object] = {
        "sweep": paths.root.name,
        "images": len(dataset),
        "trials": len(trials),
        "hours": trials["seconds"].sum() / 3600 if len(trials) else 0.0,
        metric: trials[metric].iloc[0] if len(trials) else None,
    }
    if paths.metrics.exists():
        test = json.loads(paths.metrics.read_text(encoding="utf-8"))["test"]
        low, high = test["accuracy_ci95"]
        row |= {"test_accuracy": test["accuracy"], "95%": f"{low:.4f} to {high:.4f}"}
    return row


def _right(paths: SweepPaths, dataset: Dataset) -> dict[str, bool]:
    """Whether the final model is right, by the digest of each test image; none without one."""
    if not paths.metrics.exists():
        return {}
    table = pd.read_parquet(paths.predictions, columns=["label", "predicted"])
    right = (table["label"] == table["predicted"]).tolist()
    return dict(zip([dataset.digests[row] for row in dataset.rows("test")], right, strict=True))


def _duel(one: str, first: dict[str, bool], other: str, second: dict[str, bool]) -> Duel | None:
    """None if they were not tested on the same images."""
    if first.keys() != second.keys():
        return None
    pairs = np.array([(first[digest], second[digest]) for digest in first])
    only_one, only_other = (pairs[:, 0] & ~pairs[:, 1]), (pairs[:, 1] & ~pairs[:, 0])
    return Duel(one, other, len(pairs), int(only_one.sum()), int(only_other.sum()))
