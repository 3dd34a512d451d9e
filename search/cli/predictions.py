"""Predictions of image files: lines in a terminal, a table, and files without a prediction."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainables.files import on_one_line, printable, write_atomically

if TYPE_CHECKING:
    from trainables.inference import FilePredictions, ModelSpec
    from trainables.listing import Unused

_MAX_REASONS = 5
"""Largest number of reasons that are listed."""


def prediction_lines(predictions: "FilePredictions", spec: "ModelSpec", top: int) -> Iterator[str]:
    """Line for each file: its ``top`` classes, the predicted one first, or why there is none.

    Bytes of a name that are not UTF-8 are shown as ``\\xNN``, as in the table.
    """
    predicted = iter(spec.predict_classes(predictions.probabilities))
    rows = iter(predictions.probabilities)
    for outcome in predictions.outcomes:
        if outcome.status == "ok":
            row, first = next(rows), next(predicted)
            classes = [first, *(k for k in row.argsort()[::-1] if k != first)][:top]
            cells = [f"{on_one_line(spec.labels[k])} {row[k]:.4f}" for k in classes]
        else:
            cells = [f"[{outcome.status}] {outcome.reason}"]
        yield printable("\t".join([str(outcome.path), *cells]))


def write_predictions(predictions: "FilePredictions", spec: "ModelSpec", out: Path) -> None:
    """Write a table with a row for each file: CSV, Parquet or JSON, by the suffix of ``out``.

    The columns are ``path``, ``status`` (ok, missing, unreadable), ``reason``, ``predicted`` and
    the probabilities ``p.<class>``. The last two are empty where there is no prediction. Bytes of
    a name that are not UTF-8 are written as ``\\xNN``; the rows are in the order of the files.
    """
    import pandas as pd

    from trainables.evaluation import probability_columns

    outcomes, labels = predictions.outcomes, [printable(label) for label in spec.labels]
    answered = np.array([outcome.status == "ok" for outcome in outcomes], bool)
    probabilities = np.full((len(outcomes), len(labels)), np.nan, np.float32)
    probabilities[answered] = predictions.probabilities
    predicted = np.full(len(outcomes), None, object)
    predicted[answered] = [labels[k] for k in spec.predict_classes(predictions.probabilities)]
    table = pd.DataFrame(
        {
            "path": [printable(str(outcome.path)) for outcome in outcomes],
            "status": [outcome.status for outcome in outcomes],
            "reason": [printable(outcome.reason) for outcome in outcomes],
            "predicted": predicted,
        }
        | probability_columns(probabilities, labels)
    )
    write = {
        ".csv": lambda partial: table.to_csv(partial, index=False),
        ".json": lambda partial: table.to_json(
            partial, orient="records", indent=2, force_ascii=False
        ),
        ".parquet": lambda partial: table.to_parquet(partial, index=False),
    }
    write_atomically(out, write[out.suffix.lower()])


def gap_lines(predictions: "FilePredictions", skipped: "Sequence[Unused]") -> list[str]:
    """Lines on files without a prediction and on skipped files, by reason, with an example each."""
    gaps: dict[str, list[Path]] = {}
    for outcome in predictions.outcomes:
        if outcome.status != "ok":
            gaps.setdefault(outcome.reason, []).append(outcome.path)
    lines = [
        f"{len(paths)} of {len(predictions.outcomes)} files without a prediction ({reason}), "
        f"such as {paths[0]}"
        for reason, paths in sorted(gaps.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    if len(lines) > _MAX_REASONS:
        lines[_MAX_REASONS:] = [f"and {len(lines) - _MAX_REASONS} more reasons"]
    lines += [f"Skipped {entry}" for entry in skipped]
    return [printable(line) for line in lines]
