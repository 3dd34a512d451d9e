"""Tables of trials: for programs (Parquet), spreadsheets (CSV) and people (Markdown)."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import get_args

import numpy as np
import pandas as pd

from search.config import Objective
from search.ranking.repeats import confirmed_scores
from search.record import SweepPaths, TrialRecord
from spaces import RunError
from trainables.files import write_atomically
from trainables.training import METRICS


def trial_table(trials: Sequence[TrialRecord], metric: str) -> pd.DataFrame:
    """One row per trial of the search, ranked by `rank`; repeats have no rows of their own.

    ``confirmed_mean`` and ``confirmed_sd`` are the mean and the sample standard deviation (n - 1)
    of the scores of its ``repeats``. The cell of a parameter that a trial does not use is empty.
    """
    confirmed = confirmed_scores(trials, metric)
    table = pd.DataFrame(
        [_row(t, metric, confirmed.get(t.number, [])) for t in trials if t.repeat is None]
    )
    if table.empty:
        return table
    table = table.astype(dict.fromkeys((*METRICS, "confirmed_mean", "confirmed_sd"), "float64"))
    best_epochs = table["best_epoch"].astype("float64")
    if (best_epochs.dropna() % 1 == 0).all():  # an epoch may have several rounds
        table["best_epoch"] = best_epochs.astype("Int64")
    return rank(table, metric)


def _row(trial: TrialRecord, metric: str, confirmed: Sequence[float]) -> dict[str, object]:
    best = trial.best(metric)
    row: dict[str, object] = {
        "trial_id": trial.trial_id,
        "status": trial.status,
        "epochs": trial.reports[-1].epoch if trial.reports else 0,
        "best_epoch": best.epoch if best else None,
    }
    row |= {name: each.of(best) if best else None for name, each in METRICS.items()}
    row |= {
        "confirmed_mean": float(np.mean(confirmed)) if confirmed else None,
        "confirmed_sd": float(np.std(confirmed, ddof=1)) if confirmed else None,
        "repeats": len(confirmed),
    }
    row |= {"seconds": trial.seconds, "error": trial.error}
    if trial.model_cost is not None:
        row |= asdict(trial.model_cost)
    values = trial.params.model_dump()
    return row | {f"params.{f}": None if f in trial.unused else v for f, v in values.items()}


def rank(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Sort a trial table by the score of each trial's best round; ties go to the lower loss.

    Failed trials come last. After this sort, the confirmed trials (those with repeats) swap places
    among themselves so that they are in order of their means; all other trials keep their ranks. A
    mean is thus never compared to the single score of an unconfirmed trial, which may be high by
    luck.
    """
    sign = -METRICS[metric].sign
    order = table.assign(_failed=table["status"] == "failed", _score=sign * table[metric])
    order = order.sort_values(["_failed", "_score", "val_loss"], kind="stable")
    confirmed = (order["repeats"] > 0).to_numpy()
    means = sign * order.loc[confirmed, "confirmed_mean"]
    index = order.index.to_numpy().copy()
    index[confirmed] = means.sort_values(kind="stable").index  # NaN (a repeat diverged) comes last
    return table.loc[index].reset_index(drop=True)


def pareto_front(table: pd.DataFrame, metric: str, objectives: Sequence[Objective]) -> pd.DataFrame:
    """The rows of a `trial_table` that no other row dominates, the best score first.

    ``objectives`` are minimized. Of rows with equal values only the first is kept.
    """
    sign = -METRICS[metric].sign
    eligible = table[table["status"] != "failed"].dropna(subset=[metric, *objectives])
    costs = eligible[[metric, *objectives]].to_numpy() * [sign, *[1] * len(objectives)]
    on_front = []
    for i, row in enumerate(costs):
        others = np.delete(costs, i, axis=0)
        dominated = (others <= row).all(axis=1) & (others < row).any(axis=1)
        duplicate = (costs[:i] == row).all(axis=1)
        on_front.append(not dominated.any() and not duplicate.any())
    return eligible[on_front].reset_index(drop=True)


def epoch_table(trials: Sequence[TrialRecord]) -> pd.DataFrame:
    """One row per trial and round, repeats included."""
    rows = [{"trial_id": t.trial_id, **r.to_dict()} for t in trials for r in t.reports]
    return pd.DataFrame(rows)


def select_winner(trials: Sequence[TrialRecord], metric: str) -> TrialRecord:
    """The first trial of the `trial_table` that did not fail and has an epoch with a finite loss.

    Raises `RunError` if there is no such trial.
    """
    eligible = {t.number for t in trials if t.status != "failed" and t.best(metric)}
    ranked = trial_table(
        [t for t in trials if (t.repeat.of if t.repeat else t.number) in eligible], metric
    )
    if ranked.empty:
        if not any(trial.reports or trial.status == "failed" for trial in trials):
            raise RunError("No trial can win yet: none has finished a round.")
        errors = [trial.error for trial in trials if trial.error]
        raise RunError(
            "No trial can win: each one failed, or has no epoch with a finite loss"
            + (f"; the first failure: {errors[0]}." if errors else ".")
        )
    winning_id = ranked["trial_id"].iloc[0]
    return next(t for t in trials if t.trial_id == winning_id)


def write_tables(
    paths: SweepPaths,
    trials: Sequence[TrialRecord],
    metric: str,
    objectives: Sequence[Objective] = (),
) -> pd.DataFrame:
    """Write ``trials.parquet``, ``trials.csv``, ``epochs.parquet`` and ``leaderboard.md``.

    Returns the `trial_table`.
    """
    table = trial_table(trials, metric)
    write_atomically(paths.trials, lambda path: table.to_parquet(path, index=False))
    write_atomically(paths.trials_csv, lambda path: table.to_csv(path, index=False))
    write_atomically(paths.epochs, lambda path: epoch_table(trials).to_parquet(path, index=False))
    text = f"# {paths.root.name}\n\n{markdown(table, metric)}\n"
    if objectives and not table.empty:
        front = pareto_front(table, metric, objectives)
        values = " and ".join([metric, *objectives])
        text += (
            f"\nPareto front of {values}: no other trial is at least as good in all of these and "
            f"better in one.\n\n{markdown(front, metric)}\n"
        )
    write_atomically(paths.leaderboard, lambda path: path.write_text(text, encoding="utf-8"))
    return table


def leaderboard_columns(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The columns that people see, as text: first the trial's id and score.

    Parameters that are the same in all trials are left out.
    """
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
    renamed = table[shown].rename(columns=lambda name: str(name).removeprefix("params."))
    return renamed.map(_cell)


def markdown(table: pd.DataFrame, metric: str) -> str:
    """The `leaderboard_columns` of a trial table as a Markdown table."""
    if table.empty:
        return "No trial has begun."
    shown = leaderboard_columns(table, metric)
    lines = [shown.columns.tolist(), ["---"] * len(shown.columns), *shown.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: object) -> str:
    if pd.isna(value):  # type: ignore[call-overload]
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
