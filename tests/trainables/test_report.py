from dataclasses import replace

from tests.search.reports import report
from trainables.report import best_of

NAN = float("nan")


def test_the_best_report_is_the_first_of_the_best_metric() -> None:
    reports = [report(1, 0.5), report(2, 0.9), report(3, 0.9), report(4, 0.7)]
    assert best_of(reports, "val_accuracy") is reports[1]


def test_of_equals_the_one_of_lower_loss_is_the_best() -> None:
    first = replace(report(1, 0.9), val_loss=0.4)
    later = replace(report(2, 0.9), val_loss=0.3)
    assert best_of([first, later], "val_accuracy") is later
    assert best_of([later, first], "val_accuracy") is later


def test_what_diverged_or_was_not_measured_is_not_the_best() -> None:
    diverged = replace(report(2, 0.99), diverged=True)
    assert best_of([None, report(1, 0.5), diverged], "val_accuracy") == report(1, 0.5)
    assert best_of([None, diverged], "val_accuracy") is None
    assert best_of([report(1, 0.5), report(2, NAN)], "val_accuracy") == report(1, 0.5)
