import pytest
import timm
from pydantic import ValidationError

from spaces import SpaceError, known_backbones
from spaces.known_backbones import TABLE, CostBounds


def test_timm_has_weights_of_every_known_backbone() -> None:
    names = [known.backbone for known in known_backbones()]
    assert len(names) == len(set(names)) > 40
    available = {*timm.list_pretrained(), *timm.list_models()}
    assert available.issuperset(names)


def test_the_weights_of_known_backbones_allow_commercial_use() -> None:
    configs = [timm.get_pretrained_cfg(known.backbone) for known in known_backbones()]
    licences = {config.license for config in configs if config}
    assert licences <= {"apache-2.0", "bsd-3-clause", "mit"}


def test_the_table_is_small_and_names_its_sources() -> None:
    text = TABLE.read_text(encoding="utf-8")
    assert len(text.encode()) < 100_000
    assert "huggingface/pytorch-image-models" in text
    assert "zLizy/transferability_graph" in text


def test_bounds_leave_out_what_is_larger() -> None:
    small = CostBounds(max_parameters_millions=6).names()
    assert "tf_efficientnet_lite0" in small
    assert "resnet50.tv_in1k" not in small
    both = CostBounds(max_parameters_millions=6, max_gmacs=0.3).names()
    assert both == tuple(known.backbone for known in known_backbones() if known.backbone in both)
    assert set(both) < set(small)
    assert len(CostBounds().names()) == len(known_backbones())


def test_bounds_that_nothing_meets_are_refused_with_the_smallest_backbone() -> None:
    with pytest.raises(SpaceError, match=r"within max_gmacs = 0.01; the smallest, \w+"):
        CostBounds(max_gmacs=0.01).names()


def test_bounds_are_positive() -> None:
    with pytest.raises(ValidationError):
        CostBounds(max_gmacs=0)
