"""Chart of the dataset: images per class and split."""

import numpy as np

from search.report.charts import COLOURS, Chart, shorten
from search.report.html import Picture
from trainables.data import Dataset
from trainables.listing import SPLITS

MAX_CLASSES = 30
"""Largest number of classes in the chart."""


def class_balance_picture(dataset: Dataset) -> Picture:
    """Stacked bars of the images per class and split; the largest class is on top."""
    counts = {split: dataset.counts(split) for split in SPLITS}
    totals = {name: sum(counts[split][name] for split in SPLITS) for name in dataset.classes}
    names = sorted(totals, key=lambda name: -totals[name])[:MAX_CLASSES][::-1]
    chart = Chart(height_inches=max(2.4, 1.4 + 0.26 * len(names)))
    left = np.zeros(len(names))
    for split, colour in zip(SPLITS, COLOURS, strict=False):
        images = np.array([counts[split][name] for name in names])
        chart.axes.barh(range(len(names)), images, left=left, color=colour, label=split)
        left += images
    chart.axes.set_yticks(range(len(names)), shorten(names))
    chart.axes.set(xlabel="images")
    chart.axes.grid(axis="y", visible=False)
    chart.legend()
    largest, smallest = max(totals, key=totals.__getitem__), min(totals, key=totals.__getitem__)
    if totals[largest] == totals[smallest]:
        span, balance = f"{totals[largest]} in each", "all classes are equally large"
    else:
        span = f"from {totals[smallest]} of {smallest} to {totals[largest]} of {largest}"
        ratio = totals[largest] / totals[smallest]
        balance = f"{largest} has {ratio:.1f} times the images of {smallest}"
    left_out = len(totals) - len(names)
    note = f" The {left_out} smallest classes are left out." if left_out else ""
    if left_out == 1:
        note = " The smallest class is left out."
    return chart.picture(
        f"Images per class: {span}.", f"Images per class and split; {balance}.{note}"
    )
