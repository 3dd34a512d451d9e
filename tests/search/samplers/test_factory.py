import ast
import math
import re
import statistics
from pathlib import Path
from typing import get_args

import pytest
from optuna.storages import InMemoryStorage

from search.config import SamplerName
from search.samplers import make_sampler
from search.tuning.study import StudyJournal
from spaces import SearchSpace
from tests.support.conditional_space import CONDITIONAL
from tests.support.round_reports import report

ROOT = Path(__file__).parents[3]
SPACE = SearchSpace.from_table(
    {
        "backbone": {"choices": ["a", "b"]},
        "unfreeze": {"low": 0, "high": 1},
        "dropout": {"low": 0, "high": 0.5},
    },
    name="test",
)


def proposals(sampler: SamplerName, trials: int, seed: int = 0) -> list[float]:
    """Proposals for `unfreeze` when accuracy is highest at 0.3 and falls off linearly."""
    study = StudyJournal(
        InMemoryStorage(), SPACE, metric="val_accuracy", sampler=sampler, seed=seed, max_rounds=9
    )
    proposed = []
    for _ in range(trials):
        number, values = study.ask()
        proposed.append(float(str(values["unfreeze"])))
        study.begin(number, SPACE.params(values, native_image_size={"a": 32, "b": 32}))
        study.report(number, report(1, 1 - abs(proposed[-1] - 0.3), is_last=True))
        study.end(number, "completed")
    return proposed


@pytest.mark.parametrize("name", get_args(SamplerName))
def test_every_sampler_proposes_points_of_the_space_and_is_reproducible_by_its_seed(
    name: SamplerName,
) -> None:
    proposed = proposals(name, 14)
    assert len(set(proposed)) > 10
    assert all(0 <= unfreeze <= 1 for unfreeze in proposed)
    assert proposals(name, 14) == proposed
    assert proposals(name, 14, seed=1) != proposed


@pytest.mark.parametrize("name", ["tpe", "mfgp", "cmaes"])
def test_learning_samplers_get_nearer_to_the_optimum_than_random_search(name: SamplerName) -> None:
    late = [abs(x - 0.3) for seed in range(3) for x in proposals(name, 40, seed)[-15:]]
    chance = [abs(x - 0.3) for seed in range(3) for x in proposals("random", 40, seed)[-15:]]
    assert sum(late) < 0.7 * sum(chance)


def distances(sampler: SamplerName, trials: int, seed: int) -> list[float]:
    """Distances of proposed rates, in decades, from the best rate of each optimizer."""
    study = StudyJournal(
        InMemoryStorage(),
        CONDITIONAL,
        metric="val_accuracy",
        sampler=sampler,
        seed=seed,
        max_rounds=9,
    )
    found = []
    for _ in range(trials):
        number, values = study.ask()
        params = CONDITIONAL.params(values, native_image_size={"a": 32, "b": 32})
        best = {"sgd": 0.03, "adamw": 3e-4}[params.optimizer]
        assert 0.1 <= params.learning_rate / best <= 40, "the range is that of the optimizer"
        assert ("drop_path" in values) == (params.backbone == "b")
        found.append(abs(math.log10(params.learning_rate / best)))
        study.begin(number, params)
        study.report(number, report(1, 0.9 - 0.4 * found[-1], is_last=True))
        study.end(number, "completed")
    return found


@pytest.mark.parametrize("name", ["mfgp", "tpe", "random", "gp", "cmaes", "nsga2"])
def test_every_sampler_draws_the_range_of_the_case_that_holds(name: SamplerName) -> None:
    assert distances(name, 12, seed=0) == distances(name, 12, seed=0)


@pytest.mark.parametrize("name", ["mfgp", "tpe"])
def test_samplers_learn_the_best_rate_of_each_optimizer(name: SamplerName) -> None:
    late = [d for seed in range(3) for d in distances(name, 40, seed)[20:]]
    random = [d for seed in range(3) for d in distances("random", 40, seed)[20:]]
    assert statistics.mean(late) < 0.6 * statistics.mean(random)


def test_each_name_makes_its_sampler() -> None:
    kinds = {
        name: type(make_sampler(name, SPACE, seed=0, max_rounds=9)).__name__
        for name in get_args(SamplerName)
    }
    assert kinds == {
        "tpe": "TPESampler",
        "mfgp": "MultiFidelitySampler",
        "random": "RandomSampler",
        "grid": "RandomSampler",
        "gp": "GPSampler",
        "cmaes": "CmaEsSampler",
        "nsga2": "NSGAIISampler",
    }


def journal_with_a_running_trial(
    sampler: SamplerName, *, freeze_thaw: bool = False
) -> tuple[StudyJournal, int]:
    """A journal of twenty trials that were stopped, and the number of one that runs."""
    journal = StudyJournal(
        InMemoryStorage(),
        SPACE,
        metric="val_accuracy",
        sampler=sampler,
        seed=0,
        max_rounds=9,
        freeze_thaw=freeze_thaw,
    )
    for i in range(20):
        number, values = journal.ask()
        journal.begin(number, SPACE.params(values, native_image_size={"a": 32, "b": 32}))
        journal.report(number, report(1, 0.5 + i / 100))
        journal.end(number, "stopped")
    number, _ = journal.ask()
    return journal, number


def test_only_the_multi_fidelity_sampler_says_that_a_trial_could_win() -> None:
    def could_win(sampler: SamplerName) -> bool:
        journal, number = journal_with_a_running_trial(sampler)
        return journal.could_win(number, report(1, 0.9))

    assert {name: could_win(name) for name in ("mfgp", "tpe", "random")} == {
        "mfgp": True,
        "tpe": False,
        "random": False,
    }


def test_only_freeze_thaw_says_whether_a_trial_goes_on() -> None:
    def goes_on(*, freeze_thaw: bool) -> bool | None:
        journal, number = journal_with_a_running_trial("mfgp", freeze_thaw=freeze_thaw)
        return journal.should_go_on(number, report(1, 0.9), [], or_begin=True)

    assert goes_on(freeze_thaw=True)
    assert goes_on(freeze_thaw=False) is None


USERS_OF_OPTUNA = [
    *(ROOT / "search" / "samplers").glob("*.py"),
    *(ROOT / "search" / "record").glob("*.py"),
    ROOT / "search" / "tuning" / "study.py",
]


@pytest.mark.parametrize("file", USERS_OF_OPTUNA, ids=lambda file: file.stem)
def test_only_public_names_of_optuna_and_scikit_learn_are_used(file: Path) -> None:
    """So that a new version of either breaks nothing without a deprecation first."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    modules = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    assert not [module for module in modules if "._" in module]
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    foreign = [node for node in attributes if getattr(node.value, "id", "") not in ("self", "cls")]
    assert not [ast.unparse(node) for node in foreign if re.match("_[^_]", node.attr)]
