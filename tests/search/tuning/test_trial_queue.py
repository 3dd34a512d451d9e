from pathlib import Path

import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from search.record import TrialRecord, read_trials
from search.samplers import BASELINE
from search.samplers.factory import SamplerName
from search.tuning.budget import Budget
from search.tuning.lifecycle import Termination
from tests.support.simulated_tune import SIZES, SPACE, simulated_tune


def test_points_come_first_and_may_set_parameters_that_the_space_fixes(tmp_path: Path) -> None:
    points = (
        SPACE.params({"unfreeze": 0.25, "dropout": 0.4}, native_image_size=SIZES),
        SPACE.params({"backbone": "b", "optimizer": "rmsprop"}, native_image_size=SIZES),
    )
    search = simulated_tune(tmp_path, points)
    requests = [search.begin(name) for name in "xyz"]
    assert tuple(request.params for request in requests[:2]) == points
    assert [request.number for request in requests] == [0, 1, 2]
    recorded: list[TrialRecord] = read_trials(tmp_path / "study.journal")
    assert tuple(t.params for t in recorded[:2]) == points
    assert requests[2].params.backbone == "a"


def test_a_linear_probe_is_recorded_at_the_nearest_point_and_marked(tmp_path: Path) -> None:
    """Else Optuna would lose parameters, or take the solved head's score for a trained one's."""
    probe = SPACE.params({"head": "solved"}, native_image_size=SIZES)
    search = simulated_tune(tmp_path, (probe,))
    assert search.begin("x").params == probe
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    (study,) = storage.get_all_studies()
    (trial,) = storage.get_all_trials(study._study_id)
    assert set(trial.params) == set(SPACE.open)
    assert BASELINE in trial.user_attrs


@pytest.mark.parametrize(("sampler", "is_complete"), [("cmaes", True), ("tpe", False)])
def test_samplers_that_need_every_parameter_get_the_nearest_point_of_the_space(
    tmp_path: Path, sampler: SamplerName, is_complete: bool
) -> None:
    beyond = SPACE.params({}, native_image_size=SIZES).model_copy(update={"optimizer": "rmsprop"})
    search = simulated_tune(tmp_path, (beyond,), sampler=sampler, settings={"sampler": sampler})
    assert search.begin("x").params == beyond
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    (study,) = storage.get_all_studies()
    (trial,) = storage.get_all_trials(study._study_id)
    assert (set(trial.params) == set(SPACE.open)) == is_complete


def test_backbones_are_tried_in_the_order_of_their_linear_probes(tmp_path: Path) -> None:
    probes, starts, others = (
        tuple(
            SPACE.params({**recipe, "backbone": backbone}, native_image_size=SIZES)
            for backbone in ("a", "b")
        )
        for recipe in ({"head": "solved"}, {"unfreeze": 0.5}, {"unfreeze": 0.75})
    )
    search = simulated_tune(tmp_path, probes + starts + others, trials=9)
    for name, accuracy in (("x", 0.5), ("y", 0.7)):
        search.begin(name)
        search.complete(name, 1, accuracy, is_last=True)
    assert [search.begin(name).params for name in "uvw"] == [starts[1], starts[0], others[1]]
    resumed = simulated_tune(tmp_path, probes + starts + others, trials=9)
    assert resumed.begin("again").params == others[0]


def test_image_sizes_are_tried_in_the_order_of_their_linear_probes(tmp_path: Path) -> None:
    probes, starts = (
        tuple(
            SPACE.params({**recipe, "image_size": size}, native_image_size=SIZES)
            for size in (32, 48, 64)
        )
        for recipe in ({"head": "solved"}, {"unfreeze": 0.5})
    )
    search = simulated_tune(tmp_path, probes[:2] + starts, trials=9)
    for name, accuracy in (("x", 0.5), ("y", 0.7)):
        search.begin(name)
        search.complete(name, 1, accuracy, is_last=True)
    assert [search.begin(name).params for name in "uvw"] == [starts[1], starts[2], starts[0]], (
        "a size without a probe is judged by the best of its backbone"
    )


def test_repeats_run_after_the_search_and_no_budget_ends_them(tmp_path: Path) -> None:
    settings = {"confirm": 2, "target": 0.8}
    search = simulated_tune(tmp_path, trials=9, settings=settings)
    for name in ("x", "y", "z"):
        search.suggest(name)
    for name, accuracy in (("x", 0.5), ("y", 0.6)):
        search.complete(name, 1, accuracy, is_last=True)
    assert search.begin("more").repeat is None, "the target is not reached yet"
    search.complete("more", 1, 0.9, is_last=True)
    assert search.lifecycle.ended_by == "a trial reached the target, val_accuracy 0.8"
    lifecycle = search.lifecycle
    assert lifecycle.termination is Termination.BUDGET_SPENT, "one that runs is in vain"
    assert search.suggest("none") is None
    search.complete("z", 1, 0.4, is_last=False)
    assert lifecycle.termination is None
    repeat = search.begin("again").repeat
    assert repeat is not None
    assert (repeat.of, repeat.rounds) == (3, 1)
    assert lifecycle.termination is None
    lifecycle._placement.is_stranded = lambda avoided: True  # type: ignore[method-assign]
    assert lifecycle.termination is Termination.STRANDED, "it waits for machines that are gone"
    lifecycle.interrupt()
    assert lifecycle.termination is Termination.INTERRUPTED
    assert search.suggest("no more") == "FINISHED"


def test_a_search_that_has_ended_stays_so_if_a_later_estimate_leaves_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str | None] = ["no time is left"]
    monkeypatch.setattr(Budget, "closed", property(lambda self: self.ended_by or closed[-1]))
    search = simulated_tune(tmp_path, trials=9, settings={"confirm": 2})
    closed.append(None)
    for name in ("x", "y"):
        search.begin(name)
    search.complete("x", 1, 0.5, is_last=False)
    closed.append("no time is left")
    search.complete("y", 1, 0.6, is_last=False)
    assert search.begin("again").repeat is not None
    closed.append(None)
    assert search.begin("once more").repeat is not None
    assert search.journal.ended_by == search.lifecycle.ended_by == "no time is left"
    resumed = simulated_tune(tmp_path, trials=9, settings={"confirm": 2})
    assert resumed.journal.ended_by == "no time is left", "a resume has repeats to run, no trials"
