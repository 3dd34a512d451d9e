"""Commands with users' mistakes, and a table of the error messages that they get.

``python -m tests.support.user_mistakes`` writes the table to results/benchmarks/answers.md.
"""

import contextlib
import io
import json
import os
import re
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from search.cli import parser as cli
from search.cli.commands import MISTAKE

TABLE = Path(__file__).parents[2] / "results" / "benchmarks" / "answers.md"
"""File of the table."""
SMALL = ["--space", "space.toml", "--weights", "untrained", "--cache-dir", "cache"]
"""Flags for a small plan that needs no network."""


def picture(file: Path, seed: int) -> None:
    """Write a small image of random noise drawn from ``seed``."""
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file)


def pictures(folder: Path, classes: str = "ab", each: int = 8) -> None:
    """Write a folder of ``each`` images per class. Each letter of ``classes`` names a class."""
    for name in classes:
        for i in range(each):
            file = folder / name / f"{i}.png"
            picture(file, zlib.crc32(str(file.relative_to(file.parents[2])).encode()))


def nothing(folder: Path) -> None:
    """Prepare nothing: the mistake needs no files besides those of every case."""


@dataclass(frozen=True)
class Case:
    """A command with a mistake."""

    name: str
    arguments: list[str]
    """Arguments of the command line."""
    prepare: Callable[[Path], object] = field(default=nothing)
    """Writes files that the mistake needs into the folder where the command runs."""


def text(name: str, content: str) -> Callable[[Path], object]:
    """Prepare a text file called ``name``."""
    return lambda folder: (folder / name).write_text(content)


def table(*rows: str) -> Callable[[Path], object]:
    """Prepare the table ``t.csv`` with these rows."""
    return text("t.csv", "\n".join(rows) + "\n")


def sweep(**settings: object) -> Callable[[Path], object]:
    """Prepare the folder of a launched sweep called "s" with these settings."""

    def make(folder: Path) -> None:
        root = folder / "results" / "s"
        root.mkdir(parents=True)
        values = {"data": str(folder / "data"), "name": "s", **settings}
        (root / "sweep.json").write_text(json.dumps(values))

    return make


def plan(name: str, prepare: Callable[[Path], object] = nothing, *arguments: str) -> Case:
    """A mistake in the data or the space that `finesweep plan` finds."""
    return Case(name, ["plan", *(arguments or ("data",)), *SMALL], prepare)


def setting(name: str, *flags: str) -> Case:
    """A wrong setting of `finesweep launch`."""
    return Case(name, ["launch", "data", *flags])


def space(name: str, content: str) -> Case:
    """A wrong space file."""
    return Case(name, ["plan", "data", "--space", "mine.toml"], text("mine.toml", content))


def spoil(name: str, content: bytes, count: int) -> Callable[[Path], object]:
    """Overwrite the first ``count`` images of class ``name`` with ``content``."""

    def make(folder: Path) -> None:
        for file in sorted((folder / "data" / name).iterdir())[:count]:
            file.write_bytes(content)

    return make


CASES = [
    Case("an unknown command", ["lanch", "data"]),
    Case("an unknown flag", ["launch", "data", "--trails", "3"]),
    Case("one argument too many", ["launch", "data", "more"]),
    Case("no data", ["launch"]),
    Case("no sweep given", ["retrain"]),
    setting("a word in place of a number", "--trials", "many"),
    setting("zero trials", "--trials", "0"),
    setting("zero epochs", "--max-epochs", "0"),
    setting("an unknown metric", "--metric", "accuracy"),
    setting("a share of a GPU above one", "--gpus-per-trial", "1.5"),
    setting("a share of a GPU in words", "--gpus-per-trial", "half"),
    setting("zero CPUs", "--cpus-per-trial", "0"),
    setting("zero concurrent trials", "--concurrent", "0"),
    setting("a name with a slash", "--name", "a/b"),
    setting("a name that leaves its folder", "--name", ".."),
    setting("a negative seed", "--seed", "-1"),
    setting("a tiny image size", "--fix", "image_size=8"),
    setting("the image size as earlier versions had it", "--image-size", "224"),
    setting("an unknown parameter fixed", "--fix", "augmnt=0"),
    setting("a parameter fixed without a value", "--fix", "fit"),
    setting("a fit that there is not", "--fix", "fit=pad"),
    setting("more grace epochs than epochs", "--max-epochs", "2", "--asha.grace-epochs", "3"),
    setting("a reduction factor of one", "--asha.reduction-factor", "1"),
    setting("half of the images for validation", "--split.val-fraction", "0.5"),
    setting(
        "too little to train on", "--split.val-fraction", ".46", "--split.test-fraction", ".46"
    ),
    setting("an unknown split", "--split.eval-is", "train"),
    setting("an unknown stopping rule", "--stopping", "medium"),
    setting("an unknown sampler", "--sampler", "bayes"),
    setting("a time budget without a time", "--time-budget", "soon"),
    setting("a target in percent", "--target", "95"),
    setting("an unknown objective", "--objectives", "size"),
    setting(
        "several objectives for a sampler of one",
        "--objectives",
        "parameters",
        "--sampler",
        "cmaes",
    ),
    setting(
        "freeze-thaw for a sampler that can't choose",
        "--stopping",
        "freeze-thaw",
        "--sampler",
        "tpe",
    ),
    setting("an unknown earlier sweep", "--prior", "yesterday"),
    setting("flips of a calibrated model", "--test-time-flips", "both", "--calibrate"),
    setting("an unknown precision", "--precision", "fp16"),
    setting("an unknown format in a launch", "--export.formats", "timm,onx"),
    setting("a cache of zero GiB", "--cache-gib", "0"),
    setting("several mistakes at once", "--trials", "0", "--metric", "f1", "--seed", "x"),
    Case("a missing settings file", ["launch", "data", "--config", "no.toml"]),
    Case(
        "a broken settings file",
        ["launch", "data", "--config", "c.toml"],
        text("c.toml", "trials = = 3\n"),
    ),
    Case(
        "a misspelt key in a settings file",
        ["launch", "data", "--config", "c.toml"],
        text("c.toml", "[asha]\ngrace = 2\n"),
    ),
    setting("an unknown preset", "--space", "dmo"),
    setting("a missing space file", "--space", "no.toml"),
    space("a broken space file", "unfreeze = [\n"),
    space("a misspelt parameter", 'backbone = "test_vit"\nunfreze = 0.5\n'),
    space("bounds upside down", 'backbone = "test_vit"\n[unfreeze]\nlow = 1\nhigh = 0\n'),
    space("a log range from zero", "[learning_rate]\nlow = 0\nhigh = 1\nlog = true\n"),
    space("a value out of bounds", 'backbone = "test_vit"\ndropout = 1.5\n'),
    space("a step of zero", "[dropout]\nlow = 0\nhigh = 0.5\nstep = 0\n"),
    space("a list in place of choices", 'backbone = ["test_vit", "test_resnet"]\n'),
    space("a space without a backbone", "unfreeze = 0.5\n"),
    space("bounds that no backbone meets", '[backbone]\nchoices = "auto"\nmax_gmacs = 0.01\n'),
    Case(
        "a backbone that timm does not have",
        ["plan", "data", "--space", "mine.toml", "--weights", "untrained", "--cache-dir", "cache"],
        text("mine.toml", 'backbone = "resnet81"\nimage_size = 32\n'),
    ),
    Case(
        "a size that the backbone can't take",
        ["plan", "data", "--space", "mine.toml", "--weights", "untrained", "--cache-dir", "cache"],
        text("mine.toml", 'backbone = "test_vit"\nimage_size = 33\n'),
    ),
    Case(
        "weights that are not a folder",
        ["plan", "data", "--space", "space.toml", "--cache-dir", "cache", "--weights", "w"],
    ),
    Case(
        "a folder without the weights of a backbone",
        ["plan", "data", "--space", "space.toml", "--cache-dir", "cache", "--weights", "w"],
        lambda folder: (folder / "w").mkdir(),
    ),
    Case(
        "a cache that can't be written",
        ["plan", "data", "--space", "space.toml", "--weights", "untrained", "--cache-dir", "f/c"],
        text("f", ""),
    ),
    setting("a missing points file", "--points", "no.json"),
    Case("points that are not JSON", ["launch", "data", "--points", "p"], text("p", "[{")),
    Case("points that are not a list", ["launch", "data", "--points", "p"], text("p", '{"a": 1}')),
    Case(
        "more points than trials",
        ["launch", "data", "--trials", "1", "--points", "p"],
        text("p", "[{}, {}]"),
    ),
    Case(
        "a misspelt parameter in a point",
        ["plan", "data", *SMALL, "--points", "p"],
        text("p", '[{"unfreze": 0.5}]'),
    ),
    plan("missing data", nothing, "nowhere"),
    plan("data at an address of an unknown kind", nothing, "s4://bucket/photos"),
    plan("an address without data", nothing, "file:///nowhere/photos"),
    plan("an address with a secret in it", nothing, "s3://key:secret@bucket/photos"),
    plan("one image as the data", nothing, "data/a/0.png"),
    plan("an empty folder", lambda f: (f / "empty").mkdir(), "empty"),
    plan("one class", lambda f: shutil.rmtree(f / "data" / "b")),
    plan(
        "a class of copies of other classes' images",
        lambda f: shutil.copytree(
            f / "data" / "b", f / "data" / "c", ignore=shutil.ignore_patterns("[3-7].png")
        ),
    ),
    plan("a class of two images", lambda f: pictures(f / "data", "c", 2)),
    plan("many broken images", spoil("a", b"no image", 4)),
    plan("splits and classes side by side", lambda f: (f / "data" / "train").mkdir()),
    plan(
        "splits of other names",
        lambda f: [pictures(f / "d" / split) for split in ("first", "second")],
        "d",
    ),
    setting("two kinds of groups", "--group-column", "patient", "--group-by", "p[0-9]+"),
    plan(
        "an expression of groups that fits no path", nothing, "data", "--group-by", "patient[0-9]+"
    ),
    plan(
        "a class that only the test has",
        lambda f: (pictures(f / "d" / "train"), pictures(f / "d" / "test", "abc")),
        "d",
    ),
    plan("a table without a label", table("path,kind", "data/a/0.png,x"), "t.csv"),
    plan("a table with an empty label", table("path,label", "data/a/0.png,"), "t.csv"),
    plan("a table without rows", table("path,label"), "t.csv"),
    plan("a table with an unknown split", table("path,label,split", "x.png,a,spare"), "t.csv"),
    plan("a broken table", lambda f: (f / "t.parquet").write_bytes(b"x"), "t.parquet"),
    Case("a name that is taken", ["launch", "data", "--name", "s"], sweep()),
    Case(
        "a folder in the sweep's place",
        ["launch", "data", "--name", "s"],
        lambda f: (f / "results" / "s").mkdir(parents=True),
    ),
    Case("an unknown sweep to compare", ["compare", "nowhere"]),
    Case("a sweep without a trial", ["compare", "s"], sweep(metric="val_accuracy")),
    Case("the best zero trials", ["compare", "s", "--top", "0"], sweep()),
    Case("a table in a missing folder", ["compare", "s", "--csv", "no/x.csv"], sweep()),
    Case("both dashboards at once", ["compare", "s", "--tensorboard", "--dashboard"], sweep()),
    Case("a preview in a missing folder", ["plan", "data", "--augment-preview", "no/x.png"]),
    Case("a preview of an unknown format", ["plan", "data", "--augment-preview", "x"]),
    Case("a folder in the report's place", ["report", "s", "--out", "data"], sweep()),
    Case("an unknown sweep to report", ["report", "nowhere"]),
    Case("other epochs for a launched sweep", ["resume", "s", "--max-epochs", "9"], sweep()),
    Case(
        "another seed and other views for a launched sweep",
        ["resume", "s", "--seed", "1", "--views", "2"],
        sweep(),
    ),
    Case("an unknown sweep to resume", ["resume", "nowhere"]),
    Case("an address to resume from without a sweep", ["resume", "file:///nowhere/photos"]),
    Case(
        "an address to resume from, and results below a file",
        ["resume", "file:///nowhere/photos", "--results-dir", "data/a/0.png/x"],
    ),
    setting("a storage path that is not an address", "--storage-path", "bucket/sweeps"),
    setting("an MLflow server where nobody answers", "--mlflow", "http://127.0.0.1:9"),
    setting("a password in the address of MLflow", "--mlflow", "http://me:secret@host:5000"),
    Case("a submission without a command", ["submit", "--address", "http://127.0.0.1:9"]),
    Case(
        "a submission of what needs no cluster",
        ["submit", "--address", "http://127.0.0.1:9", "predict", "export", "x.png"],
    ),
    Case(
        "a submission to Ray's own port",
        ["submit", "--address", "127.0.0.1:6379", "resume", "s"],
    ),
    Case(
        "a submission where nobody answers",
        ["submit", "--address", "http://127.0.0.1:9", "resume", "s"],
    ),
    Case("an export before there is a model", ["export", "s"], sweep()),
    Case("an unknown format in an export", ["export", "s", "--formats", "onx"], sweep()),
    Case("an unknown trial", ["retrain", "s", "--trial", "9"], sweep()),
    Case("a setting that a retraining can't change", ["retrain", "s", "--trials", "9"], sweep()),
    setting("a sensitivity without a class", "--sensitivity", "0.95"),
    setting("one fold", "--folds", "1"),
    setting("an ensemble of zero trials", "--ensemble", "0"),
    plan("a sensitivity for an unknown class", nothing, "data", "--sensitivity", "crack=0.9"),
    plan("more folds than images of a class", nothing, "data", "--folds", "99"),
    plan("a hub dataset without a name", nothing, "hf://"),
    Case(
        "a sweep in its export's place",
        ["predict", "s", "data/a/0.png"],
        lambda f: (f / "s" / "export").mkdir(parents=True),
    ),
    Case("a missing image", ["predict", "nowhere", "x.png"]),
    Case("a missing export", ["predict", "nowhere", "data/a/0.png"]),
    Case("a table of an unknown format", ["predict", "nowhere", "x.png", "--out", "answers.xlsx"]),
    Case("the best zero classes", ["predict", "nowhere", "data/a/0.png", "--top", "0"]),
]


def answer(case: Case, folder: Path) -> tuple[int, str]:
    """Run a case in an empty ``folder``, and return its exit status and standard error."""
    (folder / "space.toml").write_text('backbone = "test_efficientnet"\nimage_size = 32\n')
    pictures(folder / "data")
    case.prepare(folder)
    error_output, working_directory = io.StringIO(), Path.cwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stderr(error_output), contextlib.redirect_stdout(io.StringIO()):
            cli.main(case.arguments)
    except SystemExit as ended:
        status = int(ended.code or 0)
    finally:
        os.chdir(working_directory)
    text = error_output.getvalue().replace(f"{folder}/", "").replace(str(folder), ".")
    return status, text.replace("python -m finesweep ", "finesweep ")  # where no PATH has it


def as_table(answers: dict[str, tuple[Case, str]]) -> str:
    """Markdown page with a table of cases and error messages."""
    lines = [
        "# Answers to users' mistakes",
        "",
        f"{len(answers)} mistakes with the answers of Finesweep: one sentence for each mistake, "
        "exit status 2, and nothing is spent. Written by `python -m tests.support.user_mistakes`, "
        "and tested by `tests/search/cli/test_user_mistakes.py`. How faults end (kills, lost "
        "machines, torn files) is in docs/clusters.md, and in `tests/chaos`.",
        "",
        "| mistake | command | answer |",
        "| --- | --- | --- |",
    ]
    for name, (case, text) in answers.items():
        command = " ".join(case.arguments).replace(" " + " ".join(SMALL), "")
        sentences = re.sub(r"\s*\n\s*", "<br>", text.strip()).replace("|", "\\|")
        lines.append(f"| {name} | `{command}` | {sentences} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all cases, and write the table."""
    answers = {}
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            status, text = answer(case, Path(folder))
        if status != MISTAKE:
            sys.exit(f"{case.name}: status {status}: {text}")
        answers[case.name] = (case, text)
    TABLE.write_text(as_table(answers), encoding="utf-8")


if __name__ == "__main__":
    main()
