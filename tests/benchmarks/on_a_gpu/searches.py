"""Sweeps as a user launches them, in a process of their own, and what they did with the GPU."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from search.record import SweepPaths, TrialRecord, read_trials
from tests.benchmarks.measuring import ROOT, SCRATCH, fresh
from trainables.data import survey_images

Point = Mapping[str, object]


@dataclass(frozen=True)
class SearchRun:
    """Measurements of one search."""

    stages: Mapping[str, float]
    """Wall seconds of each stage of the sweep."""
    kernel_share: float
    """Mean share of the search's seconds in which a kernel ran."""
    log: str
    trials: Sequence[TrialRecord]
    train_images: int

    @property
    def seconds(self) -> float:
        """Wall seconds of the search, without the start of Ray, the scan and the memory probe."""
        return self.stages["search"]

    @property
    def images_per_second(self) -> float:
        """Images that all trials trained on, per second of the search."""
        epochs = sum(trial.reports[-1].epoch for trial in self.trials if trial.reports)
        return epochs * self.train_images / self.seconds

    @property
    def allocation(self) -> str:
        """Line of the log that says how many trials ran at a time, and on which resources."""
        line = next(x for x in self.log.splitlines() if "at a time" in x)
        return line.partition(" INFO ")[2]


@contextmanager
def kernel_share() -> Iterator[list[float]]:
    """Sample the share of time in which a GPU kernel ran, with nvidia-smi, 4 times a second."""
    samples: list[float] = []
    words = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    with subprocess.Popen([*words, "-lms", "250"], stdout=subprocess.PIPE, text=True) as process:
        lines = process.stdout or ()
        reader = threading.Thread(target=lambda: samples.extend(float(x) / 100 for x in lines))
        reader.start()
        yield samples
        process.terminate()
        reader.join()


def run_search(
    data: Path, points: Sequence[Point], options: Sequence[str], *, epochs: int
) -> SearchRun:
    """Launch a sweep of untrained models in a new process with an empty cache; measure its search.

    The sweep's folder stays in `SCRATCH` until the next one. Raises `SystemExit` with the end of
    its output if it fails.
    """
    results = fresh(SCRATCH / "searches")
    (results / "points.json").write_text(json.dumps(list(points)))
    command = [sys.executable, "-m", "search", "launch", str(data), "--space", "demo"]
    command += ["--points", str(results / "points.json"), "--trials", str(len(points))]
    command += ["--max-epochs", str(epochs), "--stopping", "none", "--confirm", "0"]
    command += ["--weights", "untrained", "--name", "sweep", "--results-dir", str(results)]
    command += ["--cache-dir", str(results / "cache"), *options]
    with kernel_share() as samples:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-1000:] + done.stderr[-3000:])
    paths = SweepPaths(results / "sweep")
    stages = json.loads(paths.profile.read_text())["stages"]
    end = len(samples) - int(4 * (stages.get("retrain", 0.0) + stages.get("export", 0.0)))
    in_search = samples[max(0, end - int(4 * stages["search"])) : end]
    return SearchRun(
        stages,
        sum(in_search) / max(len(in_search), 1),
        paths.log.read_text(),
        read_trials(paths.journal),
        len(survey_images(data, cache=SCRATCH / "survey").dataset.rows("train")),
    )
