"""`TrialParams`: one point of the search space, every field concrete."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from spaces.errors import SpaceError, sentences

Fit = Literal["squash", "letterbox", "crop"]
"""How an image that is not square becomes the square input of a model."""


def with_current_names(values: Mapping[str, object]) -> dict[str, object]:
    """Values that an earlier version recorded, by the names and in the terms of this one."""
    current = dict(values)
    if "freeze_batchnorm" in current:
        current.setdefault("batchnorm", batchnorm_of_old(current.pop("freeze_batchnorm")))
    return current


def batchnorm_of_old(freeze: object) -> object:
    """Value of ``batchnorm`` for one of ``freeze_batchnorm``, its name in earlier versions."""
    return {True: "batch", False: "all"}[freeze] if isinstance(freeze, bool) else freeze


NO_EFFECT: Mapping[str, tuple[str, object]] = {
    "backbone_lr_scale": ("unfreeze", 0),
    "layer_decay": ("unfreeze", 0),
    "gradual_unfreezing": ("unfreeze", 0),
    "head_activation": ("head_hidden", 0),
    **dict.fromkeys(
        ("flips", "max_rotation", "zoom", "colour", "noise", "erasing"), ("augment", 0)
    ),
}
"""Field: (other field, value). The field has no effect if the other field has this value."""

_PROBE_FIELDS = {"backbone", "image_size", "fit", "head", "balance"}
"""Fields that matter to a linear probe."""

ZERO_IN_PROBES = ("unfreeze", "augment", "head_hidden")
"""Fields that must be 0 in a linear probe."""


EARLIER_VALUES: Mapping[str, str] = {"head_start": "zero"}
"""Fields that records of earlier versions lack, with the value that their trials had."""


HUB_PREFIXES = ("hf-hub:timm/", "hf_hub:timm/", "timm/")
"""What the hub's pages print in front of a timm model's name."""


def without_hub_prefix(value: Any) -> Any:
    """A value of a settings or space file with plain timm names, also inside lists and tables."""
    if isinstance(value, dict):
        return {key: without_hub_prefix(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_hub_prefix(inner) for inner in value]
    if isinstance(value, str):
        for prefix in HUB_PREFIXES:
            value = value.removeprefix(prefix)
    return value


class TrialParams(BaseModel):
    """Hyperparameters of one fine-tune: all it depends on besides data, seed and number of epochs.

    The defaults are typical values of published fine-tuning recipes. A search space lets some
    fields vary and fixes all others.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    backbone: str
    """Name of a timm model, with its weight tag if it has several ("resnet50.a1_in1k")."""
    unfreeze: float = Field(0.25, ge=0, le=1)
    """Fraction of the backbone's layer groups that train, counted from the head. With 0 only the
    head trains, with 1 all layers train."""
    learning_rate: float = Field(1e-3, gt=0)
    """Peak learning rate of the head."""
    backbone_lr_scale: float = Field(0.1, gt=0, le=1)
    """Learning rate of the backbone's last group, as a share of the head's rate."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Learning rate of each backbone group, relative to the next group towards the head."""
    weight_decay: float = Field(1e-3, ge=0)
    """Weight decay, except for biases and normalisation layers. It is decoupled in adamw, and an L2
    penalty in the other optimizers."""
    l1: float = Field(0.0, ge=0)
    """Factor of the L1 penalty on trained weights. Biases and normalisation layers have none."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Probability of dropping a feature in front of the classifier."""
    drop_path: float = Field(0.0, ge=0, lt=1)
    """Rate of stochastic depth, for backbones that support it."""
    augment: float = Field(0.3, ge=0, le=1)
    """Strength of the random image transforms; 0 leaves images unchanged. The next six fields say
    which kinds of transforms it drives; with a kind that is off, the others stay the same."""
    flips: Literal["none", "horizontal", "both"] = "horizontal"
    """Directions in which images are mirrored at random: "none" where a mirror image has another
    meaning (digits, letters, left and right), "both" where images have no upright position."""
    max_rotation: float = Field(30.0, ge=0, le=180)
    """Largest rotation in degrees, to either side, at strength 1."""
    zoom: bool = True
    """Whether images are zoomed, shifted, stretched and sheared."""
    colour: bool = True
    """Whether brightness, contrast and saturation vary."""
    noise: bool = True
    """Whether Gaussian noise is added."""
    erasing: bool = True
    """Whether a box of some images is erased (Zhong et al. 2020)."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of a target's probability that is spread evenly over the classes."""
    optimizer: Literal["adamw", "adam", "sgd", "rmsprop"] = "adamw"
    """Update rule; sgd has Nesterov momentum 0.9."""
    schedule: Literal["cosine", "plateau", "cyclic", "constant"] = "cosine"
    """Learning-rate schedule after the warm-up, over the sweep's max_epochs."""
    warmup_epochs: float = Field(0.5, ge=0)
    """Epochs over which the learning rate rises from zero to its peak. In a large set, whose epochs
    have several rounds, it rises over this many rounds."""
    batch_size: int = Field(32, ge=2)
    """Images per optimizer step."""
    image_size: int = Field(224, ge=16)
    """Side of the square input in pixels."""
    fit: Fit = "squash"
    """How an image that is not square becomes the square input. "squash" stretches it; nothing is
    lost but the aspect ratio. "letterbox" keeps the whole image and the aspect ratio, and pads the
    square with bars in the mean colour of the backbone's pretraining. "crop" keeps the aspect
    ratio, and the central square alone."""
    head: Literal["trained", "solved"] = "trained"
    """Whether the head is trained by gradient steps, or is a linear probe: solved to its end on the
    frozen backbone's features in one epoch. A probe needs unfreeze, augment and head_hidden at 0;
    of the other fields, only backbone, image_size, fit and balance matter to it."""
    head_start: Literal["zero", "solved"] = "solved"
    """Weights that a trained head begins with. "solved" are those of the backbone's linear probe
    (Kumar et al. 2022): few epochs then suffice. A head with a hidden layer, or on an untrained
    backbone, begins at zero."""
    head_hidden: int = Field(0, ge=0)
    """Width of a hidden layer in the head; 0 is a plain linear classifier."""
    head_activation: Literal["relu", "gelu", "silu", "tanh"] = "gelu"
    """Non-linearity after the head's hidden layer."""
    gradual_unfreezing: bool = False
    """Train the head first, and unfreeze groups backwards over the first half of max_epochs."""
    balance: Literal["none", "weighted", "effective", "oversample", "undersample"] = "none"
    """Remedy for class imbalance. "weighted" weights the loss of a class by the inverse of its
    number of images, "effective" by the inverse of its effective number (Cui et al. 2019).
    "oversample" and "undersample" resample images by class."""
    focal_gamma: float = Field(0.0, ge=0)
    """Exponent of the focal loss (Lin et al. 2017). Higher values reduce the loss of images that
    are classified with confidence; 0 is plain cross-entropy."""
    batchnorm: Literal["frozen", "batch", "all"] = "frozen"
    """Statistics that BatchNorm layers normalise by in training. "frozen" keeps the pretrained ones
    in all layers; it needs lower learning rates, and is safest for few images. Untrained weights
    have none, and train as with "batch". With "batch", the layers of groups that train use those of
    each batch, and learn running ones. With "all", the layers of frozen groups do so too, and their
    features can't be stored."""

    @model_validator(mode="before")
    @classmethod
    def _read_old_batchnorm(cls, values: Any) -> Any:
        """Reads parameters that an earlier version recorded."""
        return with_current_names(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _probe_is_linear(self) -> Self:
        if self.head == "solved" and any(getattr(self, field) for field in ZERO_IN_PROBES):
            raise ValueError(
                "head can be solved only with unfreeze, augment and head_hidden at 0, not "
                f"{self.unfreeze:g}, {self.augment:g} and {self.head_hidden}."
            )
        return self

    @property
    def linear_probe(self) -> "TrialParams":
        """The linear probe of the same backbone on the same input."""
        kept = self.model_dump(include=_PROBE_FIELDS - {"head"})
        return TrialParams(**kept, head="solved", unfreeze=0, augment=0)

    @property
    def without_effect(self) -> frozenset[str]:
        """Names of the fields that have no effect on the trial, because of the other fields."""
        if self.head == "solved":
            return frozenset(type(self).model_fields.keys() - _PROBE_FIELDS)
        pairs = NO_EFFECT.items()
        without = {f for f, (other, value) in pairs if getattr(self, other) == value}
        return frozenset(without | ({"head_start"} if self.head_hidden else set()))

    @field_validator("backbone", mode="before")
    @classmethod
    def _plain_name(cls, name: object) -> object:
        """Accepts a name as the hub prints it."""
        return without_hub_prefix(name)

    @classmethod
    def parse(cls, values: dict[str, object]) -> "TrialParams":
        """Validate ``values``. Raises `SpaceError` with one sentence per problem."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SpaceError.of(sentences(error, cls.model_fields, "parameter")) from None
