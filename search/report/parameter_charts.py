"""Charts of what a search tried: scores against the parameters."""

import math

import numpy as np
import optuna
from matplotlib.collections import LineCollection

from search.report.charts import COLOURS, GREY, MAP, MARKERS, Chart, shortened
from search.report.html import Picture
from search.report.search_charts import Searched
from spaces import Choices, Range
from trainables.training import METRICS

FEWEST, MOST = 10, 300
"""Trials, below which nothing is said of the importance of parameters, and that it is told by."""


def pictures(searched: Searched) -> list[Picture]:
    """All that there are trials enough for; the wide one last, so that the others pair up."""
    drawn = [_by_backbone(searched)]
    if "unfreeze" in searched.space.open:
        drawn.append(_by_unfreeze(searched))
    if len(searched.trials) >= FEWEST and len(searched.space.open) > 1:
        drawn += _importances(searched)
    return [*drawn, _parallel(searched)] if searched.space.open else drawn


def _places(searched: Searched, field: str) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """``(trials,)`` places of a parameter's values from 0 to 1, and words at some places."""
    whole = [{**trial.params.model_dump(), **searched.drawn(trial)} for trial in searched.trials]
    values, dim = [point[field] for point in whole], searched.space.open[field]
    if isinstance(dim, Choices):
        choices = list(dict.fromkeys([*dim.choices, *values]))
        step = 1 / max(1, len(choices) - 1)
        marks = [(i * step, name) for i, name in enumerate(shortened(list(map(str, choices)), 14))]
        return np.array([choices.index(value) * step for value in values]), marks
    assert isinstance(dim, Range)
    scale = math.log if dim.log else float
    low, high = scale(dim.low), scale(dim.high)
    values = [min(max(value, dim.low), dim.high) for value in values]  # given ones lie anywhere
    shown = (math.exp(low), math.exp(high)) if dim.log else (low, high)
    marks = [(float(place), f"{value:.3g}") for place, value in enumerate(shown)]
    return np.array([(scale(value) - low) / (high - low) for value in values]), marks


def _parallel(searched: Searched) -> Picture:
    chart, fields = Chart(wide=True), list(searched.space.open)
    low, high = searched.scores.min(), searched.scores.max()
    columns, marks = zip(*(_places(searched, field) for field in fields), strict=True)
    score = (searched.scores - low) / ((high - low) or 1)
    table = np.column_stack([*columns, score])
    ends = [*marks, [(0.0, f"{low:.4f}"), (1.0, f"{high:.4f}")]]
    order = searched.some
    lines = [np.column_stack([np.arange(len(fields) + 1), table[i]]) for i in order]
    best = np.arange(len(order)) >= len(order) - max(1, len(order) // 10)
    bundle = LineCollection(
        lines,
        array=searched.scores[order],
        cmap=MAP if METRICS[searched.metric].direction == "max" else f"{MAP}_r",
        linewidths=np.where(best, 2.0, 0.8),
        alpha=np.where(best, 1.0, 0.45).tolist(),
    )
    chart.axes.add_collection(bundle)
    for column, words in enumerate(ends):
        chart.axes.axvline(column, color="#57606A", linewidth=0.8)
        for place, word in words:
            chart.axes.annotate(
                word,
                (column, place),
                xytext=(3, 0),
                textcoords="offset points",
                fontsize=8,
                va="center",
                bbox={"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.75},
            )
    chart.axes.set_xticks(range(len(fields) + 1), [*fields, searched.said], fontsize=9)
    chart.axes.set(yticks=[], xlim=(-0.05, len(fields) + 0.45), ylim=(-0.06, 1.06))
    chart.axes.spines[["left", "bottom"]].set_visible(False)
    chart.axes.grid(False)
    chart.figure.colorbar(bundle, ax=chart.axes, label=searched.said, pad=0.01)
    top = searched.trials[order[-1]].params
    said = ", ".join(f"{field} {_word(getattr(top, field))}" for field in fields)
    return chart.picture(
        f"Parallel coordinates of {len(searched.trials)} trials over {', '.join(fields)}; the best "
        f"has {said}.",
        f"A line is a trial; the best tenth is drawn thick.{searched.sampled}",
    )


def _word(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _by_backbone(searched: Searched) -> Picture:
    names, rng = searched.backbones[:16][::-1], np.random.default_rng(0)
    chart = Chart(height=max(2.6, 1.4 + 0.34 * len(names)))
    said = []
    for row, name in enumerate(names):
        some = [i for i, trial in enumerate(searched.trials) if trial.params.backbone == name]
        whole = np.array([searched.trials[i].status == "completed" for i in some])
        scores = searched.scores[some]
        places = row + rng.uniform(-0.22, 0.22, len(some))
        chart.axes.plot(scores[~whole], places[~whole], ".", color=GREY, rasterized=searched.many)
        chart.axes.plot(
            scores[whole], places[whole], ".", color=COLOURS[0], rasterized=searched.many
        )
        best = scores.max() if METRICS[searched.metric].direction == "max" else scores.min()
        chart.axes.plot([best, best], [row - 0.35, row + 0.35], color=COLOURS[5], linewidth=2)
        said.append(f"{name} {best:.4f}")
    chart.axes.set_yticks(range(len(names)), shortened(names))
    chart.axes.set(xlabel=searched.said)
    left = _left_out(len(searched.backbones) - len(names))
    return chart.picture(
        f"The best {searched.said} by backbone: {', '.join(reversed(said))}.",
        f"Each point is a trial, grey if it {searched.short}; the bar is the backbone's best. A "
        f"backbone that was tried more often has had more luck, too.{left}",
    )


def _left_out(backbones: int) -> str:
    return f" The {backbones} backbones of lesser trials are left out." if backbones else ""


def _by_unfreeze(searched: Searched) -> Picture:
    chart, names = Chart(), searched.backbones[: len(COLOURS)]
    for k, name in enumerate(names):
        some = [i for i, trial in enumerate(searched.trials) if trial.params.backbone == name]
        depths = [searched.trials[i].params.unfreeze for i in some]
        whole = [searched.trials[i].status == "completed" for i in some]
        faces = [COLOURS[k] if full else "none" for full in whole]
        chart.axes.scatter(
            depths,
            searched.scores[some],
            marker=MARKERS[k],
            facecolors=faces,
            edgecolors=COLOURS[k],
            rasterized=searched.many,
        )
        label = shortened([name])[0]
        chart.axes.plot([], [], MARKERS[k], color=COLOURS[k], label=label)
    chart.axes.set(
        xlabel="unfreeze: share of the backbone's groups that train", ylabel=searched.said
    )
    chart.axes.set_xlim(-0.02, None)
    chart.legend()
    depth = searched.winner.params.unfreeze
    return chart.picture(
        f"Scores by unfreeze depth; the winner trains {depth:.3g} of its backbone.",
        f"Each point is a trial, hollow if it {searched.short}. At 0 the head alone trains."
        f"{_left_out(len(searched.backbones) - len(names))}",
    )


def _importances(searched: Searched) -> list[Picture]:
    """By the score after an epoch that nine in ten trials have: whole curves are of the best."""
    lengths = [sum(not r.diverged for r in trial.reports) for trial in searched.trials]
    epoch = max(1, int(np.percentile(lengths, 10)))
    distributions = searched.space.distributions()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study, rng = optuna.create_study(direction="maximize"), np.random.default_rng(0)
    for i in rng.permutation(len(lengths))[:MOST].tolist():
        trial, length = searched.trials[i], lengths[i]
        params = searched.drawn(trial)
        if length >= epoch and len(params) == len(distributions):
            value = METRICS[searched.metric].of(trial.reports[epoch - 1])
            study.add_trial(
                optuna.create_trial(params=params, distributions=distributions, value=value)
            )
    values = [trial.value for trial in study.trials]
    if len(values) < FEWEST or len(set(values)) < 2:
        return []
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    names, shares = list(found)[::-1], list(found.values())[::-1]
    chart = Chart(height=max(2.6, 1.2 + 0.3 * len(names)))
    chart.axes.barh(names, shares, color=COLOURS[0])
    for row, share in enumerate(shares):
        chart.axes.annotate(
            f"{share:.0%}", (share, row), xytext=(3, 0), textcoords="offset points", va="center"
        )
    chart.axes.set(xlabel=f"share of the variance of {searched.said}", xlim=(0, 1.15 * max(shares)))
    chart.axes.grid(axis="y", visible=False)
    said = ", ".join(f"{name} {share:.0%}" for name, share in found.items())
    return [
        chart.picture(
            f"Importance of the parameters: {said}.",
            f"Importance by fANOVA (Hutter et al. 2014) of the score after epoch {epoch}, over "
            f"{len(values)} of {len(lengths)} trials. The sampler looked more often where it was "
            "good, and what matters early need not matter at the end: a hint, not a finding.",
        )
    ]
