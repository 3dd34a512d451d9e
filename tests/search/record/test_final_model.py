import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from search.record import FinalModel, ProbeBaseline, RetrainedTrial, SweepPaths
from spaces import TrialParams
from trainables.evaluation import (
    McNemarTest,
    OperatingPoint,
    SensitivitySpecificity,
    TestMetrics,
)
from trainables.models import Weights, build_model

PARAMS = TrialParams(backbone="test_vit", image_size=32)
WINNER = RetrainedTrial("0007", 4, 0.9, PARAMS)
TEST = TestMetrics(
    accuracy=0.75,
    accuracy_ci95=(0.3, 0.95),
    balanced_accuracy=0.75,
    macro_f1=0.73,
    roc_auc=None,
    confusion_matrix=[[2, 0], [1, 1]],
    classes=["good", "bad"],
    per_class={"good": {"precision": 0.67, "recall": 1.0, "f1": 0.8, "images": 2}},
)
RATES = SensitivitySpecificity(OperatingPoint("bad", 0.9, 0.25), 0.5, (0.1, 0.9), 1.0, (0.3, 1.0))
FINAL = FinalModel(TEST, 0.5, (WINNER,), RATES)
PROBE = ProbeBaseline("0001", 0.5, McNemarTest("the final model", "the probe", 4, 1, 0))


def write(final: FinalModel, folder: Path) -> SweepPaths:
    """The paths of a sweep with this final model."""
    paths = SweepPaths(folder)
    paths.retrained.mkdir(parents=True)
    paths.metrics.write_text(json.dumps(final.to_dict()))
    return paths


@pytest.mark.parametrize("rates", [RATES, None])
@pytest.mark.parametrize("probe", [PROBE, None])
def test_a_final_model_is_read_as_it_was_written(
    rates: SensitivitySpecificity | None, probe: ProbeBaseline | None, tmp_path: Path
) -> None:
    final = replace(FINAL, rates=rates, probe=probe)
    assert FinalModel.read(write(final, tmp_path)) == final


def test_the_baseline_is_told_with_its_significance() -> None:
    assert str(PROBE) == (
        "The best linear probe, trial 0001, has 0.5000. On the same 4 test images, only the final "
        "model is right on 1 and only the probe on 0: no significant difference (McNemar's exact "
        "test, p = 1)."
    )


def test_a_final_model_of_an_earlier_version_is_read() -> None:
    paths = SweepPaths(Path(__file__).parents[2] / "fixtures" / "sweep_0_1")
    values = json.loads(paths.metrics.read_text())
    final = FinalModel.read(paths)
    assert final.test.accuracy == values["test"]["accuracy"]
    assert final.winner.trial_id == values["members"][0]["trial_id"]
    assert (final.winner.params.batchnorm, final.winner.params.head) == ("batch", "trained")
    assert final.probe is None


def test_a_sweep_that_is_not_retrained_has_no_final_model(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FinalModel.read(SweepPaths(tmp_path))


def test_the_name_of_a_final_model_lists_its_trials() -> None:
    other = replace(WINNER, trial_id="0012")
    assert FINAL.name == "trial 0007"
    assert replace(FINAL, members=(WINNER, other)).name == "the mean of trials 0007, 0012"


def test_an_ensemble_is_loaded_as_the_weighted_mean_of_its_members(tmp_path: Path) -> None:
    members = (replace(WINNER, weight=0.75), replace(WINNER, trial_id="0012", weight=0.25))
    paths = write(replace(FINAL, members=members), tmp_path)
    for k in range(2):
        torch.manual_seed(k)
        model = build_model(PARAMS, Weights("test_vit", "untrained", None), 2)
        state = {name: t + 0.1 * torch.randn(t.shape) for name, t in model.state_dict().items()}
        save_file(state, paths.member_weights(k))
    images = torch.rand(3, 3, 32, 32)
    single = [member.load(paths.member_weights(k), 2) for k, member in enumerate(members)]
    ensemble = FinalModel.read(paths).load(paths, 2)
    assert not ensemble.training
    with torch.inference_mode():
        probabilities = [model(images).softmax(1) for model in single]
        mean = 0.75 * probabilities[0] + 0.25 * probabilities[1]
        assert torch.allclose(ensemble(images).softmax(1), mean, atol=1e-6)
    assert not torch.allclose(probabilities[0], probabilities[1])
