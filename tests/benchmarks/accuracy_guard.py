"""B6, accuracy guard: accuracy with four stored views per image, and with a new view every epoch.

python -m tests.benchmarks.accuracy_guard [--seeds 5]
"""

import argparse
import statistics

import numpy as np
from scipy import stats

from spaces import TrialParams
from tests.benchmarks.feature_store import STORE, run
from tests.benchmarks.measuring import ROOT, SCRATCH, fresh, write_table
from trainables.data import SplitSpec, survey_images
from trainables.models import find_weights
from trainables.process import configure_process


def guard(seeds: int) -> list[str]:
    """Lines of the table: accuracy with stored and with new views, and their difference."""
    weights = find_weights("tf_efficientnet_lite0", "pretrained", cache=SCRATCH / "survey")
    lines = [
        "Accuracy guard: best validation accuracy over 8 epochs, EfficientNet-Lite0 at 96 px, "
        f"augmentation strength 0.3, {seeds} seeds (each for the split and the trial). Stored: 4 "
        "views per image, features in float16 (the default). New: another view in every epoch, "
        "nothing stored. The difference is in percentage points, with its 95% interval.",
        "",
        "| images | unfreeze | stored | new | difference, points (95%) | aim |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in ("elpv", "foods"):
        for unfreeze in (0.0, 0.2):
            params = TrialParams(
                backbone=weights.backbone, image_size=96, unfreeze=unfreeze, learning_rate=2e-3
            )
            best: dict[str, list[float]] = {"kept": [], "fresh": []}
            for seed in range(seeds):
                data = ROOT / "data" / name
                dataset = survey_images(
                    data, cache=SCRATCH / "survey", split=SplitSpec(seed=seed)
                ).dataset
                for label, views, store in (("kept", 4, STORE), ("fresh", None, None)):
                    reports = run(
                        dataset, params, weights, epochs=8, views=views, store=store, seed=seed
                    )
                    best[label].append(max(report.val_accuracy for report in reports))
            apart = 100 * (np.array(best["kept"]) - np.array(best["fresh"]))
            half = stats.t.ppf(0.975, seeds - 1) * stats.sem(apart)
            kept, new = (statistics.mean(best[label]) for label in ("kept", "fresh"))
            lines.append(
                f"| {name} | {unfreeze:g} | {kept:.4f} | {new:.4f} | {apart.mean():+.2f} "
                f"({apart.mean() - half:+.2f} to {apart.mean() + half:+.2f}) | within 0.5 |"
            )
    return lines


def main() -> None:
    """Run every seed and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    configure_process(threads=1)
    fresh(STORE.cache)
    write_table(
        "accuracy_guard",
        "B6: the accuracy guard",
        "python -m tests.benchmarks.accuracy_guard",
        guard(args.seeds),
    )


if __name__ == "__main__":
    main()
