"""The final model of a sweep whose `retrain` and `export` are killed at random moments.

    python -m tests.benchmarks.killed_retraining SWEEP [--kills 20]

SWEEP is the folder of a finished sweep with two trials or more; a copy of it is used. `finesweep
retrain --trial ID`, with another trial each time, or `finesweep export` is killed with -9. After
each kill the export must predict what the test recorded for the trial that its card names.
"""

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from search.record import SweepPaths, read_trials
from tests.benchmarks.measuring import ROOT, SCRATCH, fresh, write_table

TOLERANCE = 1e-3


def run(*words: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "search", *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def trial_of_card(paths: SweepPaths) -> str:
    """Id of the trial that the model card names."""
    found = re.search(r"[Tt]rial (\d{4})", paths.model_card.read_text())
    assert found is not None
    return found[1]


def fault(paths: SweepPaths) -> str:
    """What is wrong with the export after a kill; empty if nothing is."""
    split = pd.read_csv(paths.split)
    root = Path(json.loads(paths.dataset.read_text())["root"])
    files = [root / name for name in split[split["split"] == "test"]["path"]]
    out = SCRATCH / "killed" / "predicted.parquet"
    if run("predict", paths.export, *files, "--out", out).wait():
        return "predict failed"
    trial = trial_of_card(paths)
    member = json.loads(paths.metrics.read_text())["members"][0]["trial_id"]
    if member != trial:
        return f"the card names {trial}, the metrics {member}"
    predicted = pd.read_parquet(out).filter(like="p.").to_numpy()
    tested = pd.read_parquet(paths.predictions).filter(like="p.").to_numpy()
    difference = np.abs(predicted - tested).max()
    return f"predictions differ by {difference:.2g}" if difference > TOLERANCE else ""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sweep", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    args = parser.parse_args()
    folder = fresh(SCRATCH / "killed")
    paths = SweepPaths(Path(shutil.copytree(args.sweep, folder / "sweep")))
    trials = [trial.trial_id for trial in read_trials(paths.journal) if not trial.repeat][:2]
    words = [["retrain", paths.root, "--trial", trials[0]]]
    words += [["export", paths.root], ["retrain", paths.root, "--trial", trials[1]]]
    seconds = []
    for each in words:  # how long each takes
        began = time.monotonic()
        assert run(*each).wait() == 0
        seconds.append(time.monotonic() - began)
    faults, models = [], []
    random.seed(0)
    for number in range(args.kills):
        which = number % len(words)
        process = run(*words[which])
        time.sleep(random.uniform(0.2, 1.0) * seconds[which])
        process.kill()
        process.wait()
        faults.append(fault(paths))
        models.append(trial_of_card(paths))
        print(number, words[which], models[-1], faults[-1], file=sys.stderr)
    changes = sum(a != b for a, b in pairwise(models))
    wrong = [each for each in faults if each]
    write_table(
        "killed_retraining",
        "Retrainings and exports under kill -9",
        "python -m tests.benchmarks.killed_retraining SWEEP",
        [
            f"`retrain` (of two trials in turn) and `export`, killed {args.kills} times after 20% "
            "to 100% of the time that they take undisturbed. After each kill, the export's "
            "predictions of the test images were compared with those of the test of the trial that "
            "its card names.",
            "",
            "| | |",
            "| --- | --- |",
            f"| kills | {args.kills} |",
            f"| after which another model was in place than before | {changes} |",
            f"| after which card, metrics and predictions disagreed | {len(wrong)} |",
            f"| what was wrong | {'; '.join(wrong) or 'nothing'} |",
        ],
        rounds=False,
    )


if __name__ == "__main__":
    main()
