import pytest

from search.config import SweepConfig, positive_class_index
from spaces import ConfigError


def test_the_positive_class_is_found_by_its_name() -> None:
    config = SweepConfig.parse({"data": "d", "sensitivity": "crack=0.95"})
    assert positive_class_index(config, ("crack", "sound")) == 0
    assert positive_class_index(config, ("asphalt", "crack")) == 1


def test_no_sensitivity_is_required_by_default() -> None:
    assert positive_class_index(SweepConfig.parse({"data": "d"}), ("a", "b")) is None


@pytest.mark.parametrize("classes", [("a", "b"), ("crack", "hole", "sound")])
def test_a_sensitivity_for_a_class_that_is_not_one_of_two_is_refused(
    classes: tuple[str, ...],
) -> None:
    config = SweepConfig.parse({"data": "d", "sensitivity": "crack=0.95"})
    with pytest.raises(ConfigError, match=f"names 'crack', and the data have {len(classes)} "):
        positive_class_index(config, classes)
