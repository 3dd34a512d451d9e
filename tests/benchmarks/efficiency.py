"""B2: share of the workers' time that is pure training, without stored features.

    python -m tests.benchmarks.efficiency

Efficiency E = sum of the trials' bare times / (workers x wall time of the search). A trial's bare
time is that of the same steps in `bare_loop`. Plain Ray Tune is measured for comparison.
"""

import json
import os
import subprocess
import sys

from ray import tune

from search.cluster import connect_to_ray
from search.record import read_trials
from spaces import TrialParams
from tests.benchmarks.bare_loop import WORKERS, bare_seconds, bare_times
from tests.benchmarks.fixed_trials import link_weights, points
from tests.benchmarks.measuring import (
    ROOT,
    SCRATCH,
    alternate,
    fresh,
    ratios,
    seconds,
    split_folder,
    spread,
    write_table,
)

EPOCHS, TRIALS, IMAGES = 3, 8, 800


def main() -> None:
    """Run the bare loops, Finesweep and plain Ray Tune in turn, and write the table."""
    folder, dataset = split_folder("elpv", IMAGES)
    train, val = len(dataset.rows("train")), len(dataset.rows("val"))
    chosen = [p for p in points() if p["unfreeze"]][:TRIALS]
    trials = [TrialParams.parse(point) for point in chosen]
    work = fresh(SCRATCH / "efficiency")
    (work / "points.json").write_text(json.dumps(chosen))
    weights = link_weights(2)
    amount = {"train": train, "val": val, "classes": 2, "epochs": EPOCHS}
    connect_to_ray("local")

    def bare() -> float:
        return sum(bare_times(trials, **amount))

    def ours() -> float:
        results = fresh(work / "results")
        command = [sys.executable, "-m", "search", "launch", str(folder), "--space", "demo"]
        command += ["--points", str(work / "points.json"), "--trials", str(TRIALS)]
        command += ["--stopping", "none", "--max-epochs", str(EPOCHS), "--no-retrain"]
        command += ["--features", "off", "--precision", "fp32", "--weights", str(weights)]
        command += ["--cache-dir", str(work / "cache"), "--results-dir", str(results)]
        command += ["--concurrent", str(WORKERS), "--name", "ours"]
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        assert len(read_trials(results / "ours" / "study.journal")) == TRIALS
        profile = json.loads((results / "ours" / "profile.json").read_text())
        return float(profile["stages"]["search"])

    def plain() -> float:
        def trainable(config: dict[str, TrialParams]) -> None:
            tune.report({"seconds": bare_seconds(config["params"], **amount)})

        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            param_space={"params": tune.grid_search(trials)},
            run_config=tune.RunConfig(storage_path=str(fresh(work / "plain")), verbose=0),
        )
        return seconds(tuner.fit)

    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    seconds_of = alternate({"bare": bare, "ours": ours, "plain": plain})
    lines = [
        f"{TRIALS} trials of {EPOCHS} epochs on {train} images of ELPV at 96 px, none head-only, "
        f"{WORKERS} workers, float32, no stored features. E is the bare loops' time over the "
        "workers' time. Finesweep augments images, but does not decode (an earlier sweep did). "
        "Plain Ray Tune runs the bare loop, which reuses one batch in memory and does not augment. "
        f"The bare loops take {spread(seconds_of['bare'], 3)} s in all.",
        "",
        "| | wall time of the search, s | E | aim |",
        "| --- | --- | --- | --- |",
    ]
    for name, label in (("ours", "Finesweep"), ("plain", "plain Ray Tune with the bare loop")):
        share = ratios(seconds_of["bare"], [WORKERS * wall for wall in seconds_of[name]])
        aim = "0.9" if name == "ours" else ""
        lines.append(
            f"| {label} | {spread(seconds_of[name], 3)} | **{spread(share, 2)}** | {aim} |"
        )
    write_table("efficiency", "B2: efficiency", "python -m tests.benchmarks.efficiency", lines)


if __name__ == "__main__":
    main()
