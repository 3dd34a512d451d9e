import optuna
import pytest
from pydantic import ValidationError

from spaces import Candidates, Choices, Fixed, Range, value_from_text
from spaces.dimension import dimension_of, to_field_type


def test_an_entry_of_a_table_becomes_the_dimension_of_its_keys() -> None:
    assert dimension_of("dropout", 0.1) == Fixed(value=0.1)
    assert dimension_of("dropout", {"low": 0, "high": 0.5}) == Range(low=0.0, high=0.5)
    assert dimension_of("optimizer", {"choices": ["sgd", "adam"]}) == Choices(
        choices=("sgd", "adam")
    )


def test_auto_stands_for_the_known_backbones_within_bounds() -> None:
    everything = dimension_of("backbone", "auto")
    small = dimension_of("backbone", {"choices": "auto", "max_gmacs": 1, "reason": "phones"})
    assert isinstance(everything, Candidates)
    assert isinstance(small, Candidates)
    assert small.reason == "phones"
    assert "mobilenetv2_100.ra_in1k" in small.choices
    assert set(small.choices) < set(everything.choices)
    assert dimension_of("optimizer", "auto") == Fixed(value="auto"), "only of backbones"


def test_numbers_take_the_type_of_their_field() -> None:
    assert type(to_field_type(1, "dropout")) is float
    assert type(to_field_type(1e3, "head_hidden")) is int
    assert to_field_type(0.5, "head_hidden") == 0.5
    assert to_field_type([1, 2], "dropout") == [1.0, 2.0]


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("augment", "0", 0.0),
        ("image_size", "224", 224),
        ("image_size", "native", "native"),
        ("gradual_unfreezing", "true", True),
        ("fit", "crop", "crop"),
        ("fit", "corp", "corp"),
        ("learning_rate", "high", "high"),
        ("learning_rate", "nan", "nan"),
        ("augmnt", "0", "0"),
    ],
)
def test_text_takes_the_type_of_its_field_if_it_can(field: str, text: str, value: object) -> None:
    read = value_from_text(text, field)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("dimension", "start"),
    [
        (Fixed(value="a"), "a"),
        (Range(low=0.0, high=1.0), 0.5),
        (Range(low=1e-4, high=1e-2, log=True), pytest.approx(1e-3)),
        (Range(low=0.0, high=1.0, default=0.2), 0.2),
        (Choices(choices=("a", "b")), "a"),
        (Choices(choices=("a", "b"), default="b"), "b"),
    ],
)
def test_a_trial_that_sets_no_value_gets_the_default(
    dimension: Fixed | Range | Choices, start: object
) -> None:
    assert dimension.start == start


def test_a_range_contains_its_steps_alone() -> None:
    steps = Range(low=0.0, high=0.5, step=0.1)
    assert steps.contains(0.3)
    assert not steps.contains(0.35)
    assert not steps.contains("0.3")
    assert steps.nearest(0.33) == pytest.approx(0.3)
    assert Range(low=1, high=4).values == (1, 2, 3, 4)
    assert Range(low=1, high=4, log=True).values == ()


def test_steps_are_the_numbers_that_people_write() -> None:
    steps = Range(low=0.0, high=1.0, step=0.1)
    assert steps.values == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    fixed = optuna.trial.FixedTrial({"unfreeze": 0.1 + 0.2})
    assert steps.suggest(fixed, "unfreeze") == 0.3  # type: ignore[arg-type]
    assert Range(low=1e-4, high=5e-4, step=1e-4).values == (1e-4, 2e-4, 3e-4, 4e-4, 5e-4)


def test_the_nearest_value_of_a_range_lies_inside_it() -> None:
    assert Range(low=0.0, high=0.5).nearest(0.9) == 0.5
    assert Range(low=16, high=1024, log=True).nearest(31.6) == 32


def test_the_nearest_of_choices_is_the_value_itself_or_the_default() -> None:
    choices = Choices(choices=("a", "b"), default="b")
    assert choices.nearest("a") == "a"
    assert choices.nearest("z") == "b"


@pytest.mark.parametrize(
    "bounds", [{"low": 1, "high": 1}, {"low": 0, "high": 1, "log": True}, {"low": 0, "hihg": 1}]
)
def test_bounds_that_make_no_range_are_refused(bounds: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Range.model_validate(bounds)
