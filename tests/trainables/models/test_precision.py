import json
from pathlib import Path

import pytest
import torch

from spaces import TrialParams
from trainables.models import Weights, build_model, choose_autocast, precision
from trainables.models.precision import AutocastDtypes


@pytest.fixture
def choose(  # type: ignore[no-untyped-def]
    params: TrialParams, untrained: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """``choose_autocast`` for a small model, as if on a CPU with AVX-512."""
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX512")
    model = build_model(params, untrained, 3)

    def chosen(wanted: precision.Precision, cache: Path | None = tmp_path) -> AutocastDtypes:
        return choose_autocast(wanted, model, "test_efficientnet", 32, cache=cache)

    chosen.model = model  # type: ignore[attr-defined]
    return chosen


def test_an_explicit_precision_is_used(choose) -> None:  # type: ignore[no-untyped-def]
    assert choose("fp32") == AutocastDtypes(None, None)
    assert choose("bf16") == AutocastDtypes(torch.bfloat16, torch.bfloat16)
    assert choose("auto", None) == AutocastDtypes(None, None)


def test_a_cpu_that_only_emulates_bfloat16_is_not_measured(
    choose, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX2")
    assert choose("auto") == AutocastDtypes(None, None)
    assert not (tmp_path / "precision").exists()


def test_a_cpu_is_measured_once_and_the_result_cached(choose, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    before = {n: t.clone() for n, t in choose.model.state_dict().items()}
    first = choose("auto")
    (file,) = (tmp_path / "precision").glob("*.json")
    assert torch.__version__.partition("+")[0] in file.name
    ((case, speedups),) = json.loads(file.read_text()).items()
    assert case == "test_efficientnet"
    assert min(speedups.values()) > 0
    assert choose("auto") == first
    assert all(torch.equal(t, before[n]) for n, t in choose.model.state_dict().items())
    assert all(p.grad is None for p in choose.model.parameters())


@pytest.mark.parametrize(
    ("speedups", "chosen"),
    [
        ({"prefix": 2.0, "suffix": 0.5}, AutocastDtypes(torch.bfloat16, None)),
        ({"prefix": 1.1, "suffix": 1.2}, AutocastDtypes(None, torch.bfloat16)),
    ],
)
def test_each_part_uses_bfloat16_only_where_it_is_clearly_faster(
    choose, monkeypatch: pytest.MonkeyPatch, speedups: dict[str, float], chosen: AutocastDtypes
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(precision, "_measure_speedups", lambda *unused: speedups)
    assert choose("auto") == chosen
