"""What public repositories of images are understood as, as their people left them.

``python -m tests.benchmarks.public_repositories FOLDER`` reads checkouts in FOLDER, each named as
its repository, and writes results/benchmarks/public_repositories.md. Nothing of them is kept.
"""

import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from search.config import SweepConfig
from spaces import DataError
from trainables.data import read_source

TABLE = Path(__file__).parents[2] / "results" / "benchmarks" / "public_repositories.md"
"""File of the table."""


@dataclass(frozen=True)
class Attempt:
    """One way to read a repository."""

    repository: str
    data: str = "."
    """Path in the repository that is given as DATA."""
    flags: tuple[tuple[str, str], ...] = ()
    """Settings that are given beside DATA, by name."""


ATTEMPTS = (
    Attempt("martinwestin/flower_classification"),
    Attempt("ardamavi/Sign-Language-Digits-Dataset"),
    Attempt("ardamavi/Sign-Language-Digits-Dataset", "Dataset"),
    Attempt("SartajBhuvaji/Brain-Tumor-Classification-DataSet"),
    Attempt("MohamedAliHabib/Brain-Tumor-Detection"),
    Attempt(
        "MohamedAliHabib/Brain-Tumor-Detection", flags=(("ignore", "augmented data,logs,models"),)
    ),
    Attempt("MohamedAliHabib/Brain-Tumor-Detection", "augmented data"),
    Attempt("WenjinTao/Leaf-Classification--Kaggle"),
    Attempt("WenjinTao/Leaf-Classification--Kaggle", "train.csv"),
    Attempt("WenjinTao/Leaf-Classification--Kaggle", "train.csv", (("label_column", "species"),)),
    Attempt("muxspace/facial_expressions"),
    Attempt("muxspace/facial_expressions", "data/legend.csv"),
    Attempt("muxspace/facial_expressions", "data/legend.csv", (("label_column", "emotion"),)),
    Attempt(
        "muxspace/facial_expressions",
        "data/legend.csv",
        (("label_column", "emotion"), ("ignore", "Avinash_30.jpg"), ("merge_labels", "true")),
    ),
    Attempt(
        "muxspace/facial_expressions",
        "data/500_picts_satz.csv",
        (("image_column", "2"), ("label_column", "3")),
    ),
    Attempt("brendenlake/omniglot"),
    Attempt("emanhamed/Houses-dataset"),
    Attempt("emanhamed/Houses-dataset", "Houses Dataset"),
    Attempt("dhruvp/wbc-classification"),
    Attempt("dhruvp/wbc-classification", "labels.csv"),
    Attempt("dhruvp/wbc-classification", "images", (("ignore", "TEST_SIMPLE"),)),
)


def answer(folder: Path, attempt: Attempt) -> str:
    """What is understood or said of one attempt; paths start at the repository."""
    root = folder / attempt.repository.partition("/")[2]
    settings: dict[str, object] = dict(attempt.flags)
    if "ignore" in settings:
        settings["ignore"] = str(settings["ignore"]).split(",")
    options = SweepConfig.parse({"data": root / attempt.data, **settings}).read_options
    with tempfile.TemporaryDirectory() as cache:
        try:
            listing = read_source(root / attempt.data, cache=Path(cache), options=options)
        except DataError as error:
            return f"**said**: {error}".replace(f"{root}/", "").replace(str(root), ".")
    classes = Counter(row.label for row in listing.rows)
    splits = Counter(row.split for row in listing.rows if row.split)
    parts = [f"{listing.kind}: {len(listing.rows)} images of {len(classes)} classes"]
    parts += [f"{split} {count}" for split, count in splits.items()]
    text = ", ".join(parts)
    unused = "; ".join(f"{u.reason}: {u.count}" for u in listing.unused)
    notes = " ".join(listing.notes).replace(f"{root}/", "")
    return f"{text}. Not used: {unused or 'nothing'}. {notes}".strip()


def main(folder: Path) -> None:
    """Write the table."""
    lines = [
        "# Public repositories, as their people left them",
        "",
        f"{len({a.repository for a in ATTEMPTS})} repositories, read by the newest stored snapshot "
        "of each; `python -m tests.benchmarks.public_repositories FOLDER`.",
        "",
        "| repository | command | what `plan` understands or says |",
        "| --- | --- | --- |",
    ]
    for attempt in ATTEMPTS:
        flags = "".join(
            f" --{name.replace('_', '-')}" + (f" '{value}'" if value != "true" else "")
            for name, value in attempt.flags
        )
        words = answer(folder, attempt).replace("|", "\\|").replace("\n", " ")
        lines.append(f"| {attempt.repository} | `plan '{attempt.data}'{flags}` | {words} |")
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
