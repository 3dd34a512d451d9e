import pytest
import torch
from torch import nn

from trainables.inference import Flips, average_flips, passes_of


def classifier() -> nn.Module:
    """A classifier whose answers depend on where in an image the light is."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 3))


@pytest.mark.parametrize(("flips", "axes"), [("horizontal", [(3,)]), ("both", [(3,), (2,)])])
def test_the_probabilities_are_the_mean_over_an_image_and_its_mirror_images(
    flips: Flips, axes: list[tuple[int, ...]]
) -> None:
    model, images = classifier(), torch.rand(5, 3, 4, 4)
    views = [images, *(images.flip(mirrored) for mirrored in axes)]
    with torch.inference_mode():
        mean = torch.stack([model(view).softmax(dim=1) for view in views]).mean(dim=0)
        averaged = average_flips(model, flips)(images).softmax(dim=1)
    torch.testing.assert_close(averaged, mean)
    assert passes_of(flips) == len(views)


def test_a_model_without_flips_is_the_model_itself() -> None:
    model = classifier()
    assert average_flips(model, "none") is model
