"""Finesweep and its rivals on the same images, with the same weights, in equal wall time.

    python -m tests.benchmarks.rivals FOLDER... [--seconds 120] [--seeds 3] [--images 1000]
        [--test-images 600] [--go-on]

For every FOLDER (any folder of images) and seed there is one split. Finesweep runs first; each
rival then has ``--seconds``, or the time that Finesweep took if that was more. They run one after
another. With ``--go-on``, what ran in earlier calls with the same seconds and images is not run
again, and is in the table too. The packages of fastai and AutoGluon are installed at first use, in
environments of their own below the scratch folder.
"""

import argparse
import os
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

from tests.benchmarks.fixed_trials import link_weights
from tests.benchmarks.measuring import SCRATCH, fresh, write_table
from tests.benchmarks.rivals.contestants import RIVALS, NoModelError, run_finesweep
from tests.benchmarks.rivals.environments import NotInstalledError
from tests.benchmarks.rivals.protocol import Task
from tests.benchmarks.rivals.split import lay_out, score
from tests.benchmarks.rivals.table import (
    OURS,
    Outcome,
    add_outcomes,
    read_outcomes,
    table_lines,
)


def race(
    source: Path,
    weights: Path,
    *,
    seconds: float,
    images: int,
    test_images: int,
    seed: int,
    ran: Collection[str],
) -> Iterator[Outcome]:
    """Outcomes of Finesweep and then of every rival, on one split of a folder of images.

    Those in ``ran`` are left out.
    """
    work = fresh(SCRATCH / "rivals" / source.name / str(seed))
    folder = work / "images"
    lay_out(source, folder, images=images, test_images=test_images, seed=seed)
    for name, run in [(OURS, run_finesweep), *((rival.name, rival.run) for rival in RIVALS)]:
        if name in ran:
            continue
        out = fresh(work / name.replace(" ", "-")) / "answer.json"
        try:
            answer = run(Task(folder, weights, seconds, seed, out))
        except (NoModelError, NotInstalledError) as error:
            yield Outcome(source.name, name, seed, reason=str(error))
            continue
        if name == OURS:
            seconds = max(seconds, answer.seconds)
        yield Outcome(source.name, name, seed, answer, score(folder, answer.predictions))


def introduction(seconds: float, seeds: int, images: int, test_images: int, load: str) -> str:
    """How the table was made."""
    return (
        f"Seeds: {seeds}. Each draws a split of about {images} images of each set at most: 60% to "
        "train on, 20% to validate and 20% to test on, the same files for all; where a set has "
        f"more, the test has about {test_images} images. All start from the "
        "same ImageNet weights of EfficientNet-Lite 0 to 2. One runs at a time, on both cores. "
        f"The clock of each starts when its imports and Ray have started, and stops when its final "
        f"model exists, and Finesweep's when that has been tested and exported, too; rivals may "
        f"rehearse before it starts. Finesweep has --time-budget {seconds:g} and the seconds that "
        f"finesweep preflight takes for imports and Ray. The others have {seconds:g} s, or as long "
        "as Finesweep took if that is more. "
        "How each uses its time stands in tests/benchmarks/rivals. Accuracies are means (least to "
        f"most) over the seeds. Load average before the first run: {load}."
    )


def main() -> None:
    """Run every folder and seed; the table is written anew after every folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--test-images", type=int, default=600)
    parser.add_argument("--go-on", action="store_true")
    args = parser.parse_args()
    record = (
        SCRATCH
        / "rivals"
        / f"{args.seconds:g}-seconds-{args.images}-{args.test_images}-images.jsonl"
    )
    record.parent.mkdir(parents=True, exist_ok=True)
    if not args.go_on:
        record.unlink(missing_ok=True)
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    weights, outcomes = link_weights(3), read_outcomes(record)
    for folder in args.folders:
        for seed in range(args.seeds):
            ran = {o.contestant for o in outcomes if (o.image_set, o.seed) == (folder.name, seed)}
            for outcome in race(
                folder.absolute(),
                weights,
                seconds=args.seconds,
                images=args.images,
                test_images=args.test_images,
                seed=seed,
                ran=ran,
            ):
                print(outcome.image_set, seed, outcome.contestant, outcome.score, file=sys.stderr)
                add_outcomes(record, [outcome])
                outcomes.append(outcome)
        write_table(
            "rivals",
            "Rivals in equal wall time",
            f"python -m tests.benchmarks.rivals FOLDER... --seconds {args.seconds:g}",
            [
                introduction(args.seconds, args.seeds, args.images, args.test_images, load),
                "",
                *table_lines(outcomes),
            ],
            rounds=False,
        )


if __name__ == "__main__":
    main()
