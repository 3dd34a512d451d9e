"""The final model of sweeps whose `retrain`, `export` and `resume` are killed at random moments.

    python -m tests.benchmarks.killed_retraining [--kills 20] [--resume-kills 20] [--seed 0]

A sweep of four trials of an untrained test model over scanned digits is run undisturbed. On a copy
of it, `finesweep retrain --trial ID`, with another trial each time, and `finesweep export` are
killed with -9. A launch of the same sweep is killed when three trials are done; `finesweep resume`
of copies of it is killed with -9 and started again until it ends. Half of these copies already have
the final model of another trial. After each kill, what is handed over is compared with its own
card, metrics and predictions.
"""

import argparse
import json
import math
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from safetensors.numpy import load_file

from search.record import SweepPaths, read_trials
from tests.benchmarks.measuring import ROOT, SCRATCH, fresh, write_table
from trainables.inference import Predictor
from trainables.replacement import staging_folder

TOLERANCE = 1e-3
MOST_KILLS = 4
"""Largest number of kills of one copy before a resume is left to end."""
SPACE = """
image_size = 32
batch_size = 32
backbone = "test_efficientnet"
unfreeze = 1.0
[learning_rate]
low = 1e-5
high = 1e-2
log = true
"""
RATES = (1e-5, 3e-3, 1e-3, 6e-3)
"""Learning rates of the trials; the first is too low to win."""
CLASSES = 4
"""Number of digits that are told apart."""
REPEATS = 4
"""Two of each of the two best trials."""
FOLDER = SCRATCH / "killed"


def run(*words: object, log: Path | None = None) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own; its standard error goes to the file ``log``."""
    command = [sys.executable, "-m", "search", *map(str, words)]
    with (log or Path("/dev/null")).open("ab") as said:
        return subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True
        )


def run_whole(*words: object) -> float:
    """Run a command to its end; its seconds."""
    log, began = FOLDER / "whole.err", time.monotonic()
    log.unlink(missing_ok=True)
    assert run(*words, log=log).wait() == 0, log.read_text()
    return time.monotonic() - began


def make_sweep(name: str) -> tuple[SweepPaths, subprocess.Popen[bytes]]:
    """Launch the sweep."""
    (FOLDER / "space.toml").write_text(SPACE)
    (FOLDER / "points.json").write_text(json.dumps([{"learning_rate": rate} for rate in RATES]))
    words = ["launch", FOLDER / "digits", "--space", FOLDER / "space.toml"]
    words += ["--points", FOLDER / "points.json", "--weights", "untrained", "--trials", len(RATES)]
    words += ["--max-epochs", 2, "--stopping", "none", "--confirm", 2, "--name", name]
    words += ["--results-dir", FOLDER, "--cache-dir", FOLDER / "cache"]
    return SweepPaths(FOLDER / name), run(*words, log=FOLDER / f"{name}.err")


def copy(sweep: SweepPaths, name: str) -> SweepPaths:
    return SweepPaths(Path(shutil.copytree(sweep.root, FOLDER / name)))


def kill(process: subprocess.Popen[bytes], *, with_ray: bool) -> list[psutil.Process]:
    """Kill -9 a driver, or it and all processes that it started; returns these processes."""
    started = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for child in started if with_ray else []:
        with suppress(psutil.NoSuchProcess):
            child.send_signal(signal.SIGKILL)
    process.wait()
    return started


def seconds_until_gone(processes: Sequence[psutil.Process]) -> float:
    """Wait for processes to end; infinity if one has not after five minutes."""
    began = time.monotonic()
    _, left = psutil.wait_procs(processes, timeout=300)
    return math.inf if left else time.monotonic() - began


def trial_of_card(paths: SweepPaths) -> str:
    """Id of the trial that the model card names; empty if there is no card."""
    if not paths.model_card.exists():
        return ""
    found = re.search(r"[Tt]rial (\d{4})", paths.model_card.read_text())
    assert found is not None
    return found[1]


def fault(paths: SweepPaths) -> str:
    """What is wrong with the model that is handed over; empty if nothing is, or if none is."""
    split = pd.read_csv(paths.split)
    root = Path(json.loads(paths.dataset.read_text())["root"])
    files = [root / name for name in split[split["split"] == "test"]["path"]]
    out = FOLDER / "predicted.parquet"
    status = run("predict", paths.export, *files, "--out", out).wait()
    if not (trial := trial_of_card(paths)):
        left = [str(each.name) for each in (paths.export, paths.metrics) if each.exists()]
        return f"{', '.join(left)} without a card" if left else ""
    if status:
        return "predict failed"
    metrics = json.loads(paths.metrics.read_text())
    member = metrics["members"][0]["trial_id"]
    if member != trial:
        return f"the card names {trial}, the metrics {member}"
    if f"| accuracy | {metrics['test']['accuracy']:.4f} |" not in paths.model_card.read_text():
        return "the card has another accuracy than the metrics"
    tested = pd.read_parquet(paths.predictions).filter(like="p.").to_numpy()
    predicted = {"predict": pd.read_parquet(out).filter(like="p.").to_numpy()}
    for name in ("model.onnx", "model.pt2"):
        predicted[name] = Predictor.load(paths.export / name).predict(files).probabilities
    differences = {name: np.abs(values - tested).max() for name, values in predicted.items()}
    wrong = [f"{name} by {d:.2g}" for name, d in differences.items() if d > TOLERANCE]
    return f"predictions differ: {', '.join(wrong)}" if wrong else ""


# Retrainings and exports


def kill_retrainings(finished: SweepPaths, kills: int, chance: random.Random) -> list[str]:
    """Kill `retrain` and `export` of a copy; the rows of the table."""
    paths = copy(finished, "retrained")
    words = [["retrain", paths.root, "--trial", "0001"]]
    words += [["export", paths.root], ["retrain", paths.root, "--trial", "0003"]]
    seconds = [run_whole(*each) for each in words]
    faults, models = [], []
    for number in range(kills):
        which = number % len(words)
        process = run(*words[which])
        with suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.2, 1.0) * seconds[which])
        process.kill()
        process.wait()
        faults.append(fault(paths))
        models.append(trial_of_card(paths))
        print(number, words[which][0], models[-1], faults[-1], file=sys.stderr)
    changes = sum(a != b for a, b in pairwise(models))
    wrong = [each for each in faults if each]
    return [
        f"| kills | {kills} |",
        f"| after which another model was in place than before | {changes} |",
        f"| after which card, metrics and predictions disagreed | {len(wrong)} |",
        f"| what was wrong | {'; '.join(wrong) or 'nothing'} |",
    ]


# Resumes


@dataclass(frozen=True)
class Kill:
    """A kill of a resume, and what was found after it."""

    stage: str
    with_ray: bool
    handed_over: str
    """Whether the model in place is "none", the "old" one or the "new" one."""
    fault: str
    gone: Future[float]
    """Seconds until all processes of the resume were gone."""


def stage(paths: SweepPaths, log_before: int, began: float) -> str:
    """What a resume was doing when it was killed, by its log and the files that it left."""
    log = paths.log.read_text()[log_before:]
    exporting = staging_folder(paths.staged.export)
    if "test accuracy" in log:
        return "report"
    if exporting.exists() and exporting.stat().st_mtime > began:
        return "export"
    done = sum(trial.status == "completed" for trial in read_trials(paths.journal))
    if "resumed: " not in log or paths.staged.metrics.exists():
        return "start"
    if done < len(RATES):
        return "last trial"
    return "repeats" if done < len(RATES) + REPEATS else "retraining and test"


def bases_of_resumes(finished: SweepPaths) -> list[SweepPaths]:
    """The sweep when three of its four trials were done, and when all trials and repeats were done.

    Of each, a copy without a final model, and one with that of trial 0000.
    """
    begun, launch = make_sweep("begun")
    while sum(trial.status == "completed" for trial in read_trials(begun.journal)) < 3:
        assert launch.poll() is None, (FOLDER / "begun.err").read_text()
        time.sleep(0.1)
    kill(launch, with_ray=True)
    searched = copy(finished, "searched")
    shutil.rmtree(searched.retrained)
    shutil.rmtree(searched.export)
    searched.report.unlink()
    bases = [begun, searched]
    for base in (begun, searched):
        bases.append(copy(base, f"{base.root.name}-with-model"))
        run_whole("retrain", bases[-1].root, "--trial", "0000")
    return bases


def kill_resumes(
    bases: Sequence[SweepPaths],
    finished: SweepPaths,
    kills: int,
    chance: random.Random,
    seconds: Sequence[float],
) -> tuple[list[Kill], list[str]]:
    """Kill resumes of copies of ``bases`` in turn, and let each copy's last resume end.

    Each kill comes after 20% to 100% of the ``seconds`` that a resume of the base takes. The next
    resume does not wait for Ray's processes. Returns the kills, and for each copy how its final
    model differs from that of the undisturbed sweep; empty if it does not.
    """
    differences: list[str] = []
    found: list[Kill] = []
    with ThreadPoolExecutor() as pool:
        while len(found) < kills:
            of = len(differences)
            paths = copy(bases[of % len(bases)], f"resumed-{of}")
            of_copy = 0
            while True:
                log_before, at = len(paths.log.read_text()), time.time()
                resume = run("resume", paths.root, log=FOLDER / "resume.err")
                spared = len(found) == kills or of_copy == MOST_KILLS
                with suppress(subprocess.TimeoutExpired):
                    limit = chance.uniform(0.2, 1.0) * seconds[of % len(bases)]
                    resume.wait(None if spared else limit)
                if resume.poll() is not None:
                    assert resume.returncode == 0, (FOLDER / "resume.err").read_text()
                    break
                with_ray = len(found) % 2 == 0
                gone = pool.submit(seconds_until_gone, kill(resume, with_ray=with_ray))
                of_copy += 1
                doing, wrong = stage(paths, log_before, at), fault(paths)
                model = {"": "none", "0000": "old"}.get(trial_of_card(paths), "new")
                found.append(Kill(doing, with_ray, model, wrong, gone))
                print(f"resume {of}", doing, with_ray, model, wrong, file=sys.stderr)
            differences.append(fault(paths) or difference(paths, finished))
            print(f"resume {of} ended: {differences[-1]!r}", file=sys.stderr)
    return found, differences


def difference(paths: SweepPaths, other: SweepPaths) -> str:
    """How the final model of a sweep differs from that of another; empty if it does not."""
    ours, theirs = (json.loads(each.metrics.read_text()) for each in (paths, other))
    if ours != theirs:
        return "metrics.json differs"
    weights, expected = load_file(paths.final_weights), load_file(other.final_weights)
    most = max(float(np.abs(weights[name] - expected[name]).max()) for name in expected)
    return f"weights differ by {most:.2g}" if most else ""


def rows_of_resumes(found: Sequence[Kill], differences: Sequence[str]) -> list[str]:
    """The rows of the table of killed resumes."""
    alone = [each.gone.result() for each in found if not each.with_ray]
    stages = Counter(each.stage for each in found)
    models = Counter(each.handed_over for each in found)
    wrong = [each.fault for each in found if each.fault]
    changed = [each for each in differences if each]
    return [
        f"| kills | {len(found)}: {len(alone)} of the driver alone, "
        f"{len(found) - len(alone)} of it and all processes that it had started |",
        f"| what the resume was doing | {', '.join(f'{n} {s}' for s, n in stages.items())} |",
        f"| model that was in place | {', '.join(f'{n} {m}' for m, n in models.items())} |",
        f"| after which card, metrics, exports and predictions disagreed | {len(wrong)} |",
        f"| what was wrong | {'; '.join(wrong) or 'nothing'} |",
        f"| copies whose last resume ended | {len(differences)} of {len(differences)} |",
        f"| final models that differ from the undisturbed sweep's | {len(changed)} |",
        f"| how they differ | {'; '.join(changed) or 'not at all: weights are equal bit by bit'} |",
        f"| longest time until Ray had ended by itself, when the driver alone was killed | "
        f"{max(alone, default=0):.1f} s |",
    ]


def main() -> None:
    """Kill, compare, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--resume-kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    fresh(FOLDER)
    digits = [sys.executable, ROOT / "examples" / "datasets.py", "digits", FOLDER / "digits"]
    subprocess.run(digits, check=True, stdout=subprocess.DEVNULL)
    for other in range(CLASSES, 10):
        shutil.rmtree(FOLDER / "digits" / str(other))
    finished, launch = make_sweep("undisturbed")
    assert launch.wait() == 0, (FOLDER / "undisturbed.err").read_text()
    chance = random.Random(args.seed)
    bases = bases_of_resumes(finished)
    timed = [copy(base, f"{base.root.name}-timed") for base in bases[:2]]
    seconds = [run_whole("resume", each.root) for each in timed]
    resumed = kill_resumes(bases, finished, args.resume_kills, chance, [*seconds, *seconds])
    retrained = kill_retrainings(finished, args.kills, chance)
    write_table(
        "killed_retraining",
        "Retrainings, exports and resumes under kill -9",
        "python -m tests.benchmarks.killed_retraining",
        [
            "A sweep of four trials of an untrained test model over 720 digits, whose two best "
            "are repeated twice. `resume` of copies that were killed when three trials were done "
            "was killed after 20% to 100% of the time that it takes undisturbed, and started "
            "again until it ended; every second copy had the final model of trial 0000 already. "
            "After each kill, the predictions of the test images by `predict`, the ONNX file and "
            "the PT2 file were compared with those of the test, and the card with metrics.json.",
            "",
            "| `resume` | |",
            "| --- | --- |",
            *rows_of_resumes(*resumed),
            "",
            f"`retrain` (of two trials in turn) and `export`, killed {args.kills} times after 20% "
            "to 100% of the time that they take undisturbed:",
            "",
            "| `retrain`, `export` | |",
            "| --- | --- |",
            *retrained,
            "",
            "The files are moved within milliseconds, so kills seldom fall into that moment; "
            "tests/trainables/test_replacement.py ends the process at each step of it.",
        ],
        rounds=False,
    )


if __name__ == "__main__":
    main()
