"""How the best trials answered the validation images, as pictures in TensorBoard."""

import numpy as np
from scipy.special import softmax
from torch.utils.tensorboard import SummaryWriter

from search.record import SweepPaths, load_config, read_answers, read_trials
from search.report.charts import style
from search.report.final_test_charts import confusion_chart
from search.report.galleries import mistakes_chart
from trainables.data import Dataset
from trainables.evaluation import Predictions
from trainables.training import merit

MOST = 3
"""Trials that have pictures."""


def log_validation_figures(paths: SweepPaths) -> None:
    """Add a confusion matrix and the worst mistakes to the curves of the best trials."""
    config, dataset = load_config(paths), Dataset.read(paths.dataset, paths.split)
    labels = dataset.labels[dataset.rows(*config.validated)]
    trials = read_trials(paths.journal)
    answers = read_answers(paths.answers, trials, config.metric, dataset, config.validated)
    best = {t: e for t in trials if t.number in answers and (e := t.best(config.metric))}
    for trial in sorted(best, key=lambda t: merit(best[t], config.metric), reverse=True)[:MOST]:
        probabilities = np.asarray(softmax(answers[trial.number], axis=1))
        answered = Predictions(dataset.classes, np.asarray(labels), probabilities)
        folder, epoch = paths.tensorboard_run(trial.trial_id, trial.params.backbone), best[trial]
        with style(), SummaryWriter(str(folder)) as writer:
            confusion = confusion_chart(answered).figure
            writer.add_figure("validation/confusion", confusion, epoch.epoch)
            mistakes = mistakes_chart(answered, dataset, *config.validated)
            if mistakes is not None:
                writer.add_figure("validation/mistakes", mistakes, epoch.epoch)
