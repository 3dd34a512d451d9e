from pathlib import Path

from search.record import TrialRecord, read_trials
from search.trial import NUMBER, PARAMS, REPEAT
from tests.support.study_searcher import SIZES, SPACE, as_told, searcher


def test_points_come_first_and_may_set_what_the_space_keeps_fixed(tmp_path: Path) -> None:
    points = (
        SPACE.params({"unfreeze": 0.25, "dropout": 0.4}, native_image_size=SIZES),
        SPACE.params({"backbone": "b", "optimizer": "rmsprop"}, native_image_size=SIZES),
    )
    search = searcher(tmp_path, points)
    configs = [search.suggest(name) for name in "xyz"]
    assert tuple(c[PARAMS] for c in configs[:2]) == points
    assert [c[NUMBER] for c in configs] == [0, 1, 2]
    recorded: list[TrialRecord] = read_trials(tmp_path / "study.journal")
    assert tuple(t.params for t in recorded[:2]) == points
    assert configs[2][PARAMS].backbone == "a"


def test_repeats_come_when_the_search_is_over_and_no_budget_ends_them(tmp_path: Path) -> None:
    settings = {"confirm": 2, "target": 0.8}
    search = searcher(tmp_path, trials=9, settings=settings)
    for name in ("x", "y", "z"):
        search.suggest(name)
    for name, accuracy in (("x", 0.5), ("y", 0.6)):
        search.on_trial_complete(name, as_told(1, accuracy, is_last=True))
    assert search.suggest("more")[REPEAT] is None, "the target is not reached yet"
    search.on_trial_complete("more", as_told(1, 0.9, is_last=True))
    assert search.spent == "a trial reached the target, val_accuracy 0.8"
    assert search.ends_early, "one that runs is in vain"
    assert search.suggest("none") is None
    search.on_trial_complete("z", as_told(1, 0.4, is_last=False))
    assert not search.ends_early
    repeat = search.suggest("again")[REPEAT]
    assert (repeat.of, repeat.epochs) == (3, 1)
    assert not search.ends_early
    search._machines.is_stranded = lambda avoid: True  # type: ignore[method-assign]
    assert search.ends_early, "it waits for machines that are gone"
    assert search.is_stranded()
