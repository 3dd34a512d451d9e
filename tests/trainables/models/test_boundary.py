import pytest
import torch

from trainables.models import CannotSplitError
from trainables.models.boundary import Boundary

FIXED = torch.arange(4.0)


def outputs(images: int) -> tuple[object, ...]:
    """Output of a prefix for a batch of so many images: nested values of every kind."""
    return (torch.zeros(images, 5, 7), [FIXED, images, "same"], {"pooled": torch.ones(images, 9)})


def test_the_kind_of_each_value_is_found_from_two_batch_sizes() -> None:
    boundary = Boundary.of(outputs(2), outputs(3))
    assert boundary.kinds == ("feature", "fixed", "batch", "constant", "feature")
    assert boundary.feature_shapes == ((5, 7), (9,))
    assert torch.equal(boundary.fixed[0], FIXED)


def test_features_are_extracted_from_nested_outputs_and_nested_again() -> None:
    boundary = Boundary.of(outputs(2), outputs(3))
    output = outputs(8)
    assert [f.shape for f in boundary.features(output)] == [(8, 5, 7), (8, 9)]
    assert boundary.nest([1, 2, 3, 4, 5]) == (1, [2, 3, 4], {"pooled": 5})


def test_a_prefix_whose_output_does_not_depend_on_the_images_is_refused() -> None:
    with pytest.raises(CannotSplitError, match="no value at the cut has one row per image"):
        Boundary.of((FIXED,), (FIXED,))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (torch.zeros(4, 5), torch.zeros(6, 5)),
        (torch.zeros(2, 2), torch.zeros(3, 3)),
        (torch.zeros(4), torch.ones(4)),
        (7, 8),
    ],
)
def test_a_value_that_can_not_be_stored_per_image_is_refused(first: object, second: object) -> None:
    with pytest.raises(CannotSplitError, match="can't be stored image by image"):
        Boundary.of((first,), (second,))
