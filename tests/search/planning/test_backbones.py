from typing import Any

import torch

from search.config import SweepConfig
from search.planning import complete_plan, measure_backbones, prepare_plan


def test_backbones_are_built_and_timed(settings: dict[str, Any]) -> None:
    threads = torch.get_num_threads()
    first, second = measure_backbones(complete_plan(prepare_plan(SweepConfig.parse(settings))))
    assert (first.backbone, second.backbone) == ("test_efficientnet", "test_vit")
    assert first.weights == "none (untrained start)"
    assert first.image_size == 32
    assert first.parameters > 10_000
    shares = list(first.trainable_share.values())
    assert list(first.trainable_share) == ["0", "0.25", "0.5", "0.75", "1"]
    assert shares == sorted(shares) and shares[-1] == 1
    assert first.train_images_per_second > 0
    assert torch.get_num_threads() == threads
