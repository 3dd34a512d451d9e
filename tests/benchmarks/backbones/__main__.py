"""Picks among sixty backbones for an image set, by fine-tunes on fifteen others.

    python -m tests.benchmarks.backbones [--folder DIR]

Reads the tables of shared/curves, or those of another folder, and writes
results/benchmarks/backbones.md.
"""

import argparse
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from tests.benchmarks.backbones.fine_tunes import FEWEST_SETS, FULL_SET_RATIO, FineTunes, timm_name
from tests.benchmarks.backbones.leave_one_out import (
    DRAWN,
    GRID,
    MEAN_RANK,
    OURS,
    PICKS,
    PUBLISHED,
    RANDOM,
    SIZE,
    WITH_IMAGENET,
    LeaveOneOut,
)
from tests.benchmarks.backbones.prior import Constants
from tests.benchmarks.measuring import ROOT, write_table

SHARED = ROOT.parent / "shared" / "curves"
"""Folder of the tables that came with the project."""

_PREFACE = """\
The fine-tunes are those of zLizy/transferability_graph (`doc/ftrecords_img.csv`; no licence is
stated): 25 epochs on 16 image sets, at a learning rate of 0.01. {models} models have records of at
least {fewest} sets. {published} of them are published backbones; the others are fine-tunes of these
by users of the Hugging Face hub. Accuracies are those on the test images, in points. Three kinds of
records are left out: those at a rate of 0.1; those that took more than {ratio} times the model's
usual seconds (three sets were recorded both whole and, by their times, as about 1,000 images); and
lone records of clevr, dsprites and smallnorb, of each of which two tasks were recorded under one
name (their mean counts). ImageNet accuracies are timm's (huggingface/pytorch-image-models,
`results/results-imagenet.csv`, Apache-2.0).

Each set is left out in turn. Picks are made from three kinds of families: the published backbones,
those of them whose ImageNet accuracy is known ({rated}), and {drawn} times {size} of all models,
drawn anew for each set. The regret is the number of points by which the best pick lies below the
best of the family. Median, greatest and mean are over the 16 sets; for drawn families, each is
averaged over the families.

*Ours* is a Gaussian over the accuracies of all models on the new set. Its mean is each model's mean
on the other sets. Its covariance has low-rank factors of model x set, a part that models of one
architecture share (architectures are read off the models' names), and a level that all models
share. *In turn*: each pick has the highest expected improvement given the accuracies of those
before it; the first one has the highest mean. *All at once*: no result on the set is known; the
picks have the highest expected maximum. *One-hot*: the same means and level, but no factors, and
nothing that architectures share. *Means from ImageNet accuracy*: the same covariance, but the means
lie on a line through the ImageNet accuracies of the published backbones, as for backbones without a
record.

Three constants are chosen for each set by leaving out each of the other 15 as well, from {grid}
combinations, for the least mean regret of five picks from the published and two drawn families:
the number of points below a set's best at which an accuracy is capped, the rank, and the variance
of architectures as a multiple of the residual one. That accuracies are compared in points and not
by rank, and that architectures share a part, was decided with all sets in view."""

_FAILURES = """\
At one fixed rate a fine-tune learns or fails, and that decides most of these figures. Here a
fine-tune counts as one that learned if it is more than half of the way from the least accuracy of
its set (2nd percentile) to the best (95th). The backbones with the highest ImageNet accuracy, BEiT
and the ConvNeXts of ImageNet-22k, fail most often at this rate. This is why ImageNet accuracy is
anti-correlated, and why a model's mean over these records says how much of a rate it bears more
than how good it is where rates are searched."""


def imagenet_accuracy(folder: Path, tunes: FineTunes) -> np.ndarray:
    """``(m,)`` ImageNet top-1 accuracy of each model at its least size, NaN where unknown."""
    table = pd.read_csv(folder / "timm_results_imagenet.csv").sort_values("img_size")
    top1 = table.drop_duplicates("model").set_index("model")["top1"].to_dict()
    return np.array([top1.get(timm_name(model), np.nan) for model in tunes.models])


def _summary(regrets: np.ndarray) -> str:
    """Median, greatest and mean of ``(families, sets)`` regrets, each averaged over families."""
    median, worst = np.median(regrets, axis=1).mean(), regrets.max(axis=1).mean()
    return f"{median:.1f} | {worst:.1f} | {regrets.mean():.1f}"


def _text_of(constants: Constants) -> str:
    return f"{constants.depth:g}, {constants.rank}, {constants.kinship:g}"


def _all_pickers(bench: LeaveOneOut) -> Iterator[str]:
    head = (f"{name}: median | worst | mean" for name in ("published", "rated", "drawn"))
    yield f"| | picks | {' | '.join(head)} |"
    yield "| --- |" + " --- |" * 10
    families = ([PUBLISHED], [WITH_IMAGENET], DRAWN)
    sets = range(len(bench.tunes.sets))
    for count, (name, pick) in product(PICKS, bench.pickers().items()):
        cells = [_summary(bench.regrets(pick, count, each, sets)) for each in families]
        yield f"| {name} | {count} | {' | '.join(cells)} |"


def _by_set(bench: LeaveOneOut) -> Iterator[str]:
    sets, pickers = range(len(bench.tunes.sets)), bench.pickers()
    columns = {
        name: bench.regrets(pickers[name], PICKS[0], [PUBLISHED], sets)[0]
        for name in (RANDOM, MEAN_RANK, OURS)
    }
    drawn = bench.regrets(pickers[OURS], PICKS[0], DRAWN, sets).mean(axis=0)
    rho = bench.correlations()
    yield (
        f"| set | best published | {' | '.join(columns)} | {OURS}, drawn | "
        f"{' | '.join(f'rho of {name}' for name in rho)} | constants |"
    )
    yield "| --- |" + " --- |" * (len(columns) + len(rho) + 3)
    for s, name in enumerate(bench.tunes.sets):
        models = bench.family(PUBLISHED, s)
        best = bench.tunes.models[models[np.argmax(bench.tunes.accuracy[models, s])]]
        cells = [f"{each[s]:.1f}" for each in (*columns.values(), drawn)]
        cells += [f"{each[s]:+.2f}" for each in rho.values()]
        yield f"| {name} | {best} | {' | '.join(cells)} | {_text_of(bench.constants_for(s))} |"


def _halves(bench: LeaveOneOut) -> Iterator[str]:
    yield (
        "| constants of | cap, rank, architectures | regret on | published: median | worst | mean "
        "| drawn: median | worst | mean |"
    )
    yield "| --- |" + " --- |" * 8
    names, sets = ("the even sets", "the odd sets"), range(len(bench.tunes.sets))
    for half in (0, 1):
        constants, scored = bench.best_constants(sets[half::2]), sets[1 - half :: 2]
        pick = bench.in_turn(constants)
        cells = [
            _summary(bench.regrets(pick, PICKS[0], families, scored))
            for families in ([PUBLISHED], DRAWN)
        ]
        text = f"{names[half]} | {_text_of(constants)} | {names[1 - half]}"
        yield f"| {text} | {' | '.join(cells)} |"


def _correlations(bench: LeaveOneOut) -> str:
    each = (
        f"{name} {np.nanmedian(rho):+.2f} ({np.nanmin(rho):+.2f} to {np.nanmax(rho):+.2f})"
        for name, rho in bench.correlations().items()
    )
    return (
        "Spearman's correlation with the accuracy on the set left out, over the published "
        "backbones whose ImageNet accuracy is known; median (least to most) of 16 sets: "
        f"{', '.join(each)}."
    )


def _failures(tunes: FineTunes) -> Iterator[str]:
    recorded = ~np.isnan(tunes.accuracy[tunes.published])
    learned = ~np.isnan(tunes.without_failures().accuracy[tunes.published])
    kinds = tunes.architectures[tunes.published]
    yield "| architecture | backbones | fine-tunes that learned |"
    yield "| --- | --- | --- |"
    for kind in sorted(set(kinds)):
        rows = kinds == kind
        share = learned[rows].sum() / recorded[rows].sum()
        yield f"| {kind.strip('-')} | {rows.sum()} | {100 * share:.0f}% |"


def main() -> None:
    """Write results/benchmarks/backbones.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=SHARED, help="folder of the tables")
    folder = parser.parse_args().folder
    tunes = FineTunes.read(folder / "finetunes_of_backbones.parquet")
    imagenet = imagenet_accuracy(folder, tunes)
    every = LeaveOneOut(tunes, imagenet)
    learned = LeaveOneOut(tunes.without_failures(), imagenet)
    preface = _PREFACE.format(
        models=len(tunes.models),
        fewest=FEWEST_SETS,
        published=len(tunes.published),
        rated=(~np.isnan(imagenet[tunes.published])).sum(),
        ratio=FULL_SET_RATIO,
        drawn=len(DRAWN),
        size=SIZE,
        grid=len(GRID),
    )
    sections = [
        [preface, "", "## All fine-tunes", "", *_all_pickers(every)],
        [_correlations(every)],
        ["Constants chosen on eight sets, and scored on the other eight:", "", *_halves(every)],
        ["By set, five picks among the published backbones:", "", *_by_set(every)],
        ["## What these fine-tunes measure", "", _FAILURES, "", *_failures(tunes)],
        ["## Only fine-tunes that learned", "", "The others count as not recorded."],
        [*_all_pickers(learned)],
        [_correlations(learned)],
    ]
    write_table(
        "backbones",
        "Backbones: picks for an image set, by fine-tunes on fifteen others",
        "python -m tests.benchmarks.backbones",
        [line for section in sections for line in (*section, "")][:-1],
        rounds=False,
    )


if __name__ == "__main__":
    main()
