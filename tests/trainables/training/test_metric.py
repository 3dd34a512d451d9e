from dataclasses import fields, replace

from tests.support.round_reports import report
from trainables.evaluation import Scores
from trainables.training import METRICS, RoundReport, best_of, is_as_good, last_as_good, merit

NAN = float("nan")


def test_every_metric_is_a_field_of_a_report_and_of_scores() -> None:
    scores = Scores(loss=0.3, accuracy=0.9, balanced_accuracy=0.8, macro_f1=0.7)
    assert {name: metric.of_scores(scores) for name, metric in METRICS.items()} == {
        "val_accuracy": 0.9,
        "val_balanced_accuracy": 0.8,
        "val_macro_f1": 0.7,
        "val_loss": 0.3,
    }
    assert set(METRICS) < {field.name for field in fields(RoundReport)}
    assert METRICS["val_loss"].of(replace(report(1, 0.9), val_loss=0.25)) == 0.25


def test_better_follows_the_metrics_direction_and_nan_is_never_better() -> None:
    accuracy, loss = METRICS["val_accuracy"], METRICS["val_loss"]
    assert (accuracy.sign, loss.sign) == (1, -1)
    assert accuracy.better(0.9, 0.8) and not accuracy.better(0.8, 0.8)
    assert loss.better(0.1, 0.2) and not loss.better(0.2, 0.2)
    assert not any(
        metric.better(value, other)
        for metric in METRICS.values()
        for value, other in ((NAN, 0.5), (0.5, NAN))
    )


def test_the_merit_of_a_report_grows_with_a_better_metric_then_with_a_lower_loss() -> None:
    low, high = replace(report(1, 0.9), val_loss=0.4), replace(report(1, 0.9), val_loss=0.3)
    assert merit(report(1, 0.95), "val_accuracy") > merit(high, "val_accuracy")
    assert merit(high, "val_accuracy") > merit(low, "val_accuracy")
    assert merit(high, "val_loss") > merit(low, "val_loss")


def test_the_best_report_is_the_first_of_the_best_metric() -> None:
    reports = [report(1, 0.5), report(2, 0.9), report(3, 0.9), report(4, 0.7)]
    assert best_of(reports, "val_accuracy") is reports[1]


def test_a_lower_loss_breaks_ties_in_the_metric() -> None:
    first = replace(report(1, 0.9), val_loss=0.4)
    later = replace(report(2, 0.9), val_loss=0.3)
    assert best_of([first, later], "val_accuracy") is later
    assert best_of([later, first], "val_accuracy") is later


def test_a_diverged_or_unmeasured_epoch_is_not_the_best() -> None:
    diverged = replace(report(2, 0.99), diverged=True)
    assert best_of([None, report(1, 0.5), diverged], "val_accuracy") == report(1, 0.5)
    assert best_of([None, diverged], "val_accuracy") is None
    assert best_of([report(1, 0.5), report(2, NAN)], "val_accuracy") == report(1, 0.5)


def test_the_last_round_as_good_as_the_best_is_within_a_standard_error() -> None:
    reports = [report(k, score) for k, score in enumerate((0.5, 0.9, 0.87, 0.86, 0.8), start=1)]
    ends = {images: last_as_good(reports, "val_accuracy", images) for images in (10, 50, 80, 10**6)}
    assert [last.round for last in ends.values() if last] == [5, 4, 3, 2]
    assert last_as_good(reports, "val_loss", 10) == best_of(reports, "val_loss")
    diverged = replace(report(6, 0.9), diverged=True)
    assert last_as_good([*reports, diverged], "val_accuracy", 50) == reports[3]
    assert last_as_good([diverged], "val_accuracy", 50) is None


def test_a_perfect_score_on_few_images_is_uncertain_too() -> None:
    best, others = report(1, 1.0), [report(2, 0.95), report(3, 0.9)]
    assert [is_as_good(each, best, "val_accuracy", 20) for each in others] == [True, False]
    assert not is_as_good(others[0], best, "val_accuracy", 500)
