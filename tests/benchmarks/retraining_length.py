"""How long to retrain: to the best round of the winner, or to the last one that is as good.

    python -m tests.benchmarks.retraining_length

Draws searches of 30 recorded points without early stopping; the winner has the best validation
accuracy. Its test accuracy after an epoch stands for that of a retraining of as many epochs.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from tests.benchmarks.measuring import write_table
from tests.benchmarks.record_curves import SETS
from tests.benchmarks.worlds.recorded import CURVES, images_of
from tests.support.round_reports import report
from trainables.training import best_of, last_as_good

SEARCHES, POINTS, METRIC = 2000, 30, "val_accuracy"
RULES = ("best", "last as good", "last of all")


def test_accuracies(name: str) -> np.ndarray:
    """Mean test accuracy of the winners on an image set, at the epoch of each rule."""
    curves = pd.read_parquet(CURVES / f"{name}.parquet").query("seed == 0")
    images = images_of(curves["val_accuracy"].to_numpy())
    tested = curves.set_index(["point", "epoch"])["test_accuracy"]
    reports = {
        point: [
            replace(report(row.epoch, row.val_accuracy), val_loss=row.val_loss)
            for row in rows.itertuples()
        ]
        for point, rows in curves.sort_values("epoch").groupby("point")
    }
    rng, found = np.random.default_rng(0), []
    for _ in range(SEARCHES):
        points = rng.choice(list(reports), POINTS, replace=False)
        best = {point: best_of(reports[point], METRIC) for point in points}
        winner = max(points, key=lambda p: (best[p].val_accuracy, -best[p].val_loss))
        last = last_as_good(reports[winner], METRIC, images)
        epochs = (best[winner].round, last.round, reports[winner][-1].round)
        found.append([tested[winner, epoch] for epoch in epochs])
    return np.mean(found, axis=0)


def main() -> None:
    """Evaluate the rules on all recorded sets, and write the table."""
    means = {name: test_accuracies(name) for name in SETS}
    means["mean"] = np.mean(list(means.values()), axis=0)
    lines = [f"| set | {' | '.join(RULES)} | gain of last as good, points |", "| --- " * 5 + "|"]
    for name, values in means.items():
        cells = " | ".join(f"{value:.4f}" for value in values)
        lines.append(f"| {name} | {cells} | {100 * (values[1] - values[0]):+.2f} |")
    introduction = (
        f"Mean test accuracy of the winners of {SEARCHES} searches of {POINTS} recorded points "
        "each (9 epochs, curves/README.md): at the best epoch of the winner, at the last epoch "
        "whose validation accuracy is within a standard error of it, and at the last epoch."
    )
    write_table(
        "retraining_length",
        "How long to retrain",
        "python -m tests.benchmarks.retraining_length",
        [introduction, "", *lines],
        rounds=False,
    )


if __name__ == "__main__":
    main()
