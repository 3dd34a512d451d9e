"""First paragraphs of the report: the task, the trials, the winner, and the test result."""

from search.config import UNLIMITED_TRIALS
from search.ranking import select_winner
from search.record import format_duration
from search.report.final_test_charts import most_frequent_confusions
from search.report.sweep_data import SweepData
from spaces import RunError, TrialParams
from spaces.wording import counted
from trainables.listing import SPLITS
from trainables.training import METRICS

_STATUSES = {"stopped": "stopped early", "failed": "failed", "running": "running"}


def summary(data: SweepData) -> list[str]:
    """Up to five short paragraphs; fewer until there are a winner and a test result."""
    sentences = [_searched(data), _tried(data)]
    try:
        sentences.append(_winner(data))
    except RunError:  # no trial could win yet
        return sentences
    return [*sentences, *_test_result(data)]


def _searched(data: SweepData) -> str:
    images = ", ".join(f"{len(data.dataset.rows(split))} {split}" for split in SPLITS)
    trials = data.config.trials
    budget = (
        "as many trials as the budget allows"
        if trials == UNLIMITED_TRIALS
        else counted(trials, "trial")
    )
    return (
        f"The sweep searches for the best classifier of {len(data.dataset.classes)} classes on "
        f"{len(data.dataset)} images ({images}), with {budget} of the space {data.space.name}."
    )


def _tried(data: SweepData) -> str:
    searched = data.searched
    if not searched:
        return "No trial has begun yet."
    counts = {status: sum(trial.status == status for trial in searched) for status in _STATUSES}
    ended = ", ".join(f"{count} {_STATUSES[status]}" for status, count in counts.items() if count)
    backbones = len({trial.params.backbone for trial in searched})
    have = "has" if len(searched) == 1 else "have"
    return (
        f"{counted(len(searched), 'trial')} of {counted(backbones, 'backbone')} {have} begun"
        f"{f' ({ended})' if ended else ''}, with "
        f"{format_duration(data.training_seconds)} of training."
    )


def _winner(data: SweepData) -> str:
    metric = data.config.metric
    winner = select_winner(data.trials, metric)
    best = winner.best(metric)
    assert best is not None, "the winner has an epoch with a finite loss"
    return (
        f"The winner is trial {winner.trial_id}: {_described(winner.params)} has a {metric} of "
        f"{METRICS[metric].of(best):.4f}. This score is optimistic, because it was "
        "also used to choose the winner."
    )


def _test_result(data: SweepData) -> list[str]:
    final, predictions = data.final, data.predictions
    if final is None or predictions is None:
        return ["No model has been retrained and tested yet."]
    test, (low, high) = final.test, final.test.accuracy_ci95
    sentence = (
        f"Retrained on train and val, {final.name} has a test accuracy of {test.accuracy:.4f} (95% "
        f"interval {low:.4f} to {high:.4f}), on images that were used neither for training nor for "
        f"tuning. Always predicting the most frequent class gives {final.majority_accuracy:.4f}."
    )
    if data.config.metric != "val_accuracy":
        sentence += (
            f" The balanced accuracy is {test.balanced_accuracy:.4f}, where a constant prediction "
            f"gives {1 / len(test.classes):.4f}. The macro F1 is {test.macro_f1:.4f}."
        )
    sentences = [f"{sentence} {final.probe}" if final.probe else sentence]
    if confusions := most_frequent_confusions(predictions):
        worst = confusions[0]
        sentences.append(
            f"The most frequent confusion is {worst.true} predicted as {worst.predicted}: "
            f"{counted(worst.images, 'image')}, {worst.share:.0%} of the true class."
        )
    return sentences


def _described(params: TrialParams) -> str:
    """A trial in a few words."""
    if params.head == "solved":
        return f"a linear probe on {params.backbone}"
    return f"{params.backbone} with unfreeze {params.unfreeze:.3g}"
