"""Figures in TensorBoard: how the best trials classify the validation images."""

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax
from torch.utils.tensorboard import SummaryWriter

from search.record import (
    ResolvedSettings,
    SweepPaths,
    TrialRecord,
    load_sweep_config,
    read_validation_logits,
)
from search.report.charts import chart_style
from search.report.final_test_charts import confusion_chart
from search.report.galleries import mistakes_figure
from trainables.data import Dataset
from trainables.evaluation import Predictions
from trainables.training import merit

MAX_TRIALS = 3
"""Largest number of trials with figures."""


def log_validation_figures(paths: SweepPaths, trials: Sequence[TrialRecord]) -> None:
    """Add a confusion matrix and the most confident mistakes to the runs of the best trials.

    Trials without saved validation logits get no figures.
    """
    config, dataset = load_sweep_config(paths), Dataset.read(paths.dataset, paths.split)
    rows = ResolvedSettings.read(paths).rounds.validation_rows(config, dataset)
    labels = np.asarray(dataset.labels[rows])
    logits = read_validation_logits(paths.validation_logits, trials, config.metric, dataset, rows)
    best = {t: r for t in trials if t.number in logits and (r := t.best(config.metric))}
    ranked = sorted(best, key=lambda trial: merit(best[trial], config.metric), reverse=True)
    for trial in ranked[:MAX_TRIALS]:
        probabilities = np.asarray(softmax(logits[trial.number], axis=1))
        predictions = Predictions(dataset.classes, labels, probabilities)
        folder = paths.tensorboard_run(trial.trial_id, trial.params.backbone)
        with chart_style(), SummaryWriter(str(folder)) as writer:
            confusion = confusion_chart(predictions).figure
            writer.add_figure("validation/confusion", confusion, best[trial].round)
            mistakes = mistakes_figure(predictions, dataset, rows)
            if mistakes is not None:
                writer.add_figure("validation/mistakes", mistakes, best[trial].round)
