import pytest
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from spaces import ConfigError, DataError, RunError, SpaceError, UserError, WeightsError
from spaces.errors import first_line, sentences, unknown


class Example(BaseModel):
    """Settings to get wrong."""

    model_config = ConfigDict(extra="forbid")

    epochs: int
    seed: int = 0

    @field_validator("seed")
    @classmethod
    def _positive(cls, value: int) -> int:
        if value < 0:
            raise ValueError("seed must not be negative.")
        return value


def test_mistakes_of_users_are_one_kind_of_error_and_failed_runs_another() -> None:
    kinds = (ConfigError, SpaceError, DataError, WeightsError)
    assert all(issubclass(kind, UserError) for kind in kinds)
    assert not issubclass(RunError, UserError)


def test_all_problems_are_in_one_error_a_line_each() -> None:
    error = ConfigError.of(["One.", "Two."])
    assert isinstance(error, ConfigError)
    assert str(error).splitlines() == ["One.", "Two."]


def test_an_unknown_name_suggests_the_nearest_else_lists_all() -> None:
    assert unknown("flag", "tirals", ["trials", "seed"]) == (
        "Unknown flag 'tirals'; did you mean 'trials'?"
    )
    assert (
        unknown("flag", "xyz", ["trials", "seed"])
        == "Unknown flag 'xyz'; valid names: seed, trials."
    )


def test_every_problem_that_pydantic_finds_becomes_a_sentence() -> None:
    with pytest.raises(ValidationError) as caught:
        Example.model_validate({"epohcs": 3, "seed": -1})
    assert sorted(sentences(caught.value, Example.model_fields, "setting")) == [
        "The setting 'epochs' is missing; give it a value.",
        "Unknown setting 'epohcs'; did you mean 'epochs'?",
        "seed: seed must not be negative.",
    ]


def test_the_first_line_of_an_error_is_its_message_else_its_class() -> None:
    assert first_line(ValueError("short\nand long")) == "short"
    assert first_line(KeyboardInterrupt()) == "KeyboardInterrupt"  # type: ignore[arg-type]
