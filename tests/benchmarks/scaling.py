"""Efficiency of many raylets and of many trials, and the cost of a lost raylet. Trials only sleep.

    python -m tests.benchmarks.scaling          # B8: 1, 2 and 4 raylets; one of three is lost
    python -m tests.benchmarks.scaling --many   # B9: 10,000 trials of one second, eight workers;
                                                # a fifth as many with OptunaSearch

Efficiency E = total seconds of the trials / (workers x wall time).
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import ray
from ray import tune
from ray.cluster_utils import Cluster
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

import search.tuning.tuner
from search.config import SweepConfig
from search.planning import Plan, complete_plan, prepare_plan
from search.record import SweepPaths, read_trials
from search.trial import TrialJob
from search.tuning import fit_resources
from tests.benchmarks.measuring import SCRATCH, fresh, ratios, split_folder, spread, write_table
from trainables.training import RoundReport

EPOCH_SECONDS = 1.0


class Sleeping(search.tuning.tuner.FineTuneTrial):
    """Trial whose epochs only sleep. It has no checkpoint: a lost trial starts again."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._epoch = 0
        return True

    def step(self) -> dict[str, Any]:
        self._epoch += 1
        time.sleep(EPOCH_SECONDS)
        last = self._epoch == self._job.config.max_epochs
        score = random.random()
        epoch = self._epoch
        report = RoundReport(epoch, epoch, 0.5, 0.5, score, score, score, 1e-3, 1, 0, 0, 1, 1, last)
        return {**report.to_dict(), "done": last}


class StockSleeping(tune.Trainable):
    """The same trial, as a user of Ray Tune would write it."""

    def setup(self, config: dict[str, Any]) -> None:
        self._epoch = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._epoch = 0
        return True

    def step(self) -> dict[str, Any]:
        self._epoch += 1
        time.sleep(EPOCH_SECONDS)
        return {"val_accuracy": random.random(), "done": self._epoch == self.config["epochs"]}


def planned(trials: int, epochs: int) -> Plan:
    """Plan of a sweep over the demo space, without early stopping."""
    folder, _ = split_folder("elpv", 100)
    values = {"data": folder, "space": "demo", "trials": trials, "max_epochs": epochs}
    values |= {"stopping": "none", "gpus_per_trial": 0, "cache_dir": SCRATCH / "scaling"}
    values |= {"retrain": False}
    return complete_plan(prepare_plan(SweepConfig.parse(values)))


def ours(plan: Plan, name: str) -> float:
    """Wall seconds of a Finesweep search, without the start of Ray."""
    paths = SweepPaths(fresh(SCRATCH / name))
    job = TrialJob(plan.config, plan.survey.dataset, {}, plan.weights, on_gpu=False)
    resources = fit_resources(plan.config)
    search.tuning.tuner.FineTuneTrial = Sleeping  # type: ignore[misc]
    began = time.time()
    search.tuning.tuner.run_trials(job, replace(plan, points=()), paths, resources)
    wall = time.time() - began
    records = read_trials(paths.journal)
    assert len(records) == plan.config.trials
    assert all(record.status == "completed" for record in records), "none lost"
    return wall


def stock(trials: int, epochs: int, workers: int) -> float:
    """Wall seconds of the same trials with OptunaSearch, a class trainable and reused actors."""
    tuner = tune.Tuner(
        tune.with_resources(StockSleeping, {"cpu": 1}),
        param_space={
            "learning_rate": tune.loguniform(3e-4, 1e-2),
            "unfreeze": tune.uniform(0, 1),
            "epochs": epochs,
        },
        tune_config=tune.TuneConfig(
            metric="val_accuracy",
            mode="max",
            search_alg=OptunaSearch(seed=0),
            scheduler=ASHAScheduler(max_t=epochs),
            num_samples=trials,
            max_concurrent_trials=workers,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(storage_path=str(fresh(SCRATCH / "stock")), verbose=0),
    )
    began = time.time()
    tuner.fit()
    return time.time() - began


class Raylets:
    """Context manager for a local cluster of a head node without CPUs and several raylets."""

    def __init__(self, cpus: Sequence[int]) -> None:
        args = {"num_cpus": 0, "num_gpus": 0, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=args)
        self.nodes = [self._cluster.add_node(num_cpus=n, num_gpus=0) for n in cpus]

    def __enter__(self) -> "Raylets":
        ray.init(address=self._cluster.address, log_to_driver=False, logging_level="ERROR")
        return self

    def __exit__(self, *raised: object) -> None:
        ray.shutdown()
        self._cluster.shutdown()

    def lose_one(self) -> None:
        """Kill a raylet with its workers."""
        self._cluster.remove_node(self.nodes.pop(), allow_graceful=False)

    def join_one(self) -> None:
        """Start another raylet."""
        self.nodes.append(self._cluster.add_node(num_cpus=1, num_gpus=0))


def spread_over_raylets() -> list[str]:
    """Rows of E on 1, 2 and 4 raylets, from the difference between a short and a long sweep."""
    short, long = planned(8, 6), planned(32, 6)
    efficiencies: dict[int, list[float]] = {1: [], 2: [], 4: []}
    for _ in range(3):
        for raylets in efficiencies:
            with Raylets([1] * raylets):
                walls = [ours(plan, "scaling-results") for plan in (short, long)]
            efficiencies[raylets].append(24 * 6 * EPOCH_SECONDS / (raylets * (walls[1] - walls[0])))
            print(f"  {raylets} raylets: E {efficiencies[raylets][-1]:.3f}", file=sys.stderr)
    return [f"| {raylets} | {spread(values, 3)} |" for raylets, values in efficiencies.items()]


def lose_and_join() -> list[float]:
    """Ratio of wall times, with and without a loss, on three raylets.

    With: one raylet is killed after 15 s, and another one joins after 25 s.
    """
    plan = planned(24, 6)
    walls: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(3):
        for disturbed in walls:
            # Ray can add a node only from the main thread, so the sweep runs in another one.
            with Raylets([1] * 3) as raylets, ThreadPoolExecutor(1) as pool:
                running = pool.submit(ours, plan, "scaling-results")
                if disturbed:
                    time.sleep(15)
                    raylets.lose_one()
                    time.sleep(10)
                    raylets.join_one()
                walls[disturbed].append(running.result())
            print(f"  disturbed {disturbed}: {walls[disturbed][-1]:.1f} s", file=sys.stderr)
    return ratios(walls[True], walls[False])


def many(trials: int) -> None:
    """B9: efficiency of a sweep with very many trials."""
    searches = {
        "Finesweep": (trials, lambda n: ours(planned(n, 1), "scaling-many")),
        "OptunaSearch, ASHA, `reuse_actors=True`": (trials // 5, lambda n: stock(n, 1, 8)),
    }
    rows = []
    for name, (count, search_for) in searches.items():
        with Raylets([4, 4]):
            wall = search_for(count)
        efficiency = count * EPOCH_SECONDS / (8 * wall)
        rows.append(f"| {name} | {count} | {efficiency:.2f} | {wall:.0f} |")
        print(rows[-1], file=sys.stderr)
    write_table(
        "many_trials",
        "B9: very many trials",
        f"python -m tests.benchmarks.scaling --many --trials {trials}",
        [
            "Trials that sleep one second, eight workers on two raylets; one run each. E is the "
            "total sleep over workers times wall time; the aim is 0.9. The driver's memory is in "
            "decisions.md.",
            "",
            "| | trials | E | wall time, s |",
            "| --- | --- | --- | --- |",
            *rows,
        ],
    )


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--many", action="store_true")
    parser.add_argument("--trials", type=int, default=10_000)
    args = parser.parse_args()
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    random.seed(0)
    if args.many:
        many(args.trials)
        return
    lines = [
        "Trials sleep for six epochs of one second each. E is the ideal time of 24 trials over the "
        "difference in wall time between sweeps of 32 and of 8 trials.",
        "",
        "| raylets of one CPU | E |",
        "| --- | --- |",
        *spread_over_raylets(),
        "",
    ]
    cost = spread(lose_and_join(), 3)
    lines += [
        "24 such trials on three raylets sleep for 48 s. If one raylet is killed after 15 s and "
        f"another one joins after 25 s, the wall time is **{cost}** times that of an undisturbed "
        "sweep. The ten seconds without one raylet make up 0.07 of it; the killed trial also "
        "starts again, because these trials have no checkpoints.",
    ]
    write_table("scaling", "B8: scaling", "python -m tests.benchmarks.scaling", lines)


if __name__ == "__main__":
    main()
