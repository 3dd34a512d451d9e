"""Every file has a line and a row, whatever its name."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from search.cli.predictions import gap_lines, prediction_lines, write_predictions
from trainables.inference import FileOutcome, FilePredictions, ModelSpec
from trainables.listing import Unused

SPEC = ModelSpec(("dark", "bright"), 8, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
LATIN = Path(os.fsdecode(b"caf\xe9.png"))
PREDICTIONS = FilePredictions(
    (
        FileOutcome(Path("b.png"), "ok"),
        FileOutcome(Path("gone.png"), "missing", "file not found"),
        FileOutcome(LATIN, "ok"),
        FileOutcome(Path("é.png"), "unreadable", "a Git LFS pointer; run git lfs pull"),
    ),
    np.array([[0.25, 0.75], [0.5, 0.5]], np.float32),
)


def test_every_file_has_a_line_in_the_given_order() -> None:
    assert list(prediction_lines(PREDICTIONS, SPEC, 2)) == [
        "b.png\tbright 0.7500\tdark 0.2500",
        "gone.png\t[missing] file not found",
        "caf\\xe9.png\tdark 0.5000\tbright 0.5000",
        "é.png\t[unreadable] a Git LFS pointer; run git lfs pull",
    ]


def test_a_class_with_a_line_break_in_its_name_leaves_a_file_on_one_line() -> None:
    broken = replace(SPEC, labels=("dark", "bri\nght"))
    assert next(prediction_lines(PREDICTIONS, broken, 1)) == "b.png\tbri ght 0.7500"


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_every_file_has_a_row_in_the_given_order(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"table{suffix}"
    write_predictions(PREDICTIONS, SPEC, out)
    read = {".csv": pd.read_csv, ".parquet": pd.read_parquet, ".json": pd.read_json}[suffix]
    table = read(out)
    assert list(table) == ["path", "status", "reason", "predicted", "p.dark", "p.bright"]
    assert table["path"].tolist() == ["b.png", "gone.png", "caf\\xe9.png", "é.png"]
    assert table["status"].tolist() == ["ok", "missing", "ok", "unreadable"]
    assert table["predicted"].isna().tolist() == [False, True, False, True]
    assert table["p.bright"].isna().tolist() == [False, True, False, True]
    assert table["p.bright"].dropna().tolist() == [0.75, 0.5]


def test_gaps_and_skipped_files_are_told_by_reason() -> None:
    lines = gap_lines(PREDICTIONS, [Unused("files that are not images", 2, "in/notes.txt")])
    assert lines == [
        "1 of 4 files without a prediction (a Git LFS pointer; run git lfs pull), such as é.png",
        "1 of 4 files without a prediction (file not found), such as gone.png",
        "Skipped files that are not images: 2, such as in/notes.txt",
    ]
