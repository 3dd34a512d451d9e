"""Build a timm backbone with pretrained weights and a new classification head."""

from functools import lru_cache
from typing import Any

import timm
import torch
from timm.models import load_state_dict
from torch import nn

from spaces import SpaceError, TrialParams, WeightsError
from trainables.models.preprocessing import Preprocessing
from trainables.models.weights import Weights

_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}


def timm_model_args(params: TrialParams) -> dict[str, Any]:
    """Arguments of `timm.create_model` that rebuild a trial's model from its export.

    Leaves out dropout, which does nothing in inference.
    """
    native = Preprocessing.of(params.backbone)
    resized = native.fixed_input_size and params.image_size != native.image_size
    return {"img_size": params.image_size} if resized else {}


@lru_cache
def has_drop_path(backbone: str) -> bool:
    """Whether timm's model supports stochastic depth."""
    try:
        with torch.device("meta"):
            timm.create_model(backbone, drop_path_rate=0.1)
    except TypeError:
        return False
    return True


def build_model(
    params: TrialParams, weights: Weights, num_classes: int, *, exportable: bool = False
) -> nn.Module:
    """Build a backbone with its weights and a new head, on the CPU, with nothing frozen.

    Maps normalised ``(n, 3, image_size, image_size)`` float32 to ``(n, num_classes)`` logits, which
    are zero before training. Other new parameters are drawn from torch's global random generator.

    Raises `SpaceError` if the backbone supports no such image size or head, and `WeightsError` if
    the weights file is missing or belongs to another model.
    """
    # 1. Collect timm's arguments.
    args = {"drop_rate": params.dropout, "exportable": exportable, **timm_model_args(params)}
    if params.drop_path and has_drop_path(params.backbone):
        args["drop_path_rate"] = params.drop_path
    if weights.file is not None:
        if not weights.file.exists():  # timm's error would not name the file
            raise weights.missing_file_error()
        args["pretrained_cfg_overlay"] = {"file": str(weights.file), "custom_load": False}
    # 2. Create the model, and load the weights.
    try:
        model: nn.Module = timm.create_model(
            params.backbone, pretrained=weights.file is not None, num_classes=num_classes, **args
        )
    except TypeError as error:
        if "img_size" not in str(error):
            raise
        raise SpaceError(
            f"{params.backbone} has a fixed input size in timm, not {params.image_size} pixels; "
            "leave image_size at native for it."
        ) from None
    except (RuntimeError, KeyError) as error:
        if weights.file is None:
            raise
        first = str(error).splitlines()[0]
        raise WeightsError(
            f"{weights.file} does not hold all weights of {params.backbone} ({first}); "
            "replace it with a timm state dict of this model."
        ) from None
    # 3. Make the head.
    for name in head_names(model):
        if params.head_hidden:
            _add_hidden_layer(model, name, params)
        _zero_last_layer(model.get_submodule(name))
    return model


def check_weights(params: TrialParams, weights: Weights) -> None:
    """Check that a weights file holds all tensors of the backbone. Raises `WeightsError` if not.

    With a new number of classes, timm silently skips tensors that the file lacks. To find them, the
    model is built twice from one seed, with the file and without. A tensor with the same values in
    both models is missing, unless all its initial values are equal, as in most biases.
    """
    if weights.file is None:
        return
    plain = params.model_copy(update={"head_hidden": 0})
    with_file = _seeded_tensors(plain, weights)
    without = _seeded_tensors(plain, Weights(weights.backbone, "none", None))
    missing = [
        name
        for name, tensor in without.items()
        if torch.equal(tensor, with_file[name])
        and (_is_statistic(name) or not _is_constant(tensor))
    ]
    if missing:  # a model that was never trained may store initial BatchNorm statistics
        stored = load_state_dict(weights.file, weights_only=True)
        missing = [name for name in missing if name not in stored]
    if missing:
        raise WeightsError(
            f"{weights.file} does not hold all weights of {weights.backbone}: {len(missing)} of "
            f"its {len(without)} tensors are missing, {missing[0]} first; replace it with "
            "a timm state dict of this model."
        )


def _seeded_tensors(params: TrialParams, weights: Weights) -> dict[str, torch.Tensor]:
    """Parameters and BatchNorm statistics of a model built from seed 0, by name."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(params, weights, 2)
    statistics = {name: b for name, b in model.named_buffers() if _is_statistic(name)}
    return {**dict(model.named_parameters()), **statistics}


def _is_statistic(name: str) -> bool:
    """Whether a tensor is a BatchNorm statistic, whose initial value training always changes."""
    return name.endswith(("running_mean", "running_var"))


def _is_constant(tensor: torch.Tensor) -> bool:
    """Whether all values are equal, as in a bias before training."""
    return not bool((tensor != tensor.flatten()[0]).any())


def head_names(model: nn.Module) -> tuple[str, ...]:
    """Module names of the classifier: one, or several in distilled models."""
    classifier = model.pretrained_cfg["classifier"]  # type: ignore[index]
    return (classifier,) if isinstance(classifier, str) else tuple(classifier)


def _zero_last_layer(head: nn.Module) -> None:
    """Zero the classifier's last layer, as BiT and ViT fine-tuning recipes do.

    With timm's initial head the first loss can be far above that of guessing: an EfficientNet with
    two classes starts at 3 instead of ln 2 = 0.69.
    """
    last = [m for m in head.modules() if isinstance(m, nn.Linear | nn.Conv2d)][-1]
    nn.init.zeros_(last.weight)
    if last.bias is not None:
        nn.init.zeros_(last.bias)


def _add_hidden_layer(model: nn.Module, name: str, params: TrialParams) -> None:
    """Replace the classifier ``name`` by two layers with an activation and dropout between them.

    Raises `SpaceError` unless the classifier is a linear layer or a 1x1 convolution.
    """
    classifier = model.get_submodule(name)
    activation = _ACTIVATIONS[params.head_activation]()
    layers: tuple[nn.Module, nn.Module]
    if isinstance(classifier, nn.Linear):
        hidden = nn.Linear(classifier.in_features, params.head_hidden)
        layers = (hidden, nn.Linear(params.head_hidden, classifier.out_features))
    elif isinstance(classifier, nn.Conv2d) and classifier.kernel_size == (1, 1):
        layers = (
            nn.Conv2d(classifier.in_channels, params.head_hidden, 1),
            nn.Conv2d(params.head_hidden, classifier.out_channels, 1),
        )
    else:
        raise SpaceError(
            f"The head of {params.backbone} is a {type(classifier).__name__}, which can't have a "
            f"hidden layer of {params.head_hidden} units; leave head_hidden at 0."
        )
    head = nn.Sequential(layers[0], activation, nn.Dropout(params.dropout), layers[1])
    model.set_submodule(name, head)
