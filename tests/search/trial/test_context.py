from dataclasses import replace
from pathlib import Path
from typing import Any

import ray

from search.config import SweepConfig
from search.trial import TrialJob
from spaces import TrialParams
from tests.support.other_machine import elsewhere
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
