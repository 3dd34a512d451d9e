"""B6: speed of epochs with stored features against recomputed ones, and the error in the loss.

python -m tests.benchmarks.feature_store
"""

from spaces import TrialParams
from tests.benchmarks.measuring import (
    ROOT,
    SCRATCH,
    alternate,
    fresh,
    ratios,
    spread,
    write_table,
)
from trainables.data import Dataset, ImageSet, build_store, survey_images
from trainables.inputs import FeatureStore
from trainables.models import Preprocessing, Weights, find_weights
from trainables.process import configure_process
from trainables.training import (
    ComputeSettings,
    FineTuneSettings,
    FineTuning,
    RoundReport,
    finetune,
)

STORE = FeatureStore(SCRATCH / "features-bench", 2**36)


def run(
    dataset: Dataset,
    params: TrialParams,
    weights: Weights,
    *,
    epochs: int,
    views: int | None,
    store: FeatureStore | None,
    seed: int = 0,
) -> list[RoundReport]:
    """Run a fine-tune in float32, and return the reports of its epochs."""
    form = Preprocessing.of(params.backbone).pixel_format(params.image_size, params.fit)
    pixels = build_store(dataset, form, cache=SCRATCH / "pixels")
    tuning = FineTuning(
        params,
        weights,
        num_classes=len(dataset.classes),
        train=ImageSet.of(dataset, pixels, "train"),
        val=ImageSet.of(dataset, pixels, "val"),
        settings=FineTuneSettings(max_epochs=epochs, views=views, seed=seed),
        compute=ComputeSettings(precision="fp32", store=store),
    )
    return list(finetune(tuning))


def by_depth(dataset: Dataset) -> list[str]:
    """Speed with stored and recomputed features, by the unfrozen part of ResNet-18."""
    lines = [
        f"ResNet-18 (untrained) at 128 px, batch 32, float32, one thread, "
        f"{len(dataset.rows('train'))} training images of ELPV, augmentation strength 0.3 with one "
        "view, features in float16. Training images per second of the last epoch, with its "
        "validation.",
        "",
        "| unfrozen | stored, images/s | recomputed, images/s | speed-up | aim |",
        "| --- | --- | --- | --- | --- |",
    ]
    untrained = Weights("resnet18", "none", None)
    for name, unfreeze, aim in (
        ("head only", 0.0, 200),
        ("last stage", 2 / 9, 1.8),
        ("last two stages", 4 / 9, 1.3),
    ):
        params = TrialParams(backbone="resnet18", image_size=128, unfreeze=unfreeze)

        def rate(store: FeatureStore | None, epochs: int, params: TrialParams = params) -> float:
            last = run(dataset, params, untrained, epochs=epochs, views=1, store=store)[-1]
            return len(dataset.rows("train")) / last.seconds

        rates = alternate({"kept": lambda: rate(STORE, 3), "computed": lambda: rate(None, 2)})
        gain = ratios(rates["kept"], rates["computed"])
        lines.append(
            f"| {name} | {spread(rates['kept'])} | {spread(rates['computed'])} | "
            f"**{spread(gain, 3)}** | {aim} |"
        )
    return lines


def errors(dataset: Dataset) -> list[str]:
    """Relative difference in loss between stored and recomputed features."""
    weights = find_weights("tf_efficientnet_lite0", "pretrained", cache=SCRATCH / "survey")
    lines = [
        "Largest relative difference in an epoch's training or validation loss from the same trial "
        "without stored features; EfficientNet-Lite0 at 96 px, 4 epochs, 2 views. Columns: "
        "precision of the stored features.",
        "",
        "| unfreeze | float32 | float16 |",
        "| --- | --- | --- |",
    ]
    for unfreeze in (0.0, 0.2, 0.45):
        params = TrialParams(backbone=weights.backbone, image_size=96, unfreeze=unfreeze)
        plain = run(dataset, params, weights, epochs=4, views=2, store=None)
        cells = []
        for dtype in ("float32", "float16"):
            store = FeatureStore(STORE.cache, STORE.budget_bytes, dtype)  # type: ignore[arg-type]
            kept = run(dataset, params, weights, epochs=4, views=2, store=store)
            pairs = [
                (getattr(a, key), getattr(b, key))
                for a, b in zip(kept, plain, strict=True)
                for key in ("train_loss", "val_loss")
            ]
            cells.append(f"{max(abs(a / b - 1) for a, b in pairs):.1e}")
        lines.append(f"| {unfreeze:g} | {cells[0]} | {cells[1]} |")
    return lines


def main() -> None:
    """Run both parts and write the table."""
    configure_process(threads=1)
    fresh(STORE.cache)
    dataset = survey_images(ROOT / "data" / "elpv", cache=SCRATCH / "survey").dataset
    lines = [*by_depth(dataset), "", *errors(dataset)]
    write_table(
        "feature_store",
        "B6: the feature store",
        "python -m tests.benchmarks.feature_store",
        lines,
    )


if __name__ == "__main__":
    main()
