import math

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import TrialState

from search.samplers.learning_curves import Curves

DEPTH: dict[str, BaseDistribution] = {"unfreeze": FloatDistribution(0, 1)}
RATE: dict[str, BaseDistribution] = {"learning_rate": FloatDistribution(0, 1)}


def told(study: optuna.Study, values: list[float], end: TrialState | None = None) -> optuna.Trial:
    """A trial of ``study``, over if it has an end."""
    trial = study.ask(DEPTH)
    for epoch, value in enumerate(values, start=1):
        trial.report(value, epoch)
    if end:
        study.tell(trial, state=end)
    return trial


def test_ended_curves_stand_the_best_first_and_running_ones_apart() -> None:
    study, curves = optuna.create_study(direction="maximize"), Curves()
    running = told(study, [0.9])
    for best in (0.5, 0.7, 0.6):
        told(study, [best], TrialState.PRUNED)
        curves.read(study)
    assert [curve.best for curve in curves.ended] == [0.7, 0.6, 0.5]
    assert [curve.best for curve in curves.begun()] == [0.9]
    assert curves.begun(beside=running.number) == []


def test_a_trial_that_runs_is_looked_at_again() -> None:
    study, curves = optuna.create_study(direction="minimize"), Curves()
    trial = told(study, [0.9])
    curves.read(study)
    trial.report(0.4, 2)
    curves.read(study)
    assert curves.begun()[0].best == -0.4, "the lower the better"
    study.tell(trial, state=TrialState.PRUNED)
    curves.read(study)
    assert not curves.running
    assert [curve.best for curve in curves.ended] == [-0.4]


def test_a_curve_is_told_by_its_last_epoch_and_powers_of_three() -> None:
    study, curves = optuna.create_study(direction="maximize"), Curves()
    told(study, [epoch / 20 for epoch in range(1, 12)], TrialState.PRUNED)
    told(study, [0.1, 0.2], TrialState.FAIL)
    curves.read(study)
    assert curves.ended[0].epochs == [1, 3, 9, 11]
    assert curves.ended[1].values == [0.1, 0.2, -math.inf], "as bad as any after its last"


def test_curves_that_lack_a_parameter_are_left_out_whenever_it_appears() -> None:
    study, curves = optuna.create_study(direction="maximize"), Curves()
    told(study, [0.5], TrialState.PRUNED)
    curves.read(study)
    assert len(curves.ended) == 1
    study.ask(DEPTH | RATE)
    told(study, [0.6], TrialState.PRUNED)
    curves.read(study)
    assert curves.ended == []
    assert curves.space.keys() == {"unfreeze", "learning_rate"}
