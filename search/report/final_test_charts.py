"""Charts and tables of the final model's test."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from matplotlib.ticker import PercentFormatter
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve
from threadpoolctl import threadpool_limits

from search.record import FinalModel
from search.report.charts import COLOUR_MAP, COLOURS, GREY, MARKERS, Chart, shorten
from search.report.html import Block, Picture, Table
from spaces.wording import counted
from trainables.evaluation import (
    Predictions,
    bootstrap_intervals,
    calibration_curve,
    wilson_interval,
)

MAX_CURVES = 8
"""Largest number of classes with a curve, or with a colour of their own in the t-SNE map."""
MAX_NAMED_CLASSES = 40
"""Largest number of classes whose names are written beside a confusion matrix."""
MAX_COUNTED_CLASSES = 12
"""Largest number of classes whose counts are written into a confusion matrix."""
MAX_MAP_IMAGES = 1000
"""Largest number of images in the t-SNE map."""
MAX_CONFUSIONS = 10
"""Largest number of confusions in the table."""
_SQUARE_INCHES = 4.4
"""Height of a chart whose axes are about square."""


class Confusion(NamedTuple):
    """Images of one class that the model predicts as another class."""

    true: str
    predicted: str
    images: int
    share: float
    """``images`` divided by all images of the true class."""


def final_test_blocks(
    predictions: Predictions, final: FinalModel, features: np.ndarray | None
) -> list[Block]:
    """All charts and tables of the final model's test.

    ``features`` are ``(n, d)`` inputs of the classifier layer, for the t-SNE map. The curves are
    left out unless two classes or more have test images; the map is left out unless there are more
    than ten images.
    """
    blocks: list[Block] = [_metrics_table(predictions, final), _confusion_picture(predictions)]
    if len(np.unique(predictions.labels)) > 1:
        blocks += [_roc_picture(predictions), _precision_recall_picture(predictions)]
    blocks.append(_reliability_picture(predictions))
    if features is not None and len(predictions.labels) > 10 and _varies(features):
        blocks.append(_map_picture(predictions, features))
    blocks.append(_per_class_table(predictions, final))
    if len(predictions.classes) > 2 and (confusions := most_frequent_confusions(predictions)):
        rows = tuple((c.true, c.predicted, str(c.images), f"{c.share:.1%}") for c in confusions)
        columns = ("true class", "predicted class", "images", "share of the true class")
        blocks.append(Table("The most frequent confusions.", columns, rows))
    return blocks


def most_frequent_confusions(predictions: Predictions) -> list[Confusion]:
    """The most frequent confusions; ties are ordered by true class, then predicted class."""
    classes, matrix = predictions.classes, predictions.confusion
    class_sizes = matrix.sum(axis=1)
    errors = matrix * (1 - np.eye(len(classes), dtype=int))
    pairs = [(true, predicted) for true, predicted in np.argwhere(errors).tolist()]
    pairs.sort(key=lambda pair: (-errors[pair], *pair))
    return [
        Confusion(
            classes[true],
            classes[predicted],
            int(errors[true, predicted]),
            errors[true, predicted] / class_sizes[true],
        )
        for true, predicted in pairs[:MAX_CONFUSIONS]
    ]


def _metrics_table(predictions: Predictions, final: FinalModel) -> Table:
    test = final.test
    bootstrap = bootstrap_intervals(predictions.probabilities, predictions.labels)
    low, high = test.accuracy_ci95
    rows = [
        ("accuracy", f"{test.accuracy:.4f}", f"{low:.4f} to {high:.4f}", "Wilson"),
        (
            "balanced accuracy",
            f"{test.balanced_accuracy:.4f}",
            *_interval_cells(bootstrap.balanced_accuracy),
        ),
        ("macro F1", f"{test.macro_f1:.4f}", *_interval_cells(bootstrap.macro_f1)),
    ]
    if test.roc_auc is not None:
        mean = " (one-vs-rest mean)" if len(predictions.classes) > 2 else ""
        rows.append((f"ROC AUC{mean}", f"{test.roc_auc:.4f}", *_interval_cells(bootstrap.roc_auc)))
    if final.rates is not None:
        for name, value, (low, high) in final.rates.rows:
            rows.append((name, f"{value:.4f}", f"{low:.4f} to {high:.4f}", "Wilson"))
    error = calibration_curve(predictions.probabilities, predictions.labels).error
    rows.append(("expected calibration error", f"{error:.4f}", "", ""))
    constant = "accuracy of always predicting the most frequent class"
    rows.append((constant, f"{final.majority_accuracy:.4f}", "", ""))
    caption = (
        f"Metrics on {len(predictions.labels)} test images. The intervals account for the choice "
        "of test images, not for the randomness of training."
    )
    return Table(caption, ("metric", "value", "95% interval", "method"), tuple(rows))


def _interval_cells(interval: tuple[float, float] | None) -> tuple[str, str]:
    """Cells for a bootstrap interval and its method; 200 resamples warrant three decimals only."""
    return ("", "") if interval is None else ("{:.3f} to {:.3f}".format(*interval), "bootstrap")


def _confusion_picture(predictions: Predictions) -> Picture:
    correct = int(np.trace(predictions.confusion))
    worst = "; ".join(
        f"{c.images} {c.true} predicted as {c.predicted}"
        for c in most_frequent_confusions(predictions)[:3]
    )
    return confusion_chart(predictions).picture(
        f"Confusion matrix: {correct} of {len(predictions.labels)} test images are classified "
        "correctly" + (f"; {worst}." if worst else "."),
        "Confusion matrix: numbers of test images, coloured by their share of the true class.",
    )


def confusion_chart(predictions: Predictions) -> Chart:
    """The confusion matrix: counts as text, coloured by their share of the true class."""
    matrix, names = predictions.confusion, shorten(predictions.classes, 18)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    chart = Chart(height_inches=_SQUARE_INCHES)
    image = chart.axes.imshow(shares, cmap=COLOUR_MAP, vmin=0, vmax=1)
    chart.axes.grid(False)
    if len(names) <= MAX_NAMED_CLASSES:
        size = 9 if len(names) <= 20 else 6
        chart.axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=size)
        chart.axes.set_yticks(range(len(names)), names, fontsize=size)
    if len(names) <= MAX_COUNTED_CLASSES:
        for (row, column), count in np.ndenumerate(matrix):
            colour = "black" if shares[row, column] > 0.55 else "white"
            chart.axes.text(column, row, count, ha="center", va="center", color=colour, fontsize=9)
    chart.axes.set(xlabel="predicted class", ylabel="true class")
    bar = chart.figure.colorbar(image, ax=chart.axes, format=PercentFormatter(1), shrink=0.8)
    bar.set_label("share of the true class")
    return chart


def _curve_classes(predictions: Predictions) -> list[int]:
    """Numbers of the classes whose curves are drawn.

    Of two classes, it is the class with fewer test images, or the first if both have as many. Of
    more classes, it is those of lowest recall that have test images, `MAX_CURVES` at most.
    """
    if len(predictions.classes) == 2:
        return [int(np.bincount(predictions.labels, minlength=2).argmin())]
    matrix = predictions.confusion
    recalls = np.diag(matrix) / np.maximum(matrix.sum(axis=1), 1)
    present = np.unique(predictions.labels).tolist()
    return sorted(sorted(present, key=lambda k: (recalls[k], k))[:MAX_CURVES])


def _curve_note(predictions: Predictions) -> str:
    drawn, classes = _curve_classes(predictions), predictions.classes
    if len(classes) == 2:
        return f"The positive class is {classes[drawn[0]]}."
    if len(drawn) < len(classes):
        return (
            f"Each curve is one class against the rest, for the {len(drawn)} of {len(classes)} "
            "classes with the lowest recall."
        )
    return "Each curve is one class against the rest."


Curve = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, float]]
"""Function of ``(n,)`` true labels and scores; returns a curve's x and y, and a summary number."""


def _draw_curves(predictions: Predictions, curve: Curve) -> tuple[Chart, str]:
    """Draw a curve for each of `_curve_classes`; also return their summary numbers as text."""
    chart, numbers = Chart(height_inches=_SQUARE_INCHES), []
    for colour, k in zip(COLOURS, _curve_classes(predictions), strict=False):
        x, y, number = curve(predictions.labels == k, predictions.probabilities[:, k])
        name = predictions.classes[k]
        label = f"{shorten([name], 20)[0]} {number:.3f}"
        chart.axes.plot(x, y, color=colour, label=label)
        numbers.append(f"{name} {number:.3f}")
    chart.axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    return chart, ", ".join(numbers)


def _roc_picture(predictions: Predictions) -> Picture:
    def curve(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        false_positives, true_positives, _ = roc_curve(truth, scores)
        return false_positives, true_positives, auc(false_positives, true_positives)

    chart, areas = _draw_curves(predictions, curve)
    chart.axes.plot([0, 1], [0, 1], color=GREY, linestyle="--")
    chart.axes.set(xlabel="false positive rate", ylabel="true positive rate (sensitivity)")
    chart.legend()
    return chart.picture(
        f"ROC curves; area under the curve: {areas}.",
        f"ROC curves, with the areas under them. {_curve_note(predictions)}",
    )


def _precision_recall_picture(predictions: Predictions) -> Picture:
    def curve(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        precision, recall, _ = precision_recall_curve(truth, scores)
        return recall, precision, average_precision_score(truth, scores)

    chart, averages = _draw_curves(predictions, curve)
    chart.axes.set(xlabel="recall (sensitivity)", ylabel="precision")
    chart.legend()
    return chart.picture(
        f"Precision-recall curves; average precision: {averages}.",
        f"Precision-recall curves, with their average precision. {_curve_note(predictions)}",
    )


def _reliability_picture(predictions: Predictions) -> Picture:
    """Reliability diagram (Guo et al. 2017), with a histogram of the confidence."""
    calibration = calibration_curve(predictions.probabilities, predictions.labels)
    bins, filled = len(calibration.images), calibration.images > 0
    chart = Chart(height_inches=_SQUARE_INCHES)
    chart.axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="perfectly calibrated")
    confidence, accuracy = calibration.confidence[filled], calibration.accuracy[filled]
    chart.axes.plot(confidence, accuracy, color=COLOURS[0], marker="o", label="model")
    histogram = chart.axes.twinx()
    histogram.bar((np.arange(bins) + 0.5) / bins, calibration.images, 1 / bins, color="#E1E5EA")
    histogram.set(ylabel="images", ylim=(0, 4 * calibration.images.max()))
    histogram.grid(False)
    histogram.spines["right"].set_visible(True)
    chart.axes.set_zorder(histogram.get_zorder() + 1)
    chart.axes.patch.set_visible(False)
    lowest_confidence = 1 / len(predictions.classes)
    chart.axes.set(xlabel="confidence", ylabel="accuracy", ylim=(-0.02, 1.02))
    chart.axes.set_xlim(max(0.0, lowest_confidence - 0.05), 1.01)
    chart.legend()
    mean_confidence = predictions.probabilities.max(axis=1).mean()
    mean_accuracy = predictions.correct.mean()
    low, high = wilson_interval(int(predictions.correct.sum()), len(predictions.labels))
    verdict = "as confident as it is accurate, within the interval of its accuracy"
    if mean_confidence > high:
        verdict = "overconfident"
    elif mean_confidence < low:
        verdict = "less confident than it could be"
    numbers = (
        f"mean confidence {mean_confidence:.3f}, accuracy {mean_accuracy:.3f}, expected "
        f"calibration error {calibration.error:.3f}"
    )
    return chart.picture(
        f"Reliability diagram: {numbers}.",
        f"Reliability diagram: accuracy in {bins} bins of confidence, and the number of images in "
        f"each bin. The model is {verdict} ({numbers}).",
    )


def _map_picture(predictions: Predictions, features: np.ndarray) -> Picture:
    """t-SNE map of ``(n, d)`` features (van der Maaten and Hinton 2008), after PCA to 50 dims."""
    rng, count = np.random.default_rng(0), len(predictions.labels)
    chosen = np.sort(rng.choice(count, min(count, MAX_MAP_IMAGES), replace=False))
    positions = _tsne(features[chosen].astype(np.float32))
    labels, correct = predictions.labels[chosen], predictions.correct[chosen]
    chart = Chart(height_inches=_SQUARE_INCHES)
    by_size = np.argsort(-np.bincount(labels, minlength=len(predictions.classes)), kind="stable")
    coloured = sorted(k for k in by_size[:MAX_CURVES].tolist() if (labels == k).any())
    others = ~np.isin(labels, coloured)
    if others.any():
        chart.axes.plot(*positions[others].T, ".", color=GREY, markersize=4, label="other classes")
    for colour, marker, k in zip(COLOURS, MARKERS, coloured, strict=False):
        name = shorten([predictions.classes[k]], 20)[0]
        points = positions[labels == k].T
        chart.axes.plot(*points, marker, color=colour, markersize=4, alpha=0.75, label=name)
    wrong = positions[~correct].T
    chart.axes.plot(*wrong, "o", mfc="none", mec="black", markersize=9, label="misclassified")
    chart.axes.set(xticks=[], yticks=[])
    chart.axes.spines[["left", "bottom"]].set_visible(False)
    chart.legend()
    sample = f" It shows {len(chosen)} of {count} images." if len(chosen) < count else ""
    return chart.picture(
        f"t-SNE map of {len(chosen)} test images by their features; "
        f"{counted(int((~correct).sum()), 'misclassified image')} circled.",
        "t-SNE map of the test images by their features, the inputs of the classifier layer. "
        "Images close together look alike to the model; distances between groups mean little."
        f"{sample}",
    )


def _varies(features: np.ndarray) -> bool:
    """Whether ``(n, d)`` features can be mapped: all are finite, and some differ.

    scikit-learn's t-SNE ends the process if all images have the same features.
    """
    return bool(np.isfinite(features).all() and (features != features[0]).any())


def _tsne(features: np.ndarray) -> np.ndarray:
    """Positions ``(n, 2)`` of ``(n, d)`` features on the map."""
    perplexity = min(30.0, (len(features) - 1) / 3)
    with threadpool_limits(1):  # several threads wait for one another on a busy machine
        reduced = PCA(min(50, *features.shape), random_state=0).fit_transform(features)
        tsne = TSNE(perplexity=perplexity, init="pca", random_state=0)
        return np.asarray(tsne.fit_transform(reduced))


def _per_class_table(predictions: Predictions, final: FinalModel) -> Table:
    rows = []
    for k, name in enumerate(predictions.classes):
        scores, of_class = final.test.per_class[name], predictions.labels == k
        images, correct = int(of_class.sum()), int(predictions.correct[of_class].sum())
        recall, interval = "no test images", ""
        if images:
            recall = f"{scores['recall']:.3f}"
            low, high = wilson_interval(correct, images)
            interval = f"{low:.3f} to {high:.3f}"
        precision, f1 = f"{scores['precision']:.3f}", f"{scores['f1']:.3f}"
        rows.append((name, precision, recall, interval, f1, str(images)))
    columns = ("class", "precision", "recall", "95% interval of recall", "F1", "test images")
    return Table("Metrics of each class, with Wilson intervals.", columns, tuple(rows))
