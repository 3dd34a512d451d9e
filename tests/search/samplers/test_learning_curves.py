import math

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import TrialState

from search.samplers.learning_curves import LearningCurves

DEPTH: dict[str, BaseDistribution] = {"unfreeze": FloatDistribution(0, 1)}
RATE: dict[str, BaseDistribution] = {"learning_rate": FloatDistribution(0, 1)}


def trial_with(
    study: optuna.Study, values: list[float], end: TrialState | None = None
) -> optuna.Trial:
    """A trial of ``study`` with a value after each epoch; finished if ``end`` is given."""
    trial = study.ask(DEPTH)
    for epoch, value in enumerate(values, start=1):
        trial.report(value, epoch)
    if end:
        study.tell(trial, state=end)
    return trial


def test_finished_curves_are_sorted_best_first_and_running_ones_are_separate() -> None:
    study, curves = optuna.create_study(direction="maximize"), LearningCurves()
    running = trial_with(study, [0.9])
    for best in (0.5, 0.7, 0.6):
        trial_with(study, [best], TrialState.PRUNED)
        curves.update(study)
    assert [curve.best for curve in curves.finished] == [0.7, 0.6, 0.5]
    assert {n: c.best for n, c in curves.running_curves().items()} == {running.number: 0.9}


def test_a_running_trial_is_read_again() -> None:
    study, curves = optuna.create_study(direction="minimize"), LearningCurves()
    trial = trial_with(study, [0.9])
    curves.update(study)
    trial.report(0.4, 2)
    curves.update(study)
    assert curves.running_curves()[trial.number].best == -0.4, "lower is better"
    study.tell(trial, state=TrialState.PRUNED)
    curves.update(study)
    assert not curves.running
    assert [curve.best for curve in curves.finished] == [-0.4]


def test_a_curve_keeps_its_last_epoch_and_powers_of_three() -> None:
    study, curves = optuna.create_study(direction="maximize"), LearningCurves()
    trial_with(study, [epoch / 20 for epoch in range(1, 12)], TrialState.PRUNED)
    trial_with(study, [0.1, 0.2], TrialState.FAIL)
    curves.update(study)
    assert curves.finished[0].rounds == [1, 3, 9, 11]
    assert curves.finished[1].values == [0.1, 0.2, -math.inf], "a failure counts as the worst value"


def test_curves_that_lack_a_parameter_are_dropped_when_it_appears() -> None:
    study, curves = optuna.create_study(direction="maximize"), LearningCurves()
    trial_with(study, [0.5], TrialState.PRUNED)
    curves.update(study)
    assert len(curves.finished) == 1
    study.ask(DEPTH | RATE)
    trial_with(study, [0.6], TrialState.PRUNED)
    curves.update(study)
    assert curves.finished == []
    assert curves.space.keys() == {"unfreeze", "learning_rate"}


def test_a_curve_needs_only_the_parameters_that_its_point_uses() -> None:
    curves = LearningCurves(lambda params: {"unfreeze", *(["rate"] if params["unfreeze"] else [])})
    study = optuna.create_study(direction="maximize")
    for params in ({"unfreeze": 0.0}, {"unfreeze": 1.0}, {"unfreeze": 0.5, "rate": 0.1}):
        distributions = {name: FloatDistribution(0, 1) for name in params}
        study.add_trial(
            optuna.create_trial(
                params=params,
                distributions=distributions,
                value=0.5,
                intermediate_values={1: 0.5},
            )
        )
    curves.update(study)
    depths = sorted(curve.params["unfreeze"] for curve in curves.finished)
    assert depths == [0, 0.5], "the second lacks its rate"
