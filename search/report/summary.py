"""The first sentences of the page: what was asked and found."""

from search.config import UNLIMITED_TRIALS
from search.ranking import select_winner
from search.record import took
from search.report.final_test_charts import mistakes
from search.report.sweep_data import Found
from spaces import RunError
from trainables.data import SPLITS
from trainables.training import METRICS


def lead(found: Found) -> list[str]:
    """Five sentences, or as many as there is something to say."""
    said = [_asked(found), _tried(found)]
    try:
        said.append(_best(found))
    except RunError:  # none can win yet
        return said
    return [*said, *_tested(found)]


def _asked(found: Found) -> str:
    images = ", ".join(f"{len(found.dataset.rows(split))} {split}" for split in SPLITS)
    trials = found.config.trials
    many = "as many trials as the budget allows" if trials == UNLIMITED_TRIALS else f"{trials} trials"
    return (
        f"Asked for was the best classifier of {len(found.dataset.classes)} classes on "
        f"{len(found.dataset)} images ({images}), among {many} of the space "
        f"{found.space.name}."
    )


def _tried(found: Found) -> str:
    searched = found.searched
    if not searched:
        return "No trial has begun yet."
    counts = {
        status: sum(trial.status == status for trial in searched)
        for status in ("stopped", "failed", "running")
    }
    ended = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return (
        f"{len(searched)} trials of {len({t.params.backbone for t in searched})} backbones have "
        f"begun{f' ({ended})' if ended else ''}, in {took(found.seconds)} of training."
    )


def _best(found: Found) -> str:
    metric, best = found.config.metric, select_winner(found.trials, found.config.metric)
    epoch = best.best(metric)
    assert epoch is not None  # the winner has one
    return (
        f"The best is trial {best.trial_id}: {best.params.backbone} at unfreeze "
        f"{best.params.unfreeze:.3g} has a {metric} of {METRICS[metric].of(epoch):.4f}, which is "
        "optimistic, for the best of many was picked by it."
    )


def _tested(found: Found) -> list[str]:
    final, tested = found.final, found.tested
    if final is None or tested is None:
        return ["No model is retrained and tested yet."]
    test, (low, high) = final.test, final.test.accuracy_ci95
    said = [
        f"Trained again on train and val, {final.name} has a test accuracy of "
        f"{test.accuracy:.4f} (95% interval {low:.4f} to {high:.4f}) on images that nothing was "
        f"tuned on, where always giving the most frequent class has {final.majority_accuracy:.4f}."
    ]
    if found.config.metric != "val_accuracy":
        said[0] += (
            f" Its balanced accuracy is {test.balanced_accuracy:.4f}, where that answer has "
            f"{1 / len(test.classes):.4f}; its macro F1 is {test.macro_f1:.4f}."
        )
    if mixed := mistakes(tested):
        true, taken, count, share = mixed[0]
        said.append(
            f"Its most frequent mistake is to take {true} for {taken}: {count} images, {share:.0%} "
            "of that class."
        )
    return said
