"""A timm backbone as a trial wants it: its head, what of it trains, and at which learning rates."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import timm
import torch
from timm.data.config import resolve_data_config
from timm.models import group_parameters, load_state_dict
from timm.optim._param_groups import auto_group_layers
from torch import nn
from torch.optim import Optimizer

from spaces import SpaceError, TrialParams, WeightsError
from trainables.data import PixelFormat
from trainables.models.weights import Weights, check_backbone

_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}


@dataclass(frozen=True)
class Preprocessing:
    """What a backbone expects of its input, as timm states it."""

    image_size: int
    """Native side in pixels."""
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fixed_input_size: bool

    @classmethod
    def of(cls, backbone: str) -> "Preprocessing":
        """Read timm's record. Raises `WeightsError` for an unknown backbone."""
        check_backbone(backbone)
        cfg = timm.get_pretrained_cfg(backbone)
        data = resolve_data_config(pretrained_cfg=vars(cfg) if cfg else {"num_classes": 1000})
        method = data["interpolation"] if data["interpolation"] != "random" else "bilinear"
        fixed = bool(cfg and cfg.fixed_input_size)
        return cls(max(data["input_size"][1:]), method, data["mean"], data["std"], fixed)

    def pixel_format(self, image_size: int) -> PixelFormat:
        """The pixel store that serves this backbone at ``image_size``."""
        return PixelFormat(image_size, self.interpolation)


def timm_model_args(params: TrialParams) -> dict[str, Any]:
    """timm's arguments for this trial, dropout apart: what an export needs to make it again."""
    stated = Preprocessing.of(params.backbone)
    resized = stated.fixed_input_size and params.image_size != stated.image_size
    return {"img_size": params.image_size} if resized else {}


@lru_cache
def has_drop_path(backbone: str) -> bool:
    """Whether timm's model has stochastic depth to set."""
    try:
        with torch.device("meta"):
            timm.create_model(backbone, drop_path_rate=0.1)
    except TypeError:
        return False
    return True


def build_model(
    params: TrialParams, weights: Weights, num_classes: int, *, exportable: bool = False
) -> nn.Module:
    """The backbone with its weights and a new head, on the CPU, all of it trainable.

    Input ``(n, 3, image_size, image_size)`` float, normalised; output ``(n, num_classes)`` logits,
    which start at zero. Draws what else is new from torch's global generator. Raises `SpaceError`
    or `WeightsError`.
    """
    args = {"drop_rate": params.dropout, "exportable": exportable, **timm_model_args(params)}
    if params.drop_path and has_drop_path(params.backbone):
        args["drop_path_rate"] = params.drop_path
    if weights.file is not None:
        if not weights.file.exists():  # timm would not name it
            raise weights.missing_file_error()
        args["pretrained_cfg_overlay"] = {"file": str(weights.file), "custom_load": False}
    try:
        model: nn.Module = timm.create_model(
            params.backbone, pretrained=weights.file is not None, num_classes=num_classes, **args
        )
    except TypeError as error:
        if "img_size" not in str(error):
            raise
        raise SpaceError(
            f"{params.backbone} takes images of one size in timm, not of {params.image_size} "
            "pixels; leave image_size at native for it."
        ) from None
    except (RuntimeError, KeyError) as error:
        if weights.file is None:
            raise
        first = str(error).splitlines()[0]
        raise WeightsError(
            f"{weights.file} does not hold all weights of {params.backbone} ({first}); "
            "save a timm state dict of that very model there."
        ) from None
    for name in head_names(model):
        if params.head_hidden:
            _widen(model, name, params)
        _start_at_zero(model.get_submodule(name))
    return model


def check_weights(params: TrialParams, weights: Weights) -> None:
    """Raises `WeightsError` if some of the backbone would start at random all the same.

    With a new number of classes timm loads whatever names match and passes over the rest. So a
    model is made twice from one seed, with the file and without: what the file changed, it held.
    """
    if weights.file is None:
        return
    plain = params.model_copy(update={"head_hidden": 0})
    made = []
    for source in (weights, Weights(weights.backbone, "none", None)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = build_model(plain, source, 2)
        made.append({**dict(model.named_parameters()), **_statistics(model)})
    with_file, without = made
    kept = [name for name, tensor in without.items() if torch.equal(tensor, with_file[name])]
    kept = [name for name in kept if name in _statistics(model) or _varies(without[name])]
    if kept:  # a model that was never trained has statistics as they begin
        held = load_state_dict(weights.file, weights_only=True)
        kept = [name for name in kept if name not in held]
    if kept:
        raise WeightsError(
            f"{weights.file} does not hold all weights of {weights.backbone}: {len(kept)} of its "
            f"{len(without)} tensors are missing, {kept[0]} first; save a timm state dict of that "
            "very model there."
        )


def _statistics(model: nn.Module) -> dict[str, torch.Tensor]:
    """What BatchNorm layers have learned of the data: no training leaves it as it starts."""
    return {n: b for n, b in model.named_buffers() if n.endswith(("running_mean", "running_var"))}


def _varies(tensor: torch.Tensor) -> bool:
    """Whether a parameter starts at random; constants tell nothing."""
    return bool((tensor != tensor.flatten()[0]).any())


def head_names(model: nn.Module) -> tuple[str, ...]:
    """Module names of the classifier: one, or several for distilled models."""
    stated = model.pretrained_cfg["classifier"]  # type: ignore[index]
    return (stated,) if isinstance(stated, str) else tuple(stated)


def backbone_groups(model: nn.Module) -> list[list[str]]:
    """timm's ordered parameter groups, input first, the head's parameters left out.

    A model without a ``group_matcher`` is cut into runs of twelve parameters, as timm's own
    layer decay does.
    """
    head = head_names(model)
    if hasattr(model, "group_matcher"):
        matcher: Any = model.group_matcher
        numbered = group_parameters(model, matcher(coarse=False))
        groups = [numbered[number] for number in sorted(numbered)]
    else:
        number = auto_group_layers(model)
        groups = [[n for n in number if number[n] == k] for k in sorted(set(number.values()))]
    bodies = [[n for n in group if not _inside(n, head)] for group in groups]
    return [group for group in bodies if group]


def unfrozen_group_count(model: nn.Module, unfreeze: float) -> int:
    """How many of the backbone's groups a fraction opens, halves rounded up."""
    return int(unfreeze * len(backbone_groups(model)) + 0.5)


def unfreeze_groups(model: nn.Module, count: int) -> None:
    """Let the head and the ``count`` groups next to it train, and freeze the rest."""
    trained = {n for group in backbone_groups(model)[::-1][:count] for n in group}
    head = head_names(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trained or _inside(name, head))


def trainable_share(model: nn.Module) -> float:
    """Share of all parameters that train."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, trains in sizes if trains) / sum(n for n, _ in sizes)


def set_train_mode(model: nn.Module, *, freeze_batchnorm: bool) -> None:
    """Training mode for what trains; what is wholly frozen evaluates.

    So frozen parts neither drop anything nor move their BatchNorm statistics; the latter they do
    where ``freeze_batchnorm`` is False.
    """
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            module.eval()
    if not freeze_batchnorm:
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.train()


def parameter_groups(model: nn.Module, params: TrialParams) -> list[dict[str, Any]]:
    """The optimizer's groups over all that this trial will ever train, each with its own rate.

    The head trains at ``learning_rate``, the group next to it at ``backbone_lr_scale`` of that, and
    each further one at ``layer_decay`` of the one before. Biases and norms have no weight decay.
    """
    parameters = dict(model.named_parameters())
    exempt_names: Any = getattr(model, "no_weight_decay", tuple)
    exempt = set(exempt_names())
    bodies = backbone_groups(model)[::-1][: unfrozen_group_count(model, params.unfreeze)]
    head = [n for n in parameters if _inside(n, head_names(model))]
    groups = []
    for depth, names in enumerate([head, *bodies]):
        rate = params.learning_rate
        if depth > 0:
            rate *= params.backbone_lr_scale * params.layer_decay ** (depth - 1)
        plain = [n for n in names if is_bias_or_norm(n, parameters[n]) or n in exempt]
        decayed = [n for n in names if n not in plain]
        for members, decay in ((decayed, params.weight_decay), (plain, 0.0)):
            if members:
                tensors = [parameters[n] for n in members]
                groups.append({"params": tensors, "lr": rate, "weight_decay": decay})
    return groups


def make_optimizer(model: nn.Module, params: TrialParams) -> Optimizer:
    """The trial's update rule over its `parameter_groups`."""
    groups = parameter_groups(model, params)
    match params.optimizer:
        case "adamw":
            return torch.optim.AdamW(groups, fused=True)
        case "adam":
            return torch.optim.Adam(groups, fused=True)
        case "sgd":
            return torch.optim.SGD(groups, momentum=0.9, nesterov=True, fused=True)
        case "rmsprop":
            return torch.optim.RMSprop(groups)


def is_bias_or_norm(name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter is a bias or a norm's: not to be penalised."""
    return parameter.ndim <= 1 or name.endswith(".bias")


def normalise(images: torch.Tensor, stated: Preprocessing) -> torch.Tensor:
    """``(n, 3, h, w)`` uint8 to the floats that the backbone expects, channels last in memory.

    Goes by whole rows of pixels: torch takes four times as long to broadcast along three channels.
    """
    n, channels, height, width = images.shape
    mean = torch.tensor(stated.mean).to(images.device, non_blocking=True)
    std = torch.tensor(stated.std).to(images.device, non_blocking=True)
    rows = images.permute(0, 2, 3, 1).reshape(n * height, width * channels).float()
    rows.mul_((1 / (255 * std)).repeat(width)).sub_((mean / std).repeat(width))
    return rows.view(n, height, width, channels).permute(0, 3, 1, 2)


def _inside(name: str, modules: Iterable[str]) -> bool:
    return any(name == m or name.startswith(m + ".") for m in modules)


def _start_at_zero(head: nn.Module) -> None:
    """Zero the classifier's last layer, as BiT and ViT fine-tunes do.

    timm's own start can be far off: EfficientNets draw it by the number of classes, and two
    classes then begin at a loss of 3 instead of 0.69.
    """
    last = [m for m in head.modules() if isinstance(m, nn.Linear | nn.Conv2d)][-1]
    nn.init.zeros_(last.weight)
    if last.bias is not None:
        nn.init.zeros_(last.bias)


def _widen(model: nn.Module, name: str, params: TrialParams) -> None:
    """Put a hidden layer into the classifier ``name``, a linear layer or a 1x1 convolution."""
    plain = model.get_submodule(name)
    activation = _ACTIVATIONS[params.head_activation]()
    layers: tuple[nn.Module, nn.Module]
    if isinstance(plain, nn.Linear):
        hidden = nn.Linear(plain.in_features, params.head_hidden)
        layers = (hidden, nn.Linear(params.head_hidden, plain.out_features))
    elif isinstance(plain, nn.Conv2d) and plain.kernel_size == (1, 1):
        layers = (
            nn.Conv2d(plain.in_channels, params.head_hidden, 1),
            nn.Conv2d(params.head_hidden, plain.out_channels, 1),
        )
    else:
        raise SpaceError(
            f"The head of {params.backbone} is a {type(plain).__name__} and takes no hidden layer, "
            f"not {params.head_hidden}; leave head_hidden at 0."
        )
    wide = nn.Sequential(layers[0], activation, nn.Dropout(params.dropout), layers[1])
    model.set_submodule(name, wide)
