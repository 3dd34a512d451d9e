from dataclasses import replace

from tests.support.epoch_reports import report
from trainables.training.epoch_report import Course


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
