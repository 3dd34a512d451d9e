from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch

from search.config import SweepConfig
from search.record import Repeat
from search.trial import TrialJob
from spaces import TrialParams
from tests.support.other_machine import elsewhere
from trainables.data import CompressedImages, Dataset, OriginalImages, build_store
from trainables.images import PixelFormat
from trainables.models import Weights


def test_another_machine_does_not_confuse_weights_with_those_of_an_earlier_sweep(
    ray_cluster: None, settings: dict[str, Any], params: TrialParams, tmp_path: Path
) -> None:
    """Of the same name at home, and kept at the same place there."""
    file = tmp_path / "model.safetensors"
    config = SweepConfig.parse({**settings, "cache_dir": tmp_path / "cache"})

    def fetched(content: bytes) -> bytes:
        file.write_bytes(content)
        weights = replace(
            Weights.from_file(params.backbone, "a file", file), stamp=content.decode()
        )
        job = TrialJob(config, None, {}, {params.backbone: weights}, on_gpu=False)  # type: ignore[arg-type]
        there = ray.get(elsewhere(TrialJob.weights_for).remote(job, params))
        assert there.file != file
        return bytes(there.file.read_bytes())

    assert [fetched(sweep) for sweep in (b"first", b"second", b"first")] == [
        b"first",
        b"second",
        b"first",
    ]


def test_another_machine_gets_compressed_images_and_exactly_decoded_test_images(
    ray_cluster: None,
    large_dataset: Dataset,
    settings: dict[str, Any],
    params: TrialParams,
    tmp_path: Path,
) -> None:
    form = PixelFormat(32, "bicubic")
    tight = {"cache_dir": tmp_path, "cache_gib": 250_000 / 2**30, "metric": "val_accuracy"}
    config = SweepConfig.parse({**settings, **tight})
    store = build_store(large_dataset, form, cache=tmp_path, budget_bytes=config.cache_bytes)
    assert isinstance(store, CompressedImages)
    job = TrialJob(config, large_dataset, {form: store}, {}, on_gpu=False)
    store.file.unlink()
    assert ray.get(elsewhere(TrialJob.store_for).remote(job, params)) == store
    assert store.file.exists(), "the driver's machine has made it again"
    expected = OriginalImages(large_dataset, form).read(large_dataset.rows("test"))
    test = ray.get(elsewhere(TrialJob.test_images).remote(job, params))
    assert torch.equal(test.images(np.arange(len(test))), expected)
    assert test.labels.tolist() == large_dataset.labels[large_dataset.rows("test")].tolist()


def test_a_cross_validated_trial_has_its_own_memory_measurements(
    settings: dict[str, Any], params: TrialParams
) -> None:
    """Its models are all in memory at a time."""
    config = SweepConfig.parse(settings)
    jobs = [
        TrialJob(config.model_copy(update={"folds": k}), None, {}, {}, on_gpu=True)  # type: ignore[arg-type]
        for k in (0, 3, 5)
    ]
    assert len({job.memory_case(params) for job in jobs}) == 3


def test_a_repeat_is_validated_on_a_part_of_the_training_images(
    dataset: Dataset,
    settings: dict[str, Any],
    params: TrialParams,
    untrained: Weights,
    cache: Path,
) -> None:
    form = PixelFormat(32, "bicubic")
    job = TrialJob(
        SweepConfig.parse({**settings, "metric": "val_accuracy"}),
        dataset,
        {form: build_store(dataset, form, cache=cache)},
        {params.backbone: untrained},
        on_gpu=False,
    )
    parts = job.validation.parts
    for part in (0, 3):
        repeat = job.begin(params, Repeat(0, 1, rounds=1, part=part))
        assert repeat.run_round().is_last
        assert repeat.best_logits is not None
        assert len(repeat.best_logits) == len(parts[part]) == 21
    again = job.begin(params, Repeat(0, 1, rounds=1))
    again.run_round()
    assert again.best_logits is not None
    assert len(again.best_logits) == len(dataset.rows("val")) == 18
