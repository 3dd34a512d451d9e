"""How much of a winner's validation score is luck, with and without repeats of the best trials.

    python -m tests.benchmarks.winners_luck FOLDER... [--sweeps 7] [--trials 50] [--images 240]

Every FOLDER has a folder per class. A sweep draws images to train and to validate on, and random
points; the test images are all others. Only heads are trained, on kept features, so that a trial
takes a second. No Ray and no early stopping: trials, repeats, the choice of the winner and its
retraining are those of a sweep.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import optuna

from search.config import SweepConfig
from search.final.retrain import retrain_member
from search.final.selection import EnsembleMember
from search.ranking import pending_repeats, select_winner
from search.ranking.repeats import confirmed_scores
from search.record import Repeat, TrialRecord
from search.trial import TrialJob
from spaces import SearchSpace, TrialParams
from tests.benchmarks.cross_validation import draw
from tests.benchmarks.fixed_trials import link_weights
from tests.benchmarks.measuring import SCRATCH, write_table
from trainables.data import Dataset, build_store, survey_images
from trainables.models import Preprocessing, find_weights
from trainables.process import configure_process

METRIC, EPOCHS, MOST_TESTED, WORKERS = "val_accuracy", 6, 500, 2
WAYS = {
    "best score": None,
    "other seeds": False,
    "other seeds and images": True,
}
"""Ways to choose a winner: whether repeats have other validation images; None without repeats."""
SPACE = SearchSpace.load("demo").with_fixed(unfreeze=0.0, augment=0.0)


@dataclass(frozen=True)
class Winner:
    """The winner of a sweep."""

    score: float
    """Validation accuracy: of its best round or, if it was repeated, the mean of the repeats."""
    test: float
    """Test accuracy, after retraining on all images but these."""
    seconds: float
    """Time of the repeats, as a share of the time of the trials."""


def few_images(folder: Path, images: int, seed: int) -> Dataset:
    """So many images to train (4 in 5) and validate on, and the others to test on."""
    whole = survey_images(folder, cache=SCRATCH / "survey").dataset
    train, val, others = draw(whole.labels, min(images, len(whole) // 2), seed)
    splits = np.full(len(whole), "", dtype="<U5")
    splits[train], splits[val], splits[others[:MOST_TESTED]] = "train", "val", "test"
    return replace(whole, splits=splits, val_is_drawn=True)


class SmallSweep:
    """The trials of a sweep, run one after the other in this process."""

    def __init__(self, folder: Path, images: int, trials: int, seed: int) -> None:
        config = SweepConfig.parse(
            {
                "data": folder,
                "metric": METRIC,
                "max_epochs": EPOCHS,
                "seed": seed,
                "precision": "fp32",
                "cache_dir": SCRATCH / "luck",
            }
        )
        dataset, form = few_images(folder, images, seed), Preprocessing.of(SPACE.backbones[0])
        pixels = form.pixel_format(96, "squash")
        self.job = TrialJob(
            config,
            dataset,
            {pixels: build_store(dataset, pixels, cache=config.cache_dir)},
            {
                name: find_weights(name, str(SCRATCH / "weights"), cache=config.cache_dir)
                for name in SPACE.backbones
            },
            on_gpu=False,
        )
        self._tested: dict[int, float] = {}
        """Test accuracies by the number of the trial."""
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        self.trials = [self._run(number, _point_of(study.ask())) for number in range(trials)]

    def winners(self) -> Iterator[Winner]:
        """The winner in each of the `WAYS`."""
        for has_other_images in WAYS.values():
            repeats = [] if has_other_images is None else self._repeats(has_other_images)
            trials = [*self.trials, *repeats]
            winner = select_winner(trials, METRIC)
            best = winner.best(METRIC)
            assert best is not None
            scores = confirmed_scores(trials, METRIC).get(winner.number, [best.val_accuracy])
            seconds = sum(trial.seconds for trial in repeats)
            share = seconds / sum(trial.seconds for trial in self.trials)
            yield Winner(float(np.mean(scores)), self._test_accuracy(winner), share)

    def _test_accuracy(self, winner: TrialRecord) -> float:
        """Test accuracy of a trial's point, retrained on all other images."""
        if winner.number not in self._tested:
            member = retrain_member(self.job, EnsembleMember(winner), threads=1)
            labels = self.job.dataset.labels[self.job.dataset.rows("test")]
            right = member.probabilities.argmax(axis=1) == labels
            self._tested[winner.number] = float(right.mean())
        return self._tested[winner.number]

    def _repeats(self, has_other_images: bool) -> list[TrialRecord]:
        validation = self.job.validation
        if not has_other_images:
            validation = replace(validation, parts=())
        pending = pending_repeats(self.trials, self.job.config, validation)
        return [
            self._run(len(self.trials) + place, self.trials[repeat.of].params, repeat)
            for place, repeat in enumerate(pending)
        ]

    def _run(self, number: int, params: TrialParams, repeat: Repeat | None = None) -> TrialRecord:
        tuning, reports = self.job.begin(params, repeat), []
        while not tuning.ended:
            reports.append(tuning.run_round())
        return TrialRecord(number, params, "completed", tuple(reports), "", repeat)


def _point_of(trial: optuna.Trial) -> TrialParams:
    """The point of `SPACE` that a sampler proposes."""
    drawn = SPACE.draw(lambda case, dimension: dimension.suggest(trial, case.name))
    return SPACE.params(drawn, native_image_size={})


def winners_of(task: tuple[Path, int, int, int]) -> list[Winner]:
    """The winner of a sweep in each of the `WAYS`."""
    return list(SmallSweep(*task).winners())


def table_lines(found: dict[str, list[list[Winner]]]) -> list[str]:
    """A row for each way and set, and for all sweeps."""
    everything = {**found, "all": [sweep for sweeps in found.values() for sweep in sweeps]}
    lines = [
        "| set | sweeps | winner by | test accuracy | points more | score minus test, points | "
        "worst | repeats' share of the trials' time |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, sweeps in everything.items():
        first = np.mean([winners[0].test for winners in sweeps])
        for way, winners in zip(WAYS, zip(*sweeps, strict=True), strict=True):
            test = np.mean([winner.test for winner in winners])
            luck = [100 * (winner.score - winner.test) for winner in winners]
            share = np.mean([winner.seconds for winner in winners])
            lines.append(
                f"| {name} | {len(sweeps)} | {way} | {test:.4f} | {100 * (test - first):+.2f} | "
                f"{np.mean(luck):+.1f} | {max(luck):+.1f} | {share:.0%} |"
            )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all sweeps, and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--sweeps", type=int, default=7)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--images", type=int, default=240)
    args = parser.parse_args(arguments)
    link_weights(3)
    tasks = [
        (folder.absolute(), args.images, args.trials, seed)
        for seed in range(args.sweeps)
        for folder in args.folders
    ]
    found: dict[str, list[list[Winner]]] = {folder.name: [] for folder in args.folders}
    context = multiprocessing.get_context("spawn")
    initializer = partial(configure_process, threads=1)
    with ProcessPoolExecutor(WORKERS, context, initializer) as pool:
        for task, winners in zip(tasks, pool.map(winners_of, tasks), strict=True):
            found[task[0].name].append(winners)
            print(task[0].name, task[3], winners, file=sys.stderr, flush=True)
    introduction = (
        f"Sweeps of {args.trials} random points of the space demo, {EPOCHS} epochs at 96 px, heads "
        f"alone, without early stopping; {args.images} images (or half of the set), 4 in 5 to "
        f"train on and the others to validate on; tested on at most {MOST_TESTED} others after "
        "retraining. The winner has the best score of all trials, or the best mean of two "
        "repeats: with other seeds, or with other seeds and validated on other "
        "parts of the training images. Who is repeated, how often and for how long is what a "
        "sweep decides by itself. Score minus test is how much better the winner looked than it "
        "was, by its best score or by the mean."
    )
    folders = " ".join(folder.name for folder in args.folders)
    command = f"python -m tests.benchmarks.winners_luck {folders} --sweeps {args.sweeps}"
    lines = [introduction, "", *table_lines(found)]
    write_table("winners_luck", "The luck of winners", command, lines, rounds=False)


if __name__ == "__main__":
    main()
