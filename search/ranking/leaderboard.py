"""The trials as tables: for programs, for spreadsheets, for people."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import get_args

import numpy as np
import pandas as pd

from search.config import Objective
from search.ranking.repeats import confirmed
from search.record import SweepPaths, TrialRecord
from spaces import RunError
from trainables.files import write_atomically
from trainables.training import METRICS


def trial_table(trials: Sequence[TrialRecord], metric: str) -> pd.DataFrame:
    """One row a trial of the search, ranked as `rank` does.

    ``confirmed_mean`` and ``confirmed_sd`` are of a trial's own score and those of its ``repeats``
    with other seeds; the sd is the sample's.
    """
    rows, scores = [], confirmed(trials, metric)
    for trial in trials:
        if trial.repeat is not None:
            continue
        known = scores.get(trial.number)
        best = trial.best(metric)
        row: dict[str, object] = {
            "trial_id": trial.trial_id,
            "status": trial.status,
            "epochs": len(trial.reports),
            "best_epoch": best.epoch if best else None,
        }
        row |= {name: getattr(best, name) if best else None for name in METRICS}
        row |= {
            "confirmed_mean": float(np.mean(known)) if known else None,
            "confirmed_sd": float(np.std(known, ddof=1)) if known else None,
            "repeats": len(known) - 1 if known else 0,
        }
        row |= {"seconds": trial.seconds, "error": trial.error}
        if trial.model_cost is not None:
            row |= asdict(trial.model_cost)
        row |= {f"params.{field}": value for field, value in trial.params.model_dump().items()}
        rows.append(row)
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    numbers = dict.fromkeys((*METRICS, "confirmed_mean", "confirmed_sd"), "float64")
    table = table.astype({"best_epoch": "Int64", **numbers})
    return rank(table, metric)


def rank(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The best first by its best epoch, of equals the one of lower loss; failed trials last.

    Trials that were repeated with other seeds change places with one another by their means: they
    have no advantage over others, whose best epoch may be as lucky.
    """
    sign = -1 if METRICS[metric] == "max" else 1
    order = table.assign(_failed=table["status"] == "failed", _score=sign * table[metric])
    order = order.sort_values(["_failed", "_score", "val_loss"], kind="stable")
    known = (order["repeats"] > 0).to_numpy()
    means = sign * order.loc[known, "confirmed_mean"]
    index = order.index.to_numpy().copy()
    index[known] = means.sort_values(kind="stable").index  # NaN, of a repeat that diverged, last
    return table.loc[index].reset_index(drop=True)


def pareto_front(table: pd.DataFrame, metric: str, objectives: Sequence[Objective]) -> pd.DataFrame:
    """The rows of `trial_table` that no other row beats in everything, the best score first.

    Of rows alike in everything, the first.
    """
    sign = -1 if METRICS[metric] == "max" else 1
    able = table[table["status"] != "failed"].dropna(subset=[metric, *objectives])
    costs = able[[metric, *objectives]].to_numpy() * [sign, *[1] * len(objectives)]
    kept = []
    for i, row in enumerate(costs):
        others = np.delete(costs, i, axis=0)
        beaten = (others <= row).all(axis=1) & (others < row).any(axis=1)
        again = (costs[:i] == row).all(axis=1)
        kept.append(not beaten.any() and not again.any())
    return able[kept].reset_index(drop=True)


def epoch_table(trials: Sequence[TrialRecord]) -> pd.DataFrame:
    """One row per trial and epoch."""
    rows = [{"trial_id": t.trial_id, **r.to_dict()} for t in trials for r in t.reports]
    return pd.DataFrame(rows)


def select_winner(trials: Sequence[TrialRecord], metric: str) -> TrialRecord:
    """The first of `trial_table` that has a finite epoch and didn't fail. Raises `RunError`."""
    able = {t.number for t in trials if t.status != "failed" and t.best(metric)}
    ranked = trial_table(
        [t for t in trials if (t.repeat.of if t.repeat else t.number) in able], metric
    )
    if ranked.empty:
        reasons = [trial.error for trial in trials if trial.error]
        raise RunError(
            f"None of {len(trials)} trials has a finished epoch to choose from"
            + (f"; the first failure: {reasons[0]}." if reasons else ".")
        )
    best = ranked["trial_id"].iloc[0]
    return next(t for t in trials if t.trial_id == best)


def write_tables(
    paths: SweepPaths,
    trials: Sequence[TrialRecord],
    metric: str,
    objectives: Sequence[Objective] = (),
) -> pd.DataFrame:
    """Write ``trials.parquet``, ``trials.csv``, ``epochs.parquet`` and ``leaderboard.md``."""
    table = trial_table(trials, metric)
    write_atomically(paths.trials, lambda path: table.to_parquet(path, index=False))
    write_atomically(paths.trials_csv, lambda path: table.to_csv(path, index=False))
    write_atomically(paths.epochs, lambda path: epoch_table(trials).to_parquet(path, index=False))
    text = f"# {paths.root.name}\n\n{markdown(table, metric)}\n"
    if objectives and not table.empty:
        best = pareto_front(table, metric, objectives)
        text += f"\nNo trial beats these in everything:\n\n{markdown(best, metric)}\n"
    write_atomically(paths.leaderboard, lambda path: path.write_text(text, encoding="utf-8"))
    return table


def leaderboard_columns(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """What people see of the table: the score first, and only parameters that vary."""
    if table.empty:
        return table
    params = [name for name in map(str, table.columns) if name.startswith("params.")]
    varying = [name for name in params if table[name].nunique() > 1]
    shown = ["trial_id", metric, "status", "epochs", "best_epoch", "seconds", *varying]
    if table["confirmed_mean"].notna().any():
        shown[2:2] = ["confirmed_mean", "confirmed_sd"]
    shown += [name for name in get_args(Objective) if name in table]
    if "sweep" in table:
        shown.insert(0, "sweep")
    shorter = table[shown].rename(columns=lambda name: str(name).removeprefix("params."))
    return shorter.map(_cell)


def markdown(table: pd.DataFrame, metric: str) -> str:
    """The table as Markdown."""
    if table.empty:
        return "No trial has begun."
    shown = leaderboard_columns(table, metric)
    lines = [shown.columns.tolist(), ["---"] * len(shown.columns), *shown.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: object) -> str:
    if pd.isna(value):  # type: ignore[call-overload]
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
