"""`TrialParams`: one point of the search space, every field concrete."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spaces.errors import SpaceError, sentences


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
    """Strength of the random image transforms; 0 leaves images unchanged."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of a target's probability that is spread evenly over the classes."""
    optimizer: Literal["adamw", "adam", "sgd", "rmsprop"] = "adamw"
    """Update rule; sgd has Nesterov momentum 0.9."""
    schedule: Literal["cosine", "plateau", "cyclic", "constant"] = "cosine"
    """Learning-rate schedule after the warm-up, over the sweep's max_epochs."""
    warmup_epochs: float = Field(0.5, ge=0)
    """Epochs over which the learning rate rises from zero to its peak."""
    batch_size: int = Field(32, ge=2)
    """Images per optimizer step."""
    image_size: int = Field(224, ge=16)
    """Side of the square input in pixels."""
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
    freeze_batchnorm: bool = True
    """Whether BatchNorm layers of frozen groups keep their pretrained statistics."""

    @classmethod
    def parse(cls, values: dict[str, object]) -> "TrialParams":
        """Validate ``values``. Raises `SpaceError` with one sentence per problem."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SpaceError.of(sentences(error, cls.model_fields, "parameter")) from None
