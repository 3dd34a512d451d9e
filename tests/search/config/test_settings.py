import json
from pathlib import Path
from typing import Any

import pytest

from search.config import (
    FREEZE_THAW_EPOCHS,
    GROUPS,
    RESUMABLE_SETTINGS,
    RETRAIN_SETTINGS,
    UNLIMITED_TRIALS,
    SweepConfig,
    all_settings,
    overlay,
)
from spaces import ConfigError


def test_every_setting_is_documented_and_in_one_group() -> None:
    settings = list(all_settings())
    assert all(setting.field.description for setting in settings)
    names = [setting.name for setting in settings]
    assert len(names) == len(set(names))
    assert {name.partition(".")[0] for name in names} == set(SweepConfig.model_fields)


def test_settings_are_ordered_by_group_as_the_fields_of_the_config_are() -> None:
    groups = list(dict.fromkeys(setting.group for setting in all_settings()))
    assert groups == list(GROUPS)
    fields = [name for group in GROUPS for name in group.model_fields]
    assert list(SweepConfig.model_fields) == fields


def test_a_setting_has_its_flag_and_its_allowed_values() -> None:
    by_name = {setting.name: setting for setting in all_settings()}
    assert by_name["asha.grace_epochs"].flag == "--asha.grace-epochs"
    assert by_name["split.eval_is"].choices == ("val", "test")
    assert by_name["trials"].choices == ()
    assert by_name["retrain"].is_switch
    assert by_name["export.formats"].is_list and by_name["prior"].is_list


def test_everything_that_a_resume_or_a_retraining_may_change_is_a_setting() -> None:
    names = {setting.name for setting in all_settings()}
    assert set(RETRAIN_SETTINGS) < set(RESUMABLE_SETTINGS) < names


def test_the_resolved_settings_are_read_back_as_they_were() -> None:
    config = SweepConfig.parse({"data": "d", "asha": {"grace_epochs": 2}})
    written = json.dumps(config.model_dump(mode="json"))
    assert SweepConfig.parse(json.loads(written)) == config


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({}, "asha"),
        ({"max_epochs": FREEZE_THAW_EPOCHS - 1}, "asha"),
        ({"max_epochs": FREEZE_THAW_EPOCHS}, "freeze-thaw"),
        ({"max_epochs": FREEZE_THAW_EPOCHS, "sampler": "tpe"}, "asha"),
        ({"max_epochs": FREEZE_THAW_EPOCHS, "objectives": ["parameters"]}, "asha"),
        ({"max_epochs": FREEZE_THAW_EPOCHS, "stopping": "median"}, "median"),
        ({"stopping": "freeze-thaw"}, "freeze-thaw"),
    ],
)
def test_stopped_trials_may_go_on_if_trials_are_long_and_the_sampler_can_choose(
    given: dict[str, Any], rule: str
) -> None:
    assert SweepConfig.parse({"data": "d", **given}).stopping_name == rule


def test_the_image_size_of_an_earlier_version_is_read_as_a_fixed_parameter() -> None:
    assert SweepConfig.parse({"data": "d", "image_size": None}).fix == {}
    assert SweepConfig.parse({"data": "d", "image_size": 96}).fix == {"image_size": 96}
    both = SweepConfig.parse({"data": "d", "image_size": 96, "fix": {"fit": "crop"}})
    assert both.fix == {"image_size": 96, "fit": "crop"}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"fix": {"augment": [0, 1]}}, r"fix: gives augment one value, such as augment = 0, not"),
        ({"fix": "augment=0"}, r"fix: must be a table of parameters, not 'augment=0'"),
        ({"trails": 3}, "Unknown setting 'trails'; did you mean 'trials'"),
        ({"asha": {"grace": 3}}, r"did you mean 'asha\.grace_epochs'"),
        ({"trials": 0}, "trials should be greater than or equal to 1, not 0"),
        ({"metric": "accuracy"}, "metric should be 'auto', 'val_accuracy'"),
        ({"name": "a/b"}, "name must begin with a letter or digit"),
        ({"max_epochs": 2, "asha": {"grace_epochs": 3}}, "must not be above max_epochs"),
        (
            {"test_time_flips": "both", "calibrate": True, "sensitivity": "a=0.9"},
            "test_time_flips can't be given with calibrate and sensitivity, which would be fitted",
        ),
        ({"confirm": 1}, "or 2 or more trials to choose between, not 1"),
        ({"objectives": ["parameters"], "sampler": "mfgp"}, "mfgp supports only one objective"),
        ({"prior": ["old"], "sampler": "grid"}, "prior has no effect with the sampler grid"),
    ],
)
def test_a_wrong_setting_is_refused_with_one_sentence(
    values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        SweepConfig.parse({"data": "d", **values})


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        SweepConfig.parse({"trials": "many", "max_epochs": 0})
    assert len(str(caught.value).splitlines()) == 3


def test_all_violated_rules_between_settings_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        SweepConfig.parse({"data": "d", "target": 95, "folds": 1, "confirm": 1})
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("budget", [{"time_budget": "2h"}, {"gpu_hours": 3}])
def test_a_budget_alone_leaves_the_trials_unlimited(budget: dict[str, Any]) -> None:
    assert SweepConfig.parse({"data": "d", **budget}).trials == UNLIMITED_TRIALS
    assert SweepConfig.parse({"data": "d", **budget, "trials": 5}).trials == 5


def test_several_objectives_change_the_default_sampler() -> None:
    objectives = {"data": "d", "objectives": ["parameters"]}
    assert SweepConfig.parse(objectives).sampler == "tpe"
    assert SweepConfig.parse({**objectives, "sampler": "nsga2"}).sampler == "nsga2"


def test_folds_validate_on_the_training_images_too() -> None:
    assert SweepConfig.parse({"data": "d"}).validation_splits == ("val",)
    assert SweepConfig.parse({"data": "d", "folds": 5}).validation_splits == ("train", "val")


def test_a_sweep_with_a_prior_draws_other_points_than_the_earlier_sweep() -> None:
    plain = SweepConfig.parse({"data": "d"})
    after, later = (SweepConfig.parse({"data": "d", "prior": [name]}) for name in ("a", "b"))
    assert plain.sampler_seed == plain.seed
    assert len({config.sampler_seed for config in (plain, after, later)}) == 3


def test_settings_of_a_group_are_attributes_of_the_config(tmp_path: Path) -> None:
    config = SweepConfig.parse(overlay({"data": tmp_path}, {"split.val_fraction": 0.2}))
    assert (config.split.val_fraction, config.trials) == (0.2, 16)
