"""Charts and tables of the final model's test."""

import numpy as np
from matplotlib.ticker import PercentFormatter
from scipy.stats import binomtest
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve
from threadpoolctl import threadpool_limits

from search.record import FinalModel
from search.report.charts import COLOURS, GREY, MAP, MARKERS, Chart, shortened
from search.report.html import Block, Picture, Table
from trainables.evaluation import Predictions, bootstrap_intervals, calibration_curve

SHOWN = 8
"""Classes that have a curve or a colour of their own."""
NAMED = 40
"""Classes, beyond which a confusion matrix has no names."""
MAPPED = 1000
"""Images of the map, at most."""


def blocks(tested: Predictions, final: FinalModel, features: np.ndarray | None) -> list[Block]:
    """All that there is to show; ``features`` is ``(n, d)`` before the classifier."""
    found: list[Block] = [_metrics(tested, final), _confusion(tested)]
    if len(np.unique(tested.labels)) > 1:
        found += [_roc(tested), _precision_recall(tested)]
    found.append(_reliability(tested))
    if features is not None and len(tested.labels) > 10:
        found.append(_map(tested, features))
    found.append(_per_class(tested, final))
    if len(tested.classes) > 2 and (mixed := mistakes(tested)):
        rows = [(a, b, str(count), f"{share:.1%}") for a, b, count, share in mixed]
        columns = ("true class", "taken for", "images", "of the class")
        found.append(Table("The most frequent mistakes.", columns, tuple(rows)))
    return found


def mistakes(tested: Predictions) -> list[tuple[str, str, int, float]]:
    """The ten most frequent: true class, predicted one, images, their share of the true class."""
    wrong = tested.confusion * (1 - np.eye(len(tested.classes), dtype=int))
    images = tested.confusion.sum(axis=1)
    pairs = np.argwhere(wrong).tolist()
    pairs.sort(key=lambda pair: -wrong[tuple(pair)])
    return [
        (tested.classes[a], tested.classes[b], int(wrong[a, b]), wrong[a, b] / images[a])
        for a, b in pairs[:10]
    ]


def _metrics(tested: Predictions, final: FinalModel) -> Table:
    test, drawn = final.test, bootstrap_intervals(tested.probabilities, tested.labels)
    low, high = test.accuracy_ci95
    rows = [
        ("accuracy", f"{test.accuracy:.4f}", f"{low:.4f} to {high:.4f}", "Wilson"),
        ("balanced accuracy", f"{test.balanced_accuracy:.4f}", *_drawn(drawn.balanced_accuracy)),
        ("macro F1", f"{test.macro_f1:.4f}", *_drawn(drawn.macro_f1)),
    ]
    if test.roc_auc is not None:
        mean = " (mean of one against the rest)" if len(tested.classes) > 2 else ""
        rows.append((f"ROC AUC{mean}", f"{test.roc_auc:.4f}", *_drawn(drawn.roc_auc)))
    if final.rates is not None:
        for name, value, (low, high) in final.rates.rows:
            rows.append((name, f"{value:.4f}", f"{low:.4f} to {high:.4f}", "Wilson"))
    error = calibration_curve(tested.probabilities, tested.labels).error
    rows.append(("expected calibration error", f"{error:.4f}", "", ""))
    rows.append(("accuracy of the constant answer", f"{final.majority_accuracy:.4f}", "", ""))
    caption = (
        f"Metrics on {len(tested.labels)} test images. The intervals say what other images of the "
        "same kind may give, not what another training may."
    )
    return Table(caption, ("metric", "value", "95% interval", "by"), tuple(rows))


def _drawn(interval: tuple[float, float] | None) -> tuple[str, str]:
    """Of 200 resamples more figures would mean nothing."""
    return ("", "") if interval is None else ("{:.3f} to {:.3f}".format(*interval), "bootstrap")


def _confusion(tested: Predictions) -> Picture:
    right = int(np.trace(tested.confusion))
    said = "; ".join(f"{count} {a} taken for {b}" for a, b, count, _ in mistakes(tested)[:3])
    return confusion_chart(tested).picture(
        f"Confusion matrix: {right} of {len(tested.labels)} are right"
        + (f"; {said}." if said else "."),
        "Confusion matrix of the test images: counts, coloured by their share of the true class.",
    )


def confusion_chart(tested: Predictions) -> Chart:
    """The confusion matrix, coloured."""
    matrix, names = tested.confusion, shortened(tested.classes, 18)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    chart = Chart(height=4.4)
    drawn = chart.axes.imshow(shares, cmap=MAP, vmin=0, vmax=1)
    chart.axes.grid(False)
    if len(names) <= NAMED:
        size = 9 if len(names) <= 20 else 6
        chart.axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=size)
        chart.axes.set_yticks(range(len(names)), names, fontsize=size)
    if len(names) <= 12:
        for (row, column), count in np.ndenumerate(matrix):
            colour = "black" if shares[row, column] > 0.55 else "white"
            chart.axes.text(column, row, count, ha="center", va="center", color=colour, fontsize=9)
    chart.axes.set(xlabel="predicted class", ylabel="true class")
    bar = chart.figure.colorbar(drawn, ax=chart.axes, format=PercentFormatter(1), shrink=0.8)
    bar.set_label("of the true class")
    return chart


def _curves_of(tested: Predictions) -> list[int]:
    """Classes to draw: of two the rarer one or the first, of many the worst."""
    present = np.unique(tested.labels)
    if len(tested.classes) == 2:
        return [int(np.bincount(tested.labels, minlength=2).argmin())]
    recalls = np.diag(tested.confusion) / np.maximum(tested.confusion.sum(axis=1), 1)
    worst = sorted(present.tolist(), key=lambda k: recalls[k])[:SHOWN]
    return sorted(worst)


def _of_which(tested: Predictions) -> str:
    drawn = _curves_of(tested)
    if len(tested.classes) == 2:
        return f"The positive class is {tested.classes[drawn[0]]}."
    if len(drawn) < len(tested.classes):
        return f"Each class against the rest; of {len(tested.classes)} the {len(drawn)} worst."
    return "Each class against the rest."


def _roc(tested: Predictions) -> Picture:
    chart, said = Chart(height=4.4), []
    drawn = _curves_of(tested)
    for place, k in enumerate(drawn):
        false, true, _ = roc_curve(tested.labels == k, tested.probabilities[:, k])
        area, name = auc(false, true), tested.classes[k]
        chart.axes.plot(
            false, true, color=COLOURS[place], label=f"{shortened([name], 20)[0]} {area:.3f}"
        )
        said.append(f"{name} {area:.3f}")
    chart.axes.plot([0, 1], [0, 1], color=GREY, linestyle="--")
    chart.axes.set(xlabel="false positive rate", ylabel="true positive rate (sensitivity)")
    chart.axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    chart.legend()
    return chart.picture(
        f"ROC curves with areas {', '.join(said)}.",
        f"ROC curves with the areas under them. {_of_which(tested)}",
    )


def _precision_recall(tested: Predictions) -> Picture:
    chart, said = Chart(height=4.4), []
    drawn = _curves_of(tested)
    for place, k in enumerate(drawn):
        truth, scores = tested.labels == k, tested.probabilities[:, k]
        precision, recall, _ = precision_recall_curve(truth, scores)
        mean, name = average_precision_score(truth, scores), tested.classes[k]
        chart.axes.plot(
            recall, precision, color=COLOURS[place], label=f"{shortened([name], 20)[0]} {mean:.3f}"
        )
        said.append(f"{name} {mean:.3f}")
    chart.axes.set(xlabel="recall (sensitivity)", ylabel="precision", xlim=(-0.01, 1.01))
    chart.axes.set_ylim(-0.01, 1.01)
    chart.legend()
    return chart.picture(
        f"Precision-recall curves with average precision {', '.join(said)}.",
        f"Precision-recall curves with their average precision. {_of_which(tested)}",
    )


def _reliability(tested: Predictions) -> Picture:
    found = calibration_curve(tested.probabilities, tested.labels)
    chart = Chart(height=4.4)
    chart.axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="perfectly calibrated")
    some = found.images > 0
    chart.axes.plot(
        found.confidence[some], found.accuracy[some], color=COLOURS[0], marker="o", label="model"
    )
    bars = chart.axes.twinx()
    width = 1 / len(found.images)
    bars.bar((np.arange(len(found.images)) + 0.5) * width, found.images, width, color="#E1E5EA")
    bars.set(ylabel="images", ylim=(0, 4 * found.images.max()))
    bars.grid(False)
    bars.spines["right"].set_visible(True)
    chart.axes.set_zorder(bars.get_zorder() + 1)
    chart.axes.patch.set_visible(False)
    lowest = 1 / len(tested.classes)
    chart.axes.set(xlabel="confidence", ylabel="share that is right", ylim=(-0.02, 1.02))
    chart.axes.set_xlim(max(0.0, lowest - 0.05), 1.01)
    chart.legend()
    mean, right = (
        tested.probabilities.max(axis=1).mean(),
        (tested.predicted == tested.labels).mean(),
    )
    sure = "surer than it is right" if mean > right else "no surer than it is right"
    return chart.picture(
        f"Reliability: mean confidence {mean:.3f}, accuracy {right:.3f}; expected calibration "
        f"error {found.error:.3f}.",
        f"Reliability in 15 bins of confidence, with the images in each: the model is {sure} "
        f"(mean confidence {mean:.3f}, accuracy {right:.3f}; expected calibration error "
        f"{found.error:.3f}).",
    )


def _map(tested: Predictions, features: np.ndarray) -> Picture:
    """t-SNE (van der Maaten and Hinton 2008), of the likest fifty directions."""
    rng, count = np.random.default_rng(0), len(tested.labels)
    some = np.sort(rng.choice(count, min(count, MAPPED), replace=False))
    kept = features[some].astype(np.float32)
    perplexity = min(30.0, (len(some) - 1) / 3)
    with threadpool_limits(1):  # threads that wait for one another make it slow beside a neighbour
        kept = PCA(min(50, *kept.shape), random_state=0).fit_transform(kept)
        places = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(kept)
    labels, right = tested.labels[some], (tested.predicted == tested.labels)[some]
    chart = Chart(height=4.4)
    often = np.argsort(-np.bincount(labels, minlength=len(tested.classes)), kind="stable")[:SHOWN]
    shown = sorted(k for k in often.tolist() if (labels == k).any())
    rest = ~np.isin(labels, shown)
    if rest.any():
        chart.axes.plot(*places[rest].T, ".", color=GREY, markersize=4, label="other classes")
    for place, k in enumerate(shown):
        here = labels == k
        chart.axes.plot(
            *places[here].T,
            MARKERS[place],
            color=COLOURS[place],
            markersize=4,
            alpha=0.75,
            label=shortened([tested.classes[k]], 20)[0],
        )
    chart.axes.plot(
        *places[~right].T, "o", mfc="none", mec="black", markersize=9, label="wrong answer"
    )
    chart.axes.set(xticks=[], yticks=[])
    chart.axes.spines[["left", "bottom"]].set_visible(False)
    chart.legend()
    few = f" {len(some)} of {count}, drawn at random." if len(some) < count else ""
    return chart.picture(
        f"Map of {len(some)} test images by what the model sees in them; {int((~right).sum())} "
        "wrong answers are circled.",
        "Map of the test images by their features before the classifier (t-SNE): near images look "
        f"alike to the model, distances between groups mean little.{few}",
    )


def _per_class(tested: Predictions, final: FinalModel) -> Table:
    rows = []
    for k, name in enumerate(tested.classes):
        found, mine = final.test.per_class[name], tested.labels == k
        images, right = int(mine.sum()), int((tested.predicted[mine] == k).sum())
        recall = f"{found['recall']:.3f}" if images else "none to find"
        span = ""
        if images:
            wilson = binomtest(right, images).proportion_ci(method="wilson")
            span = f"{wilson.low:.3f} to {wilson.high:.3f}"
        rows.append(
            (name, f"{found['precision']:.3f}", recall, span, f"{found['f1']:.3f}", str(images))
        )
    columns = ("class", "precision", "recall", "95% interval", "F1", "test images")
    return Table("Each class; the interval is of the recall (Wilson).", columns, tuple(rows))
