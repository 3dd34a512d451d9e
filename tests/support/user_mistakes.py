"""What is said to a user's mistakes: cases, and the table of their answers.

python -m tests.support.user_mistakes writes results/benchmarks/answers.md
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
SMALL = ["--space", "space.toml", "--weights", "untrained", "--cache-dir", "cache"]


def picture(file: Path, seed: int) -> None:
    """A small image of noise, another one for each seed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file)


def pictures(folder: Path, classes: str = "ab", each: int = 8) -> None:
    """A folder of images for each class."""
    for name in classes:
        for i in range(each):
            file = folder / name / f"{i}.png"
            picture(file, zlib.crc32(str(file.relative_to(file.parents[2])).encode()))


def nothing(folder: Path) -> None:
    """Nothing but what every case has."""


@dataclass(frozen=True)
class Case:
    """A mistake: its name, the command, and what lies in the folder that it is run in."""

    what: str
    words: list[str]
    prepare: Callable[[Path], object] = field(default=nothing)


def text(name: str, content: str) -> Callable[[Path], object]:
    """A text file."""
    return lambda folder: (folder / name).write_text(content)


def table(*rows: str) -> Callable[[Path], object]:
    """``t.csv`` beside the images."""
    return text("t.csv", "\n".join(rows) + "\n")


def _all_but(name: str) -> Callable[[str, list[str]], list[str]]:
    return lambda folder, names: [other for other in names if other != name]


def sweep(**settings: object) -> Callable[[Path], object]:
    """A folder that looks like a sweep's."""

    def make(folder: Path) -> None:
        root = folder / "results" / "s"
        root.mkdir(parents=True)
        values = {"data": str(folder / "data"), "name": "s", **settings}
        (root / "sweep.json").write_text(json.dumps(values))

    return make


def plan(what: str, prepare: Callable[[Path], object] = nothing, *words: str) -> Case:
    """A mistake in the data or the space."""
    return Case(what, ["plan", *(words or ("data",)), *SMALL], prepare)


def setting(what: str, *flags: str) -> Case:
    """A wrong setting."""
    return Case(what, ["launch", "data", *flags])


def space(what: str, content: str) -> Case:
    """A wrong space."""
    return Case(what, ["plan", "data", "--space", "mine.toml"], text("mine.toml", content))


def spoil(name: str, content: bytes, count: int) -> Callable[[Path], object]:
    """Overwrite so many images of a class."""

    def make(folder: Path) -> None:
        for file in sorted((folder / "data" / name).iterdir())[:count]:
            file.write_bytes(content)

    return make


CASES = [
    Case("a command that is none", ["lanch", "data"]),
    Case("a flag that is none", ["launch", "data", "--trails", "3"]),
    Case("one word too many", ["launch", "data", "more"]),
    Case("no data", ["launch"]),
    Case("no sweep named", ["retrain"]),
    setting("a number that is none", "--trials", "many"),
    setting("no trials", "--trials", "0"),
    setting("no epochs", "--max-epochs", "0"),
    setting("a metric that is none", "--metric", "accuracy"),
    setting("a share of a GPU above one", "--gpus-per-trial", "1.5"),
    setting("a share of a GPU in words", "--gpus-per-trial", "half"),
    setting("no CPUs", "--cpus-per-trial", "0"),
    setting("nothing at a time", "--concurrent", "0"),
    setting("a name with a slash", "--name", "a/b"),
    setting("a name that climbs", "--name", ".."),
    setting("a seed below zero", "--seed", "-1"),
    setting("a tiny image size", "--image-size", "8"),
    setting("more grace than epochs", "--max-epochs", "2", "--asha.grace-epochs", "3"),
    setting("a rung that keeps all", "--asha.reduction-factor", "1"),
    setting("half of the images for validation", "--split.val-fraction", "0.5"),
    setting(
        "too little to train on", "--split.val-fraction", ".46", "--split.test-fraction", ".46"
    ),
    setting("a split that is none", "--split.eval-is", "train"),
    setting("a stopping rule that is none", "--stopping", "medium"),
    setting("a sampler that is none", "--sampler", "bayes"),
    setting("a time budget that is none", "--time-budget", "soon"),
    setting("a target in percent", "--target", "95"),
    setting("an objective that is none", "--objectives", "size"),
    setting(
        "two objectives for a sampler of one", "--objectives", "parameters", "--sampler", "cmaes"
    ),
    setting("an earlier sweep that is none", "--prior", "yesterday"),
    setting("a precision that is none", "--precision", "fp16"),
    setting("a format that is none", "--export.formats", "timm,onx"),
    setting("a cache without room", "--cache-gib", "0"),
    setting("several at once", "--trials", "0", "--metric", "f1", "--seed", "x"),
    Case("a settings file that is not there", ["launch", "data", "--config", "no.toml"]),
    Case(
        "a settings file that is broken",
        ["launch", "data", "--config", "c.toml"],
        text("c.toml", "trials = = 3\n"),
    ),
    Case(
        "a misspelt key in it",
        ["launch", "data", "--config", "c.toml"],
        text("c.toml", "[asha]\ngrace = 2\n"),
    ),
    setting("a preset that is none", "--space", "dmo"),
    setting("a space file that is not there", "--space", "no.toml"),
    space("a space file that is broken", "unfreeze = [\n"),
    space("a misspelt parameter", 'backbone = "test_vit"\nunfreze = 0.5\n'),
    space("bounds upside down", 'backbone = "test_vit"\n[unfreeze]\nlow = 1\nhigh = 0\n'),
    space("a log range from zero", "[learning_rate]\nlow = 0\nhigh = 1\nlog = true\n"),
    space("a value out of bounds", 'backbone = "test_vit"\ndropout = 1.5\n'),
    space("a step that goes nowhere", "[dropout]\nlow = 0\nhigh = 0.5\nstep = 0\n"),
    space("a bare list", 'backbone = ["test_vit", "test_resnet"]\n'),
    space("no backbone", "unfreeze = 0.5\n"),
    Case(
        "a backbone that timm lacks",
        ["plan", "data", "--space", "mine.toml", "--weights", "untrained", "--cache-dir", "cache"],
        text("mine.toml", 'backbone = "resnet81"\nimage_size = 32\n'),
    ),
    Case(
        "a size that the backbone can't take",
        ["plan", "data", "--space", "mine.toml", "--weights", "untrained", "--cache-dir", "cache"],
        text("mine.toml", 'backbone = "test_vit"\nimage_size = 33\n'),
    ),
    Case(
        "weights that are no folder",
        ["plan", "data", "--space", "space.toml", "--cache-dir", "cache", "--weights", "w"],
    ),
    Case(
        "a folder without the weights",
        ["plan", "data", "--space", "space.toml", "--cache-dir", "cache", "--weights", "w"],
        lambda folder: (folder / "w").mkdir(),
    ),
    Case(
        "a cache that can't be written",
        ["plan", "data", "--space", "space.toml", "--weights", "untrained", "--cache-dir", "f/c"],
        text("f", ""),
    ),
    setting("points that are not there", "--points", "no.json"),
    Case("points that are no JSON", ["launch", "data", "--points", "p"], text("p", "[{")),
    Case("points that are no list", ["launch", "data", "--points", "p"], text("p", '{"a": 1}')),
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
    plan("data that are not there", nothing, "nowhere"),
    plan("data at an address that is none", nothing, "s4://bucket/photos"),
    plan("data at an address where nothing is", nothing, "file:///nowhere/photos"),
    plan("an address with a secret in it", nothing, "s3://key:secret@bucket/photos"),
    plan("one image", nothing, "data/a/0.png"),
    plan("an empty folder", lambda f: (f / "empty").mkdir(), "empty"),
    plan("one class", lambda f: shutil.rmtree(f / "data" / "b")),
    plan(
        "a class that is a copy of another's image",
        lambda f: shutil.copytree(f / "data" / "b", f / "data" / "c", ignore=_all_but("0.png")),
    ),
    plan("a class of two images", lambda f: pictures(f / "data", "c", 2)),
    plan("many broken images", spoil("a", b"no image", 4)),
    plan("splits and classes side by side", lambda f: (f / "data" / "train").mkdir()),
    plan(
        "splits of other names",
        lambda f: [pictures(f / "d" / split) for split in ("first", "second")],
        "d",
    ),
    plan(
        "a class that only the test has",
        lambda f: (pictures(f / "d" / "train"), pictures(f / "d" / "test", "abc")),
        "d",
    ),
    plan("a table without a label", table("path,kind", "data/a/0.png,x"), "t.csv"),
    plan("a table with an empty label", table("path,label", "data/a/0.png,"), "t.csv"),
    plan("a table without rows", table("path,label"), "t.csv"),
    plan("a table with a strange split", table("path,label,split", "x.png,a,spare"), "t.csv"),
    plan("a table that is none", lambda f: (f / "t.parquet").write_bytes(b"x"), "t.parquet"),
    Case("a name that is taken", ["launch", "data", "--name", "s"], sweep()),
    Case(
        "a folder in the sweep's place",
        ["launch", "data", "--name", "s"],
        lambda f: (f / "results" / "s").mkdir(parents=True),
    ),
    Case("a sweep that is none", ["compare", "nowhere"]),
    Case("a sweep that has not begun", ["compare", "s"], sweep(metric="val_accuracy")),
    Case("none of the best trials", ["compare", "s", "--top", "0"], sweep()),
    Case("a table in a folder that is not there", ["compare", "s", "--csv", "no/x.csv"], sweep()),
    Case("both boards at once", ["compare", "s", "--tensorboard", "--dashboard"], sweep()),
    Case(
        "a preview in a folder that is not there", ["plan", "data", "--augment-preview", "no/x.png"]
    ),
    Case("a preview of a strange kind", ["plan", "data", "--augment-preview", "x"]),
    Case("a report in a folder's place", ["report", "s", "--out", "data"], sweep()),
    Case("a report of a sweep that is none", ["report", "nowhere"]),
    Case("another length for a begun sweep", ["resume", "s", "--max-epochs", "9"], sweep()),
    Case("other data for a begun sweep", ["resume", "s", "--seed", "1", "--views", "2"], sweep()),
    Case("a sweep to resume that is none", ["resume", "nowhere"]),
    Case("a bucket to resume from that holds no sweep", ["resume", "file:///nowhere/photos"]),
    setting("a storage path that is no address", "--storage-path", "bucket/sweeps"),
    Case("a submission of nothing", ["submit", "--address", "http://127.0.0.1:9"]),
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
    Case("an export format that is none", ["export", "s", "--formats", "onx"], sweep()),
    Case("a trial that is none", ["retrain", "s", "--trial", "9"], sweep()),
    Case("what a retraining can't change", ["retrain", "s", "--trials", "9"], sweep()),
    setting("a sensitivity without a class", "--sensitivity", "0.95"),
    setting("one fold", "--folds", "1"),
    setting("an ensemble of nobody", "--ensemble", "0"),
    plan("a sensitivity of no class of two", nothing, "data", "--sensitivity", "crack=0.9"),
    plan("more folds than images of a class", nothing, "data", "--folds", "99"),
    plan("a dataset of the hub without a name", nothing, "hf://"),
    Case(
        "a sweep in its export's place",
        ["predict", "s", "data/a/0.png"],
        lambda f: (f / "s" / "export").mkdir(parents=True),
    ),
    Case("an image that is not there", ["predict", "nowhere", "x.png"]),
    Case("an export that is none", ["predict", "nowhere", "data/a/0.png"]),
    Case("a table of a strange kind", ["predict", "nowhere", "x.png", "--out", "answers.xlsx"]),
    Case("no classes to show", ["predict", "nowhere", "data/a/0.png", "--top", "0"]),
]


def answer(case: Case, folder: Path) -> tuple[int, str]:
    """Exit status and standard error of a case, run in an empty ``folder``."""
    (folder / "space.toml").write_text('backbone = "test_efficientnet"\nimage_size = 32\n')
    pictures(folder / "data")
    case.prepare(folder)
    said, before = io.StringIO(), Path.cwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            cli.main(case.words)
    except SystemExit as ended:
        status = int(ended.code or 0)
    finally:
        os.chdir(before)
    return status, said.getvalue().replace(f"{folder}/", "").replace(str(folder), ".")


def as_table(answers: dict[str, tuple[Case, str]]) -> str:
    """The page."""
    lines = [
        "# What is said to a mistake",
        "",
        f"{len(answers)} mistakes, each with what Finesweep answers, one sentence to each; exit "
        "status 2, and nothing is spent. Made by `python -m tests.support.user_mistakes`, held to "
        "the truth by `tests/search/cli/test_user_mistakes.py`. What becomes of faults (kills, "
        "lost machines, torn files) is in docs/clusters.md, and in `tests/chaos`.",
        "",
        "| mistake | command | answer |",
        "| --- | --- | --- |",
    ]
    for what, (case, said) in answers.items():
        words = " ".join(case.words).replace(" " + " ".join(SMALL), "")
        sentences = re.sub(r"\s*\n\s*", "<br>", said.strip()).replace("|", "\\|")
        lines.append(f"| {what} | `{words}` | {sentences} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the table."""
    answers = {}
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            status, said = answer(case, Path(folder))
        if status != MISTAKE:
            sys.exit(f"{case.what}: status {status}: {said}")
        answers[case.what] = (case, said)
    TABLE.write_text(as_table(answers), encoding="utf-8")


if __name__ == "__main__":
    main()
