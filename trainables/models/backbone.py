"""Build a timm backbone with pretrained weights and a new classification head."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NoReturn

import timm
import torch
from torch import nn

from spaces import SpaceError, TrialParams, WeightsError
from spaces.errors import first_line
from trainables.models.preprocessing import Preprocessing
from trainables.models.weights import Weights, read_state_dict

_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}


def timm_model_args(params: TrialParams) -> dict[str, Any]:
    """Arguments that `timm.create_model` needs to rebuild a trial's model from an export.

    These are ``img_size`` or none. Dropout rates are left out: they do nothing in inference.
    """
    native = Preprocessing.of(params.backbone)
    resized = native.fixed_input_size and params.image_size != native.image_size
    return {"img_size": params.image_size} if resized else {}


@lru_cache
def has_drop_path(backbone: str) -> bool:
    """Whether timm can build the backbone with stochastic depth."""
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

    The model maps normalised ``(n, 3, image_size, image_size)`` float32 to ``(n, num_classes)``
    logits. The head's last layer is 0, and so are all logits before training. All other parameters
    without pretrained values are drawn from torch's global random generator. With ``exportable``,
    timm uses only layers that can be exported.

    Raises `SpaceError` if the backbone can't have this image size or this head. Raises
    `WeightsError` if the weights file is missing or belongs to another model.
    """
    # 1. Collect timm's arguments.
    args = {"drop_rate": params.dropout, "exportable": exportable, **timm_model_args(params)}
    if params.drop_path and has_drop_path(params.backbone):
        args["drop_path_rate"] = params.drop_path
    if weights.file is not None:
        if not weights.file.exists():  # timm's error would not name the file
            raise weights.missing_file_error()
        # of 0 classes, so that timm never wants the file's head, which may be of others or absent
        stored = {"file": str(weights.file), "custom_load": False, "num_classes": 0}
        args["pretrained_cfg_overlay"] = stored
    # 2. Create the model, and load the weights.
    try:
        model: nn.Module = timm.create_model(
            params.backbone, pretrained=weights.file is not None, num_classes=num_classes, **args
        )
    except TypeError as error:
        if "img_size" not in str(error):
            raise
        raise SpaceError(
            f"The input size of {params.backbone} is fixed in timm, so image_size can't be "
            f"{params.image_size}; leave image_size at native for this backbone."
        ) from None
    except (AssertionError, LookupError, RuntimeError) as error:
        if "img_size" in args:
            _refuse_size(error, params, weights, num_classes)
        if weights.file is None or isinstance(error, AssertionError | IndexError):
            raise
        raise WeightsError(
            f"{weights.file} does not hold all weights of {params.backbone} ({_reason(error)}); "
            "replace the file with a timm state dict of this model."
        ) from None
    # 3. Make the head.
    for name in head_names(model):
        if params.head_hidden:
            _add_hidden_layer(model, name, params)
        _zero_last_layer(model.get_submodule(name))
    return model


def _refuse_size(
    error: Exception, params: TrialParams, weights: Weights, num_classes: int
) -> NoReturn:
    """Raise the error of a model that can't be built at an image size that is not its own.

    That is the error of its own size, if there is one.
    """
    native = Preprocessing.of(params.backbone).image_size
    build_model(params.model_copy(update={"image_size": native}), weights, num_classes)
    if isinstance(error, RuntimeError):
        raise SpaceError(
            f"The weights of {params.backbone} are for images of {native} pixels alone, so "
            f"image_size can't be {params.image_size}; leave image_size at native for this "
            "backbone."
        ) from None
    raise SpaceError(
        f"{params.backbone} can't take images of {params.image_size} pixels "
        f"({first_line(error)}); choose another image_size."
    ) from None


def _reason(error: Exception) -> str:
    """The first tensor that does not fit, of torch's list, or the first line of another error."""
    first, _, others = str(error).partition("\n")
    is_list = first.startswith("Error(s) in loading state_dict") and others
    return others.strip().partition("\n")[0].partition(", ")[0] if is_list else first


def check_weights(params: TrialParams, weights: Weights) -> None:
    """Check that a weights file can be read, and holds all tensors of the backbone.

    With a new number of classes, timm silently skips tensors that the file lacks. To find them, the
    model is built twice from one seed, with the file and without. A tensor with the same values in
    both models is missing from the file. A tensor whose initial values are all equal, such as most
    biases, can't be judged in this way and passes, unless it is a BatchNorm statistic. Raises
    `WeightsError`.
    """
    if weights.file is None:
        return
    stored = read_state_dict(weights.file)
    plain = params.model_copy(update={"head_hidden": 0})
    with_file = _seeded_tensors(plain, weights)
    without = _seeded_tensors(plain, Weights(weights.backbone, "none", None))
    missing = [
        name
        for name, tensor in without.items()
        if torch.equal(tensor, with_file[name])
        and (_is_statistic(name) or not _is_constant(tensor))
    ]
    if missing:  # the file of an untrained model may hold initial BatchNorm statistics
        missing = [name for name in missing if name not in stored]
    if missing:
        raise WeightsError(
            f"{weights.file} does not hold all weights of {weights.backbone}: {len(missing)} of "
            f"the model's {len(without)} tensors are missing, such as {missing[0]}; replace the "
            "file with a timm state dict of this model."
        )


def _seeded_tensors(params: TrialParams, weights: Weights) -> dict[str, torch.Tensor]:
    """Parameters and BatchNorm statistics of a model built from seed 0, by name."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(params, weights, 2)
    statistics = {name: b for name, b in model.named_buffers() if _is_statistic(name)}
    return {**dict(model.named_parameters()), **statistics}


def _is_statistic(name: str) -> bool:
    """Whether a tensor is a BatchNorm statistic. Training always changes the initial values."""
    return name.endswith(("running_mean", "running_var"))


def _is_constant(tensor: torch.Tensor) -> bool:
    """Whether all values are equal, as in a bias before training."""
    return not bool((tensor != tensor.flatten()[0]).any())


def head_names(model: nn.Module) -> tuple[str, ...]:
    """Module names of the classifier: one, or several in distilled models."""
    classifier = model.pretrained_cfg["classifier"]  # type: ignore[index]
    return (classifier,) if isinstance(classifier, str) else tuple(classifier)


@contextmanager
def random_head(model: nn.Module) -> Iterator[None]:
    """Give the head random weights for a comparison of logits; its own are restored afterwards.

    The zeros of a new head would hide any difference.
    """
    heads = [p for name in head_names(model) for p in model.get_submodule(name).parameters()]
    original = [p.detach().clone() for p in heads]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in heads:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 10)
        try:
            yield
        finally:
            for parameter, value in zip(heads, original, strict=True):
                parameter.copy_(value)


def _zero_last_layer(head: nn.Module) -> None:
    """Zero the classifier's last layer, as BiT and ViT fine-tuning recipes do.

    With timm's initial head, the first loss can be far above the loss of guessing. With two classes
    guessing has a loss of ln 2 = 0.69, but an EfficientNet starts at 3.
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
