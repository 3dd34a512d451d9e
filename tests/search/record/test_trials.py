from dataclasses import replace

from search.record import TrialRecord, trial_name
from spaces import TrialParams
from tests.support.round_reports import report

TRIAL = TrialRecord(
    number=7,
    params=TrialParams(backbone="a"),
    status="completed",
    reports=(report(1, 0.5), report(2, 0.9), report(3, 0.7)),
    error="",
)


def test_a_trial_is_named_by_four_digits_of_its_number() -> None:
    assert TRIAL.trial_id == "0007"
    assert trial_name(12345) == "12345"


def test_the_time_of_a_trial_is_the_sum_over_its_epochs() -> None:
    assert TRIAL.seconds == 6.0


def test_the_best_epoch_depends_on_the_metric() -> None:
    lowest_loss = replace(report(4, 0.6), val_loss=0.01)
    trial = replace(TRIAL, reports=(*TRIAL.reports, lowest_loss))
    assert trial.best("val_accuracy") == report(2, 0.9)
    assert trial.best("val_loss") == lowest_loss


def test_a_trial_without_a_finite_epoch_has_no_best_one() -> None:
    assert replace(TRIAL, reports=()).best("val_accuracy") is None
    assert replace(TRIAL, reports=(report(1, float("nan")),)).best("val_accuracy") is None
