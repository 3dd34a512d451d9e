import pytest
from pydantic import ValidationError

from spaces import SearchSpace, SpaceError, TrialParams


def test_every_field_has_a_documented_meaning() -> None:
    assert all(field.description for field in TrialParams.model_fields.values())


def test_a_trial_needs_only_its_backbone() -> None:
    params = TrialParams(backbone="resnet18")
    assert None not in params.model_dump().values()


def test_params_are_frozen() -> None:
    with pytest.raises(ValidationError):
        TrialParams(backbone="resnet18").unfreeze = 0.5  # type: ignore[misc]


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(SpaceError) as caught:
        TrialParams.parse({"backbone": "a", "unfreeze": 2, "dropout": 1.0, "lerning_rate": 1})
    text = str(caught.value)
    assert len(text.splitlines()) == 3
    assert "unfreeze should be less than or equal to 1, not 2." in text
    assert "did you mean 'learning_rate'" in text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_must_be_finite(value: float) -> None:
    with pytest.raises(SpaceError, match="finite"):
        TrialParams.parse({"backbone": "a", "weight_decay": value})


@pytest.mark.parametrize("field", ["unfreeze", "augment", "head_hidden"])
def test_a_head_is_solved_only_on_fixed_features_of_a_linear_head(field: str) -> None:
    probe = {"backbone": "a", "head": "solved", "unfreeze": 0, "augment": 0}
    assert TrialParams.parse(probe).head == "solved"
    with pytest.raises(SpaceError, match="head can be solved only with"):
        TrialParams.parse({**probe, field: 1})


def test_parameters_of_an_earlier_version_keep_their_meaning() -> None:
    assert TrialParams.parse({"backbone": "a", "freeze_batchnorm": True}).batchnorm == "batch"
    assert TrialParams.parse({"backbone": "a", "freeze_batchnorm": False}).batchnorm == "all"


@pytest.mark.parametrize("prefix", ["timm/", "hf-hub:timm/", "hf_hub:timm/"])
def test_a_backbone_may_be_named_as_its_page_on_the_hub_names_it(prefix: str) -> None:
    printed, name = f"{prefix}resnet50.a1_in1k", "resnet50.a1_in1k"
    assert TrialParams(backbone=printed).backbone == name
    table = {"backbone": {"choices": [printed, "vit"]}, "starts": [{"backbone": printed}]}
    when = {"when": {"backbone": printed}, "value": 64}
    table["batch_size"] = {"value": 32, "cases": [when]}
    space = SearchSpace.from_table(table, name="mine")
    assert space.backbones == (name, "vit")
    assert list(space.recipes) == [{"backbone": name}]
    assert str(space.params({"backbone": name}, native_image_size={name: 32}).batch_size) == "64"
    assert space.with_fixed(backbone=printed).backbones == (name,)
