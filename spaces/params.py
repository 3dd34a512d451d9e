"""`TrialParams`: one point of the search space, every field concrete."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spaces.errors import SpaceError, sentences


class TrialParams(BaseModel):
    """Hyperparameters of one fine-tune: all it depends on besides data, seed and number of epochs.

    The defaults are typical values of published fine-tuning recipes; a search space
    lets some fields vary and fixes the rest.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    backbone: str
    """Name of a timm model, with its weight tag if it has several ("resnet50.a1_in1k")."""
    unfreeze: float = Field(0.25, ge=0, le=1)
    """Fraction of the backbone's ordered parameter groups that train, counted from the head.
    0 trains the head alone, 1 trains everything."""
    learning_rate: float = Field(1e-3, gt=0)
    """Peak learning rate of the head."""
    backbone_lr_scale: float = Field(0.1, gt=0, le=1)
    """Learning rate of the backbone's last group, as a share of the head's."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Learning rate of each backbone group, as a share of the next group's towards the head."""
    weight_decay: float = Field(1e-3, ge=0)
    """Decoupled for adamw, an L2 penalty for the others; 0 for biases and normalisation layers."""
    l1: float = Field(0.0, ge=0)
    """Factor of the L1 penalty on trainable weights, except biases and normalisation layers."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Probability of dropping a feature in front of the classifier."""
    drop_path: float = Field(0.0, ge=0, lt=1)
    """Rate of stochastic depth, for backbones that support it."""
    augment: float = Field(0.3, ge=0, le=1)
    """Strength of the random image transforms; 0 is none."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of each target spread evenly over the classes."""
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
    """Unfreeze the trainable groups one by one over the first half of max_epochs, head first."""
    balance: Literal["none", "weighted", "effective", "oversample", "undersample"] = "none"
    """Remedy for class imbalance. "weighted" and "effective" weight the loss by the inverse of each
    class's number or effective number of images (Cui et al. 2019); the others resample by class."""
    focal_gamma: float = Field(0.0, ge=0)
    """Exponent of the focal loss (Lin et al. 2017): higher values reduce the loss of images
    classified with confidence; 0 is plain cross-entropy."""
    freeze_batchnorm: bool = True
    """Whether BatchNorm layers of frozen groups keep their pretrained statistics."""

    @classmethod
    def parse(cls, values: dict[str, object]) -> "TrialParams":
        """Validate ``values``. Raises `SpaceError` with one sentence per problem."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SpaceError.of(sentences(error, cls.model_fields, "parameter")) from None
