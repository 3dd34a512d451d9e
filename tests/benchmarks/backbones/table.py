"""Makes spaces/backbones.csv, the table of the backbones that `backbone = "auto"` stands for.

    python -m tests.benchmarks.backbones.table [--folder DIR]

The rows are the backbones of the presets, those with weights in Python packages, and those of the
recorded fine-tunes, up to 260 pixels, whose weights allow commercial use.
"""

import argparse
import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import timm

from spaces import SearchSpace, preset_names
from spaces.known_backbones import TABLE
from tests.benchmarks.backbones.__main__ import SHARED
from tests.benchmarks.backbones.fine_tunes import FineTunes, timm_name
from tests.test_presets import COMMERCIAL, cost, licence
from trainables.models import Preprocessing
from trainables.models.weights import WEIGHT_PACKAGES

MAX_IMAGE_SIZE = 260
FEWEST_LEARNED = 8
"""A model whose fine-tunes learned on fewer sets counts as not recorded: the rate did not suit it,
so the others fell short too."""
COLUMNS = (
    "backbone",
    "architecture",
    "pixels",
    "parameters_millions",
    "gmacs",
    "imagenet_top1",
    "fine_tunes",
    "promise",
)
SOURCES = """\
# Backbones that backbone = "auto" stands for; python -m tests.benchmarks.backbones.table makes it.
# parameters_millions, gmacs: measured with timm at the backbone's own image size (pixels), with a
# head of two classes.
# imagenet_top1: percent at the nearest size; huggingface/pytorch-image-models,
# results/results-imagenet.csv (Apache-2.0).
# fine_tunes: number of image sets on which a recorded fine-tune learned, if 8 or more;
# zLizy/transferability_graph, doc/ftrecords_img.csv (no licence stated).
# promise: points. The mean of those fine-tunes relative to the means of the sets, drawn the nearer
# to a line through imagenet_top1 the fewer there are. Without either, 0.
"""


def effects(tunes: FineTunes) -> tuple[np.ndarray, float]:
    """``(m,)`` effect of each model in points, and the variance that models and sets leave.

    Accuracy is taken as the sum of a model's and a set's effect; the latter are centred.
    """
    model = np.zeros(len(tunes.models))
    for _ in range(100):
        image_set = np.nanmean(tunes.accuracy - model[:, None], axis=0)
        model = np.nan_to_num(np.nanmean(tunes.accuracy - image_set, axis=1))
    return model, float(np.nanvar(tunes.accuracy - model[:, None] - image_set))


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=SHARED, help="folder of the tables")
    folder = parser.parse_args().folder
    tunes = FineTunes.read(folder / "finetunes_of_backbones.parquet").without_failures()
    effect, noise = effects(tunes)
    counts = (~np.isnan(tunes.accuracy)).sum(axis=1)
    in_timm = timm.list_pretrained()
    recorded = {
        name: (effect[i], int(counts[i]) if counts[i] >= FEWEST_LEARNED else 0)
        for i in tunes.published
        if (name := timm_name(tunes.models[i])) in in_timm
    }
    presets = [b for preset in preset_names() for b in SearchSpace.load(preset).backbones]
    names = sorted({*recorded, *presets, *WEIGHT_PACKAGES})
    sizes = {name: Preprocessing.of(name).image_size for name in names}
    names = [n for n in names if sizes[n] <= MAX_IMAGE_SIZE and licence(n) in COMMERCIAL]
    results = pd.read_csv(folder / "timm_results_imagenet.csv")
    top1 = {}
    for name in names:
        rows = results[results.model.isin([name, f"{name}.in1k"])]
        nearest = rows.loc[(rows.img_size - sizes[name]).abs().sort_values().index]
        top1[name] = float(nearest.top1.iloc[0]) if len(nearest) else float("nan")
    rated = [name for name in names if name in recorded and recorded[name][1] and top1[name] > 0]
    accuracy = np.array([top1[name] for name in rated])
    means, weights = np.array([recorded[name] for name in rated]).T
    line = np.polyfit(accuracy, means, deg=1, w=np.sqrt(weights))
    spread = max(float(np.var(means - np.polyval(line, accuracy))) - noise / weights.mean(), 1.0)
    middle = float(np.mean([np.polyval(line, value) for value in top1.values() if value > 0]))
    rows = []
    for name in names:
        guess = float(np.polyval(line, top1[name])) if top1[name] > 0 else middle
        mean, count = recorded.get(name, (0.0, 0))
        promise = (count * mean + noise / spread * guess) / (count + noise / spread)
        parameters, gmacs = cost(name, sizes[name])
        architecture = timm.model_entrypoint(name.partition(".")[0]).__module__.rpartition(".")[2]
        rating = f"{top1[name]:.1f}" if top1[name] > 0 else ""
        values = [f"{parameters:.1f}", f"{gmacs:.3g}", rating, count, f"{promise - middle:.1f}"]
        rows.append([name, architecture, sizes[name], *values])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    TABLE.write_text(SOURCES + text.getvalue(), encoding="utf-8")
    print(f"line {line}, noise {noise:.1f}, spread {spread:.1f}, {len(rows)} backbones")


if __name__ == "__main__":
    main()
