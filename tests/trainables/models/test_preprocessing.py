import pytest
import torch

from spaces import WeightsError
from trainables.images import PixelFormat
from trainables.models import Preprocessing, normalise


def test_preprocessing_is_timms_own_for_each_backbone() -> None:
    lite, inception = Preprocessing.of("tf_efficientnet_lite0"), Preprocessing.of("inception_v3")
    assert (lite.mean, lite.interpolation) == ((0.5, 0.5, 0.5), "bicubic")
    assert inception.image_size == 299
    assert Preprocessing.of("vit_tiny_patch16_224").fixed_input_size
    assert not Preprocessing.of("resnet18").fixed_input_size
    assert lite.pixel_format(48, "squash") == PixelFormat(48, "bicubic")


def test_a_letterbox_is_padded_with_the_mean_of_the_backbone() -> None:
    lite, resnet = Preprocessing.of("tf_efficientnet_lite0"), Preprocessing.of("resnet18")
    assert lite.pixel_format(48, "letterbox").padding == (128, 128, 128)
    assert resnet.pixel_format(48, "letterbox").padding == (124, 116, 104)
    assert resnet.pixel_format(48, "crop").padding == ()


def test_an_unknown_backbone_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(WeightsError, match="did you mean 'resnet18'"):
        Preprocessing.of("resnett18")


def test_normalised_images_have_timms_mean_and_deviation_removed() -> None:
    preprocessing = Preprocessing(32, "bicubic", (0.5, 0.4, 0.3), (0.1, 0.2, 0.3), False)
    images = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8)
    mean = torch.tensor(preprocessing.mean).view(3, 1, 1)
    std = torch.tensor(preprocessing.std).view(3, 1, 1)
    normalised = normalise(images, preprocessing)
    torch.testing.assert_close(normalised, (images / 255 - mean) / std, rtol=1e-4, atol=1e-5)
    assert normalised.is_contiguous(memory_format=torch.channels_last)
