from dataclasses import replace

from tests.support.epoch_reports import report
from trainables.training import best_of
from trainables.training.epoch_report import Course

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


def test_a_course_improves_as_the_best_is_chosen_and_tires_by_the_metric_alone() -> None:
    course = Course("val_accuracy", patience=2)
    said = []
    for accuracy, loss in ((0.5, 1.0), (0.5, 0.9), (0.5, 0.95), (0.6, 2.0)):
        course.take(replace(report(1, accuracy), val_loss=loss))
        said.append((course.improved, course.tired))
    assert said == [(True, False), (True, False), (False, True), (True, False)]


def test_nothing_is_better_than_a_course_that_diverged() -> None:
    course = Course("val_loss", patience=1)
    course.take(replace(report(1, 0.5), diverged=True))
    assert (course.improved, course.tired) == (False, True)
    course.take(replace(report(1, float("nan")), val_loss=float("nan")))
    assert not course.improved
