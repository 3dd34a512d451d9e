from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm

from tests.benchmarks.backbones.fine_tunes import FineTunes, timm_name
from tests.benchmarks.backbones.leave_one_out import MEAN_RANK, OURS, PUBLISHED, LeaveOneOut
from tests.benchmarks.backbones.prior import Constants, Effects, Prior, capped

SETS = 16
CONSTANTS = Constants(depth=30, rank=1, kinship=3)


@pytest.fixture(scope="module")
def tunes() -> FineTunes:
    """Thirty backbones; on every fourth set, the second architecture leads by 20 points."""
    rng = np.random.default_rng(0)
    models = [f"microsoft/swin-{i}" for i in range(10)] + [f"google/vit-{i}" for i in range(20)]
    quality = np.array([*rng.normal(40, 2, 10), *rng.normal(60, 2, 20)])
    accuracy = quality[:, None] + rng.normal(0, 1, (30, SETS))
    accuracy[:10, ::4] += 40
    return FineTunes(models, [f"set {s}" for s in range(SETS)], accuracy)


def prior_of(tunes: FineTunes, accuracy: np.ndarray) -> Prior:
    effects = Effects.of(capped(accuracy, CONSTANTS.depth))
    return effects.prior(tunes.architectures, CONSTANTS)


def test_whole_sets_other_rates_and_lone_tasks_are_no_records(tmp_path: Path) -> None:
    names = ["caltech101", "clevr", "dtd", "eurosat", "kitti", "sun397", "pets", "flowers"]
    names += ["dsprites", "smallnorb", "dmlab", "svhn", "cifar100"]
    rows = [("google/vit", name, 0.01, 100.0, 0.5) for name in names]
    rows += [("google/vit", "clevr", 0.01, 100.0, 0.7), ("google/vit", "dsprites", 0.01, 99.0, 0.1)]
    rows += [("google/vit", "cifar100", 0.01, 5000.0, 0.9), ("google/vit", "dtd", 0.1, 100.0, 0.9)]
    columns = ["model_identifier", "train_dataset_name", "lr", "elapsed_time", "test_accuracy"]
    pd.DataFrame(rows, columns=columns).to_parquet(tmp_path / "records.parquet")
    tunes = FineTunes.read(tmp_path / "records.parquet")
    known = dict(zip(tunes.sets, tunes.accuracy[0].round(6), strict=True))
    assert known["clevr"] == 60
    assert known["dsprites"] == 30
    assert np.isnan(known["smallnorb"])
    assert known["cifar100"] == known["dtd"] == 50


@pytest.mark.parametrize(
    "model, name",
    [
        ("facebook/deit-base-distilled-patch16-384", "deit_base_distilled_patch16_384.fb_in1k"),
        ("facebook/convnext-base-384-22k-1k", "convnext_base.fb_in22k_ft_in1k_384"),
        ("facebook/convnext-large-224-22k", "convnext_large.fb_in22k"),
        ("microsoft/swin-base-patch4-window7-224", "swin_base_patch4_window7_224.ms_in1k"),
        (
            "microsoft/beit-base-patch16-224-pt22k-ft22k",
            "beit_base_patch16_224.in22k_ft_in22k",
        ),
        ("google/vit-base-patch16-384", "vit_base_patch16_384.orig_in21k_ft_in1k"),
        ("WinKawaks/vit-tiny-patch16-224", "vit_tiny_patch16_224.augreg_in21k_ft_in1k"),
    ],
)
def test_a_model_of_the_hub_has_the_name_of_timms_copy(model: str, name: str) -> None:
    assert timm_name(model) == name
    assert name in timm.list_pretrained(name.partition(".")[0] + ".*")


@pytest.mark.parametrize(
    "model", ["facebook/convnext-large-384", "microsoft/beit-base-patch16-224-pt22k", "nvidia/mit"]
)
def test_a_model_that_timm_lacks_has_no_name_there(model: str) -> None:
    assert timm_name(model) is None


def test_a_disappointing_pick_lowers_its_whole_architecture(tunes: FineTunes) -> None:
    prior = prior_of(tunes, tunes.accuracy[:, 1:])
    first, second, *_ = prior.in_turn(tunes.accuracy[:, 0], 3)
    assert tunes.architectures[first] == "vit"
    assert tunes.architectures[second] == "swin"


def test_picks_without_a_result_are_of_both_architectures(tunes: FineTunes) -> None:
    prior = prior_of(tunes, tunes.accuracy[:, 1:])
    assert set(tunes.architectures[prior.most_promising(4)]) == {"vit", "swin"}


def test_a_prior_knows_nothing_of_the_set_left_out(tunes: FineTunes) -> None:
    changed = tunes.accuracy.copy()
    changed[:, 3] = 0
    other = FineTunes(tunes.models, tunes.sets, changed)
    means = [
        LeaveOneOut(each, np.full(30, np.nan)).prior(frozenset((3,)), CONSTANTS).mean
        for each in (tunes, other)
    ]
    np.testing.assert_array_equal(*means)


def test_picks_in_turn_have_less_regret_than_the_mean_rank(tunes: FineTunes) -> None:
    bench = LeaveOneOut(tunes, np.full(30, np.nan))
    by_rank = bench.regrets(bench.pickers()[MEAN_RANK], 3, [PUBLISHED], range(SETS))
    in_turn = bench.regrets(bench.in_turn(CONSTANTS), 3, [PUBLISHED], range(SETS))
    assert OURS in bench.pickers()
    assert in_turn[0, ::4].mean() < 5 < by_rank[0, ::4].mean()


def test_fine_tunes_that_failed_count_as_not_recorded(tunes: FineTunes) -> None:
    failed = tunes.accuracy.copy()
    failed[5, 2] = failed[6, 2] = 1.0
    learned = FineTunes(tunes.models, tunes.sets, failed).without_failures()
    assert np.isnan(learned.accuracy[[5, 6], 2]).all()
    assert learned.accuracy[20, 2] == failed[20, 2]
